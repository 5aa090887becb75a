"""ecs:runTask as a call of Step Functions."""

import json

from ministack.core.responses import _service_model, get_account_id, get_region
from ministack.services import ecs, stepfunctions as sfn

from cauce_emulator import containers, journal
from cauce_emulator.lives import current
from cauce_emulator.patching import replaces
from cauce_emulator.tasks import Failed, injected, service_error

DOCS = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html"
STARTED_BY = "AWS Step Functions"


def pascal(value, name=""):
    """The API's names as Step Functions writes them, instants as milliseconds."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [pascal(item) for item in value]
    if name.endswith("At") and isinstance(value, str):
        return sfn._iso_to_epoch_ms(value)
    return value


def unsupported(value, shape) -> list[str]:
    """Fields that the API does not have under these names: Step Functions takes PascalCase only."""
    if shape.type_name == "list" and isinstance(value, list):
        return [field for item in value for field in unsupported(item, shape.member)]
    if shape.type_name != "structure" or not isinstance(value, dict):
        return []
    members = {name[:1].upper() + name[1:]: member for name, member in shape.members.items()}
    found = [key for key in value if key not in members]
    return found + [field for key, item in value.items() if key in members for field in unsupported(item, members[key])]


def passed_roles(role: str, request: dict) -> None:
    """RunTask passes the roles of the task definition
    (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security_iam_id-based-policy-examples.html>)."""
    definition = ecs._task_defs.get(ecs._resolve_td_key(request.get("taskDefinition", ""))) or {}
    for field in ("taskRoleArn", "executionRoleArn"):
        if definition.get(field):
            journal.call(role, "iam:PassRole", definition[field])
    if request.get("tags"):
        cluster = ecs._resolve_cluster_name(request.get("cluster") or "default")
        journal.call(role, "ecs:TagResource", f"arn:aws:ecs:{get_region()}:{get_account_id()}:task/{cluster}/*")


@replaces("services.stepfunctions", "_invoke_ecs_run_task", "4b91ef4bd019d0ac",
          """Never fails with an exit code, answers in camelCase with a list, names every API error ECS.RunTaskFailed.
          AWS: the task in PascalCase; States.TaskFailed with the task as a JSON cause; AmazonECS.Unknown for
          failures; ECS.*Exception for errors.""", DOCS)
def invoke_ecs_run_task(resource, input_data):
    return run_task(resource, input_data, "unknown")


def run_task(resource, arguments, role):
    """runTask, and with `.sync` the wait for the task's end."""
    unknown = unsupported(arguments, _service_model("ecs").operation_model("RunTask").input_shape)
    if unknown:
        said = ", ".join(f'The field "{field}" is not supported by Step Functions' for field in unknown)
        raise Failed("States.Runtime",
                     f"The Parameters '{json.dumps(arguments)}' could not be used to start the Task: [{said}]")
    request = {"startedBy": STARTED_BY, **sfn._pascal_to_camel(arguments)}
    definition = request.get("taskDefinition", "")
    journal.call(role, "ecs:RunTask", definition)
    passed_roles(role, request)
    lost = injected("ECS", "ecs", "RunTask", definition)
    status, _, body = ecs._run_task(request)
    payload = json.loads(body)
    if status >= 400:
        raise service_error("ECS", payload)
    if lost:
        raise Failed("ECS.SdkClientException", "the reply was lost")
    if payload["failures"]:
        raise Failed("AmazonECS.Unknown", json.dumps(pascal(payload["failures"])))
    if not resource.endswith(".sync"):
        return {"Failures": [], "Tasks": pascal(payload["tasks"])}
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html#connect-ecs-iam
    journal.call(role, "ecs:DescribeTasks", payload["tasks"][0]["taskArn"])
    for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
        journal.call(role, action,
                     f"arn:aws:events:{get_region()}:{get_account_id()}:rule/StepFunctionsGetEventsForECSTaskRule")
    life = current()
    arns = [task["taskArn"] for task in payload["tasks"]]
    for arn in arns:
        life.on_halt(arn, lambda arn=arn: abort(arn, role))
    for arn in arns:
        life.wait(containers.over(arn))
        life.done_with(arn)
    ended = [pascal(ecs._sanitize(ecs._tasks[arn])) for arn in arns]
    for task in ended:
        if failed(task):
            raise Failed("States.TaskFailed", json.dumps(task, separators=(",", ":")))
    return ended[0] if len(ended) == 1 else {"Tasks": ended, "Failures": []}


def abort(arn: str, role: str) -> None:
    """The best-effort stop of a task whose execution ended, which a fault can deny."""
    journal.call(role, "ecs:StopTask", arn)
    try:
        if injected("ECS", "ecs", "StopTask", arn) is None:
            containers.stop(ecs._tasks[arn], "UserInitiated", "Task stopped by AWS Step Functions")
    except Failed as error:
        sfn.logger.warning("StopTask of %s: %s", arn, error)


def failed(task: dict) -> bool:
    """Whether runTask.sync fails: the task did not start, or an essential container did not exit with 0.
    A Spot interruption with exit code 0 counts as success (not verified on AWS)."""
    if task.get("StopCode") == "TaskFailedToStart":
        return True
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["TaskDefinitionArn"])) or {}
    essential = {c["name"] for c in definition.get("containerDefinitions", []) if c.get("essential", True)}
    return any(container.get("ExitCode") != 0 for container in task["Containers"] if container["Name"] in essential)
