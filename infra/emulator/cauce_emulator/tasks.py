"""Task states: timeouts, retries, callbacks, Lambda and nested executions."""

import contextvars
import json
import random
import threading
import time

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, new_uuid
from ministack.services import stepfunctions as sfn

from cauce_emulator import faults, identities, journal
from cauce_emulator.executions import API, GUIDE, PINNED, role_of, too_large
from cauce_emulator.lives import CURRENT, Life, current
from cauce_emulator.patching import original, replaces

Failed = sfn._ExecutionError
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")
"""What States.ALL does not match
(<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>)."""
MOST_RETRY_SECONDS = 31_622_400
"""Most of MaxDelaySeconds, exclusive (same page)."""


@replaces("services.stepfunctions", "_error_matches", "519b9dc729c56a3c",
          """Lets States.ALL catch States.DataLimitExceeded and States.Runtime, and States.Timeout miss a lost
          heartbeat.""", f"{GUIDE}/concepts-error-handling.html")
def error_matches(error_equals, error):
    if error in error_equals:
        return True
    if error == "States.HeartbeatTimeout" and "States.Timeout" in error_equals:
        return True
    if error in UNCATCHABLE:
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


def retry_delay(retrier: dict, count: int) -> float:
    """Seconds before the next try: backoff, its cap, full jitter."""
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count
    delay = min(delay, retrier.get("MaxDelaySeconds", MOST_RETRY_SECONDS))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay


def seconds_of(state: dict, field: str, data, context) -> float | None:
    """TimeoutSeconds or HeartbeatSeconds: a number, an expression, or a path."""
    if field in state:
        value = state[field]
        if isinstance(value, str):
            value = sfn._jsonata_state_field(state, field, "number", data, context)
    elif f"{field}Path" in state:
        value = sfn._resolve_path_or_ctx(state[f"{field}Path"], data, context)
    else:
        return None
    if not isinstance(value, (int, float)) or value <= 0:
        raise Failed("States.QueryEvaluationError", f"{field} must be a positive integer, but was: {json.dumps(value)}")
    return float(value)


@replaces("services.stepfunctions", "_execute_task", "53c818d247dba62c",
          """Reads TimeoutSeconds only as a number and HeartbeatSeconds never; keeps one token for all retries; ignores
          MaxDelaySeconds and JitterStrategy; waits on after the execution was stopped.""", f"{GUIDE}/state-task.html")
def execute_task(state_def, raw_input, execution, ctx):
    resource = state_def.get("Resource", "")
    jsonata = sfn._state_query_language(state_def, ctx) == "JSONata"
    counts: dict[int, int] = {}
    while True:
        ctx["State"]["RetryCount"] = sum(counts.values())
        if ".waitForTaskToken" in resource:
            ctx["Task"] = {"Token": new_uuid()}
        try:
            if jsonata:
                arguments = sfn._apply_jsonata_arguments(state_def, raw_input, ctx)
            else:
                arguments = sfn._apply_parameters(
                    state_def, sfn._apply_input_path(state_def, raw_input, ctx), ctx)
            timeout = seconds_of(state_def, "TimeoutSeconds", raw_input, ctx)
            heartbeat = seconds_of(state_def, "HeartbeatSeconds", raw_input, ctx)
            sfn._add_event(execution, "TaskScheduled", {"taskScheduledEventDetails": {
                "resourceType": resource.split(":::")[-1].split(":")[0], "resource": resource.split(":")[-1],
                "region": get_region(), "parameters": json.dumps(arguments)}})
            if ".waitForTaskToken" in resource:
                result = wait_for_token(resource, arguments, ctx["Task"]["Token"], execution, timeout, heartbeat)
            else:
                result = watched(lambda: perform(resource, arguments, execution), timeout)
            if too_large(result):
                raise Failed("States.DataLimitExceeded",
                             f"The state/task '{ctx['State']['Name']}' returned a result with a size exceeding the "
                             "maximum number of bytes service limit.")
            sfn._add_event(execution, "TaskSucceeded", {"taskSucceededEventDetails": {
                "output": json.dumps(result), "resource": resource.split(":")[-1]}})
            if jsonata:
                output = sfn._apply_jsonata_output(state_def, raw_input, ctx, result=result, default=result)
                sfn._apply_state_assign(state_def, raw_input, ctx, result=result)
            else:
                output = sfn._apply_result_path(state_def, raw_input, sfn._apply_result_selector(state_def, result))
                output = sfn._apply_output_path(state_def, output, ctx)
            return output, sfn._next_or_end(state_def)
        except Failed as error:
            timed_out = error.error in ("States.Timeout", "States.HeartbeatTimeout")
            event, details = (("TaskTimedOut", "taskTimedOutEventDetails") if timed_out
                              else ("TaskFailed", "taskFailedEventDetails"))
            sfn._add_event(execution, event, {details: {
                "error": error.error, "cause": error.cause, "resource": resource.split(":")[-1]}})
            retrier, index = sfn._find_matching_retrier(state_def.get("Retry", []), error.error, counts)
            if retrier is not None:
                sfn._scaled_sleep(retry_delay(retrier, counts.get(index, 0)))
                counts[index] = counts.get(index, 0) + 1
                continue
            catcher = sfn._find_matching_catcher(state_def.get("Catch", []), error.error)
            if catcher is None:
                raise
            said = {"Error": error.error, "Cause": error.cause}
            language = "JSONata" if jsonata else "JSONPath"
            return sfn._apply_catcher(catcher, raw_input, ctx, language, said), catcher["Next"]


@replaces("services.stepfunctions", "_apply_catcher", "ca17bcad86a82fc5",
          """Passes the variables of a JSONata Catch by its own query language, which is the default JSONPath, so that
          its Assign is lost in a machine whose states name the language themselves.""",
          f"{GUIDE}/concepts-error-handling.html")
def apply_catcher(catcher, raw_input, ctx, query_language, error_output):
    return original("services.stepfunctions._apply_catcher")(
        {"QueryLanguage": query_language, **catcher}, raw_input, ctx, query_language, error_output)


@replaces("services.stepfunctions", "_with_retry_and_catch", "b351699db7b381ef",
          "Retries Parallel and Map without MaxDelaySeconds and JitterStrategy.",
          f"{GUIDE}/concepts-error-handling.html")
def with_retry_and_catch(state_def, raw_input, ctx, attempt):
    state, counts = ctx["State"], {}
    while True:
        ctx["State"] = {**state, "RetryCount": sum(counts.values())}
        try:
            return attempt()
        except Failed as error:
            retrier, index = sfn._find_matching_retrier(state_def.get("Retry", []), error.error, counts)
            if retrier is not None:
                sfn._scaled_sleep(retry_delay(retrier, counts.get(index, 0)))
                counts[index] = counts.get(index, 0) + 1
                continue
            catcher = sfn._find_matching_catcher(state_def.get("Catch", []), error.error)
            if catcher is None:
                raise
            said = {"Error": error.error, "Cause": error.cause}
            return sfn._apply_catcher(
                catcher, raw_input, ctx, sfn._state_query_language(state_def, ctx), said), catcher["Next"]


def aside(work, life: Life, done: threading.Event) -> list:
    """Runs work in a thread with a life of its own; its outcome is put into the list before the event is set."""
    outcome: list = []

    def body():
        CURRENT.set(life)
        try:
            outcome.append((True, work()))
        except Exception as error:  # carried over to the waiting thread
            outcome.append((False, error))
        done.set()

    threading.Thread(target=contextvars.copy_context().run, args=(body,), daemon=True).start()
    return outcome


def watched(work, timeout: float | None):
    """The result of a call; States.Timeout when it takes too long. What it started goes on then: AWS lists what it
    stops (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html>), and a timeout is not on
    the list. Not verified on AWS."""
    life, done = Life(current()), threading.Event()
    outcome = aside(work, life, done)
    if not current().wait(done, timeout):
        life.halt(stopping=False)
        raise Failed("States.Timeout", "")
    good, value = outcome[0]
    if not good:
        raise value
    return value


CLOSED: set[str] = set()
"""Tokens that were answered, timed out, or whose execution ended."""
_tokens = threading.Lock()


def wait_for_token(resource, arguments, token, execution, timeout, heartbeat):
    """Makes the call, and waits for the answer to its token. A failed call fails the task unless an answer was first."""
    event = threading.Event()
    info = {"event": event, "result": None, "error": None, "answered": False, "beat": time.monotonic()}
    sfn._task_tokens[token] = info

    def deliver():
        try:
            perform(resource.replace(".waitForTaskToken", ""), arguments, execution)
        except Failed as error:
            with _tokens:
                if not info["answered"]:
                    info.update(answered=True, error={"Error": error.error, "Cause": error.cause})
                    event.set()

    aside(deliver, Life(current()), threading.Event())
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            limits = [deadline] if deadline is not None else []
            limits += [info["beat"] + heartbeat] if heartbeat is not None else []
            left = None if not limits else max(0.0, min(limits) - time.monotonic())
            if current().wait(event, left):
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise Failed("States.Timeout", "")
            if heartbeat is not None and time.monotonic() >= info["beat"] + heartbeat:
                raise Failed("States.HeartbeatTimeout", "")
    finally:
        with _tokens:
            CLOSED.add(token)
            sfn._task_tokens.pop(token, None)
    if info["error"] is not None:
        raise Failed(info["error"]["Error"], info["error"]["Cause"])
    return json.loads(info["result"])


def answer(data, how):
    """Applies an answer to a token, or says why not."""
    token = data.get("taskToken")
    with _tokens:
        info = sfn._task_tokens.get(token)
        if token in CLOSED or (info or {}).get("answered"):
            return error_response_json("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
        if info is None:
            return error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        how(info)
    return json_response({})


@replaces("services.stepfunctions", "_send_task_success", "12eff48bce57f5ab",
          """Takes a second answer to a token, which replaces the first, takes an output that is not JSON, and calls a
          closed token unknown (TaskDoesNotExist) instead of TaskTimedOut.""", f"{API}/API_SendTaskSuccess.html")
def send_task_success(data):
    try:
        json.loads(data.get("output") or "")
    except ValueError as error:
        return error_response_json("InvalidOutput", f"Invalid Output: '{error}'", 400)

    def how(info):
        info.update(answered=True, result=data["output"])
        info["event"].set()

    return answer(data, how)


@replaces("services.stepfunctions", "_send_task_failure", "c2a489b4ed330840",
          "Takes a second answer to a token, which replaces the first.", f"{API}/API_SendTaskFailure.html")
def send_task_failure(data):
    def how(info):
        info.update(answered=True, error={"Error": data.get("error", ""), "Cause": data.get("cause", "")})
        info["event"].set()

    return answer(data, how)


@replaces("services.stepfunctions", "_send_task_heartbeat", "56879a4655d159a2",
          "Notes a heartbeat that nothing looks at.", f"{API}/API_SendTaskHeartbeat.html")
def send_task_heartbeat(data):
    return answer(data, lambda info: info.update(beat=time.monotonic()))


def injected(prefix: str, service: str, operation: str, resource: str):
    """Fails a call of Step Functions if a fault says so; returns a fault whose reply is to be lost."""
    fault = faults.take("call", service=service, operation=operation, resource=resource, principal=None)
    if fault is None or fault.effect == "lose":
        return fault
    default = "ThrottlingException" if fault.effect == "throttle" else "ServerException"
    if service == "lambda":
        default = "TooManyRequestsException" if fault.effect == "throttle" else "ServiceException"
    raise Failed(f"{prefix}.{fault.detail.get('error', default)}", fault.detail.get("message", "Rate exceeded"))


def perform(resource, arguments, execution):
    """One call of a service."""
    role = role_of(execution)
    if resource.startswith("arn:aws:states:::lambda:invoke"):
        reference = arguments.get("FunctionName", "")
        arn = reference if reference.startswith("arn:") else (
            f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{reference}")
        journal.call(role, "lambda:InvokeFunction", arn)
        lost = injected("Lambda", "lambda", "Invoke", arn)
        result = sfn._call_lambda(sfn._resolve_lambda_function_ref(reference, optimized=True),
                                  arguments.get("Payload", {}))
        if lost:
            raise Failed("Lambda.SdkClientException", "the reply was lost")
        return {"ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200}
    if resource.startswith("arn:aws:states:::states:startExecution"):
        return start_nested(resource, arguments, role)
    if resource.startswith("arn:aws:states:::ecs:runTask"):
        from cauce_emulator import runtask

        return runtask.run_task(resource, arguments, role)
    if ":function:" in resource or ":activity:" in resource:
        if ":function:" in resource:
            journal.call(role, "lambda:InvokeFunction", resource)
        return sfn._invoke_resource(resource, arguments)
    service, _, action = resource.split(":::")[-1].replace("aws-sdk:", "").partition(":")
    action = action.split(".")[0]
    journal.call(role, f"{service}:{action[:1].upper()}{action[1:]}", "*")
    return sfn._invoke_resource(resource, arguments)


@replaces("services.stepfunctions", "_call_lambda", "25830369b12636da",
          "Names a throttled invocation Lambda.Unknown instead of Lambda.TooManyRequestsException.",
          f"{GUIDE}/concepts-error-handling.html")
def call_lambda(func_ref, event):
    from ministack.services import lambda_svc

    function, config, name = lambda_svc._get_func_record_for_ref(func_ref)
    if not function or not config:
        raise Failed("Lambda.ResourceNotFoundException", f"Function not found: {name}")
    result = lambda_svc._execute_function_with_config_scope(
        lambda_svc._execution_record_for_config(function, config), event)
    if result.get("throttle"):
        raise Failed("Lambda.TooManyRequestsException", "Rate Exceeded.")
    if result.get("error"):
        body = result.get("body") or {}
        if not isinstance(body, dict):
            raise Failed("Lambda.Unknown", str(body))
        raise Failed(body.get("errorType") or "Lambda.Unknown", json.dumps(body))
    body = result.get("body")
    if isinstance(body, (str, bytes)):
        try:
            return json.loads(body)
        except ValueError:
            return body if isinstance(body, str) else body.decode("utf-8", "replace")
    return body


def service_error(prefix: str, payload: dict) -> Failed:
    """An API error as an optimized integration names it: `StepFunctions.ExecutionAlreadyExistsException`."""
    code = payload.get("__type", "InternalServerException").rsplit("#", 1)[-1]
    code = code if code.endswith("Exception") else f"{code}Exception"
    return Failed(f"{prefix}.{code}", payload.get("message", ""))


def start_nested(resource, arguments, role):
    """startExecution, and with `.sync` or `.sync:2` the wait for its end.

    The failure's shape is AWS-recorded (States.TaskFailed with the execution as a JSON cause); instants stand in it as
    milliseconds.
    """
    request = sfn._nested_start_execution_request(arguments)
    machine = request["stateMachineArn"]
    journal.call(role, "states:StartExecution", sfn._resolve_state_machine_arn(machine) or machine)
    lost = injected("StepFunctions", "states", "StartExecution", machine)
    status, _, body = sfn._start_execution(request)
    payload = json.loads(body)
    if status >= 400:
        raise service_error("StepFunctions", payload)
    if lost:
        raise Failed("StepFunctions.SdkClientException", "the reply was lost")
    arn = payload["executionArn"]
    if ".sync" not in resource:
        return {"ExecutionArn": arn, "StartDate": milliseconds(payload["startDate"])}
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html#sync-async-iam-policies
    journal.call(role, "states:DescribeExecution", arn)
    for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
        journal.call(role, action, f"arn:aws:events:{get_region()}:{get_account_id()}:rule/"
                                   "StepFunctionsGetEventsForStepFunctionsExecutionRule")
    life = current()

    def stop():
        # Best-effort: without the permission the nested execution goes on.
        if identities.allows(role, "states:StopExecution", arn):
            journal.call(role, "states:StopExecution", arn)
            sfn._stop_execution({"executionArn": arn})

    life.on_halt(arn, stop)
    life.wait(PINNED[arn].life.ended)
    life.done_with(arn)
    return nested_result(sfn._executions[arn], resource.endswith(":2"))


def milliseconds(stamp):
    """An instant as Step Functions writes it into results."""
    return sfn._iso_to_epoch_ms(stamp) if isinstance(stamp, str) else stamp


def nested_result(child: dict, parsed: bool) -> dict:
    """The result of a nested execution that ended, or its failure."""
    shape = {
        "ExecutionArn": child["executionArn"], "Input": child["input"], "InputDetails": {"Included": True},
        "Name": child["name"], "RedriveCount": child.get("redriveCount", 0),
        "StartDate": milliseconds(child["startDate"]), "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"], "StopDate": milliseconds(child["stopDate"]),
    }
    if child.get("stateMachineVersionArn"):
        shape["StateMachineVersionArn"] = child["stateMachineVersionArn"]
    if child["status"] != "SUCCEEDED":
        said = {key.capitalize(): child[key] for key in ("cause", "error") if child.get(key) is not None}
        raise Failed("States.TaskFailed", json.dumps({**said, **shape}, separators=(",", ":")))
    output = child["output"]
    shape.update(Output=json.loads(output) if parsed else output, OutputDetails={"Included": True},
                 RedriveStatus="NOT_REDRIVABLE",
                 RedriveStatusReason="Execution is SUCCEEDED and cannot be redriven")
    if parsed:
        shape["Input"] = json.loads(child["input"])
    return shape
