"""EventBridge: faults of its delivery, and who delivers."""

import contextvars
import json
import threading

from ministack.core.arn import ArnParseError, parse_arn
from ministack.services import eventbridge, lambda_svc

from cauce_emulator import faults, journal
from cauce_emulator.patching import original, replaces

SERVICE = "events.amazonaws.com"
"""The principal of targets that trust EventBridge by their own policy."""

ACTIONS = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage", "sns": "sns:Publish",
           "states": "states:StartExecution", "events": "events:PutEvents", "ecs": "ecs:RunTask"}


@replaces("services.eventbridge", "_dispatch_event", "d1bfe064f602d11c",
          """Delivers every event at once and once. AWS: status events are best-effort, S3 and ECS events come at least
          once and in no order.""", "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event.html")
def dispatch_event(event, view=None):
    send = original("services.eventbridge._dispatch_event")
    try:
        detail = json.loads(event.get("Detail") or "{}")
    except ValueError:
        detail = {}
    status = detail.get("status") or detail.get("lastStatus")
    fault = faults.take("event", source=event.get("Source"), detail_type=event.get("DetailType"), status=status)
    if fault is None:
        return send(event, view)
    if fault.effect == "duplicate":
        send(event, view)
        return send(event, view)
    if fault.effect == "delay":
        timer = threading.Timer(float(fault.detail.get("seconds", 1)), contextvars.copy_context().run,
                                args=(send, event, view))
        timer.daemon = True
        timer.start()
    return None


@replaces("services.eventbridge", "_invoke_target", "550e304af0809563",
          "Is complete for our targets; only who calls them is written down.",
          "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html")
def invoke_target(target, event, rule, view=None):
    try:
        service = parse_arn(target.get("Arn", "")).service
    except ArnParseError:
        service = ""
    if service in ACTIONS:
        journal.call(target.get("RoleArn") or SERVICE, ACTIONS[service], target["Arn"])
    return original("services.eventbridge._invoke_target")(target, event, rule, view)


@replaces("services.eventbridge", "_dispatch_to_lambda", "1f95adbaed3a966a",
          """Invokes once, forgetting a failure. EventBridge invokes asynchronously, with the function's retries and its
          on-failure destination.""",
          "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html")
def dispatch_to_lambda(arn, payload):
    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        eventbridge.logger.warning("EventBridge: function %s not found", name)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))
