"""Executions of state machines: their start, their end, and the walk through the states."""

import contextvars
import copy
import json
import re
import threading
from dataclasses import dataclass, field

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, now_iso, new_uuid
from ministack.services import stepfunctions as sfn

from cauce_emulator.lives import CURRENT, Halted, Life, current
from cauce_emulator.patching import original, replaces

NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
"""<https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>"""

PAYLOAD_BYTES = 262_144
"""Most input or output of a state or an execution
(<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>)."""

API = "https://docs.aws.amazon.com/step-functions/latest/apireference"
GUIDE = "https://docs.aws.amazon.com/step-functions/latest/dg"


@dataclass
class Pinned:
    """What an execution runs by, whatever happens to its machine later."""

    definition: dict
    text: str
    role: str
    life: Life = field(default_factory=Life)
    lock: threading.RLock = field(default_factory=threading.RLock)
    resume: tuple | None = None
    """(state, input, variables) of the top-level state it was last in: where a redrive begins."""


PINNED: dict[str, Pinned] = {}


def role_of(execution: dict) -> str:
    """The role that an execution calls AWS with (a map's child: its parent's)."""
    pinned = PINNED.get(execution.get("_parent") or execution["executionArn"])
    return pinned.role if pinned else "unknown"


def too_large(value) -> bool:
    """Whether a value is over the limit of payloads."""
    return len(json.dumps(value, ensure_ascii=False).encode()) > PAYLOAD_BYTES


@replaces("services.stepfunctions", "_start_execution", "9923282fc76c57b9",
          """Runs the newest definition whatever version or alias was named, and refuses the same name and input while
          the execution is open. AWS runs the named version, and answers with the open execution.""",
          f"{API}/API_StartExecution.html")
def start_execution(data):
    arn, _, case = data.get("stateMachineArn", "").partition("#")
    base = sfn._resolve_state_machine_arn(arn)
    machine = sfn._state_machines.get(base) if base else None
    if machine is None:
        return error_response_json("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'", 400)
    name = data.get("name") or new_uuid()
    if not NAME.fullmatch(name):
        return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
    text = data.get("input") or "{}"
    try:
        json.loads(text)
    except ValueError as error:
        return error_response_json("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'", 400)
    if len(text.encode()) > PAYLOAD_BYTES:
        return error_response_json("InvalidExecutionInput", "input is longer than 262144 bytes", 400)
    execution_arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{name}"
    there = sfn._executions.get(execution_arn)
    if there is not None:
        if there["status"] == "RUNNING" and there["input"] == text:
            return json_response({"executionArn": execution_arn, "startDate": there["startDate"]})
        return error_response_json("ExecutionAlreadyExists", f"Execution Already Exists: '{execution_arn}'", 400)
    version_arn = sfn._execution_version_arn(arn)
    pinned = sfn._state_machine_versions.get(version_arn) or machine
    started = now_iso()
    execution = {
        "executionArn": execution_arn, "stateMachineArn": base, "name": name, "status": "RUNNING",
        "startDate": started, "stopDate": None, "input": text, "inputDetails": {"included": True},
        "output": None, "outputDetails": {"included": True}, "testCase": case, "mockAttempts": {},
        "stateMachineVersionArn": version_arn,
        "stateMachineAliasArn": arn if arn in sfn._state_machine_aliases else None,
        "redriveCount": 0, "redriveDate": None,
        "encryptionConfiguration": copy.deepcopy(pinned.get("encryptionConfiguration") or sfn._default_encryption()),
        "events": [{"id": 1, "type": "ExecutionStarted", "timestamp": started, "executionStartedEventDetails": {
            "input": text, "roleArn": pinned["roleArn"], "stateMachineVersionArn": version_arn}}],
    }
    sfn._executions[execution_arn] = execution
    PINNED[execution_arn] = Pinned(json.loads(pinned["definition"]), pinned["definition"], pinned["roleArn"])
    sfn._emit_execution_status_event(execution)
    begin(execution_arn)
    return json_response({"executionArn": execution_arn, "startDate": started})


def begin(execution_arn: str) -> None:
    """Runs an execution in a thread of its own, with nobody else's life."""
    scope = contextvars.copy_context()
    scope.run(CURRENT.set, PINNED[execution_arn].life)
    threading.Thread(target=scope.run, args=(sfn._run_execution, execution_arn), daemon=True).start()


@replaces("services.stepfunctions", "_run_execution", "996dff84e0e0605a",
          """Waits 150 ms, ignores the machine's TimeoutSeconds, goes on after the execution was stopped, and reads the
          newest definition. AWS ends the execution TIMED_OUT with States.Timeout.""",
          f"{GUIDE}/statemachine-structure.html")
def run_execution(exec_arn):
    execution = sfn._executions.get(exec_arn)
    pinned = PINNED.get(exec_arn)
    if pinned is None:  # StartSyncExecution makes its own record
        machine = sfn._state_machines[execution["stateMachineArn"]]
        pinned = PINNED[exec_arn] = Pinned(
            json.loads(machine["definition"]), machine["definition"], machine["roleArn"])
        CURRENT.set(pinned.life)
    definition = pinned.definition
    limit = definition.get("TimeoutSeconds")
    timer = None
    if limit is not None:
        timer = threading.Timer(float(limit), contextvars.copy_context().run,
                                args=(close, execution, "TIMED_OUT"))
        timer.daemon = True
        timer.start()
    value = json.loads(execution["input"])
    name, variables = definition.get("StartAt"), {}
    if pinned.resume is not None:
        name, value, variables = copy.deepcopy(pinned.resume)
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {"Id": exec_arn, "Input": json.loads(execution["input"]), "Name": execution["name"],
                      "RoleArn": pinned.role, "StartTime": execution["startDate"],
                      "RedriveCount": execution.get("redriveCount", 0)},
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": execution["executionArn"].split(":")[-2]},
        "variables": variables,
    }
    try:
        def remember(state, data):
            pinned.resume = (state, copy.deepcopy(data), copy.deepcopy(context["variables"]))

        output = walk(definition.get("States", {}), name, value, execution, context, remember)
        close(execution, "SUCCEEDED", output=json.dumps(output))
    except Halted:
        pass
    except sfn._ExecutionError as error:
        sfn._fail_execution(execution, error.error, error.cause)
    except Exception as error:  # a fault of the evaluator ends the execution as on AWS
        sfn.logger.exception("execution %s", exec_arn)
        sfn._fail_execution(execution, "States.Runtime", str(error))
    finally:
        if timer is not None:
            timer.cancel()


CLOSING = {
    "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails"),
    "FAILED": ("ExecutionFailed", "executionFailedEventDetails"),
    "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
    "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails"),
}


def close(execution, status, error=None, cause=None, output=None) -> bool:
    """Gives an execution its final status, once, and ends all that is under way for it."""
    pinned = PINNED.get(execution["executionArn"])
    with pinned.lock:
        if execution["status"] != "RUNNING":
            return False
        execution.update(status=status, stopDate=now_iso(), error=error, cause=cause, output=output)
        event, details = CLOSING[status]
        said = {"output": output} if status == "SUCCEEDED" else {
            k: v for k, v in (("error", error), ("cause", cause)) if v is not None}
        sfn._add_event(execution, event, {details: said})
    sfn._emit_execution_status_event(execution)
    pinned.life.ended.set()
    pinned.life.halt()
    return True


@replaces("services.stepfunctions", "_fail_execution", "e6da895fa0b74cdd",
          """Overwrites the status of an execution that was stopped meanwhile, and gives a failed one an output.
          On AWS the first end stands.""", f"{API}/API_DescribeExecution.html")
def fail_execution(execution, error, cause):
    close(execution, "FAILED", error, cause)


@replaces("services.stepfunctions", "_stop_execution", "44d2d84ccd5c9702",
          """Marks the execution only; its thread, nested executions and ECS tasks go on. AWS makes a best-effort
          attempt to stop them.""", f"{GUIDE}/connect-to-resource.html#connect-sync")
def stop_execution(data):
    execution = sfn._executions.get(data.get("executionArn"))
    if not execution:
        return error_response_json(
            "ExecutionDoesNotExist", f"Execution Does Not Exist: '{data.get('executionArn')}'", 400)
    if execution["executionArn"] in PINNED:
        close(execution, "ABORTED", data.get("error"), data.get("cause"))
    return json_response({"stopDate": execution["stopDate"]})


def redrive_view(execution) -> dict:
    """Whether an execution can be redriven, as DescribeExecution says it."""
    status = execution["status"]
    can = status in ("FAILED", "TIMED_OUT", "ABORTED")
    if status == "RUNNING":
        return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": "Execution is RUNNING and cannot be redriven"}
    return {"redriveStatus": "REDRIVABLE"} if can else {
        "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": f"Execution is {status} and cannot be redriven"}


def redrive_execution(data):
    """RedriveExecution: from the top-level state that failed, with its input and the variables of then."""
    execution = sfn._executions.get(data.get("executionArn"))
    if not execution:
        return error_response_json(
            "ExecutionDoesNotExist", f"Execution Does Not Exist: '{data.get('executionArn')}'", 400)
    pinned = PINNED[execution["executionArn"]]
    with pinned.lock:
        view = redrive_view(execution)
        if view["redriveStatus"] != "REDRIVABLE":
            return error_response_json("ExecutionNotRedrivable", view["redriveStatusReason"], 400)
        moment = now_iso()
        execution.update(status="RUNNING", stopDate=None, error=None, cause=None, redriveDate=moment,
                         redriveCount=execution.get("redriveCount", 0) + 1)
        sfn._add_event(execution, "ExecutionRedriven", {
            "executionRedrivenEventDetails": {"redriveCount": execution["redriveCount"]}})
        pinned.life = Life()
    sfn._emit_execution_status_event(execution)
    begin(execution["executionArn"])
    return json_response({"redriveDate": moment})


@replaces("services.stepfunctions", "handle_request", "efa6e8c4532a9e05", "Knows no RedriveExecution.",
          f"{API}/API_RedriveExecution.html")
async def handle_request(method, path, headers, body, query_params):
    if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
        return sfn._finalize_response(redrive_execution(json.loads(body or b"{}")))
    return await original("services.stepfunctions.handle_request")(method, path, headers, body, query_params)


@replaces("services.stepfunctions", "_describe_execution", "c3ad294ad8b5070a",
          "Tells neither the version nor the alias that runs, nor redrives.", f"{API}/API_DescribeExecution.html")
def describe_execution(data):
    response = original("services.stepfunctions._describe_execution")(data)
    if response[0] != 200:
        return response
    execution = sfn._executions[data["executionArn"]]
    view = {**json.loads(response[2]), **redrive_view(execution), "redriveCount": execution.get("redriveCount", 0)}
    for key in ("stateMachineVersionArn", "stateMachineAliasArn", "redriveDate"):
        view[key] = execution.get(key)
    if view["output"] is None:
        view.pop("outputDetails", None)
    return json_response({key: value for key, value in view.items() if value is not None})


@replaces("services.stepfunctions", "_describe_state_machine_for_execution", "a5ed57e041d70ece",
          "Answers with the newest definition instead of the one that the execution runs by.",
          f"{API}/API_DescribeStateMachineForExecution.html")
def describe_for_execution(data):
    response = original("services.stepfunctions._describe_state_machine_for_execution")(data)
    pinned = PINNED.get(data.get("executionArn"))
    if response[0] != 200 or pinned is None:
        return response
    return json_response({**json.loads(response[2]), "definition": pinned.text, "roleArn": pinned.role})


@replaces("services.stepfunctions", "_emit_execution_status_event", "9c89e45693e353eb",
          """Never names the version, calls only FAILED redrivable, and knows no TIMED_OUT.""",
          f"{GUIDE}/eventbridge-integration.html")
def emit_status(execution):
    if execution.get("sync"):
        return
    from ministack.services import eventbridge

    status = execution["status"]
    failed = status == "FAILED"
    redrive = redrive_view(execution)
    detail = {
        **{key: execution[key] for key in ("executionArn", "stateMachineArn", "name", "status")},
        "startDate": sfn._iso_to_epoch_ms(execution["startDate"]),
        "stopDate": sfn._iso_to_epoch_ms(execution.get("stopDate")),
        "input": execution.get("input"), "inputDetails": {"included": True},
        "output": execution.get("output") if status == "SUCCEEDED" else None,
        "outputDetails": {"included": True} if status == "SUCCEEDED" else None,
        "stateMachineVersionArn": execution.get("stateMachineVersionArn"),
        "stateMachineAliasArn": execution.get("stateMachineAliasArn"),
        "redriveCount": execution.get("redriveCount", 0),
        "redriveDate": sfn._iso_to_epoch_ms(execution.get("redriveDate")),
        "redriveStatus": redrive["redriveStatus"], "redriveStatusReason": redrive.get("redriveStatusReason"),
        "error": execution.get("error") if failed else None,
        "cause": execution.get("cause") if failed else None,
    }
    for key in ("input", "output"):
        if detail[key] is not None and len(detail[key]) > sfn._STATUS_EVENT_PAYLOAD_CAP:
            detail[key], detail[f"{key}Details"] = None, {"included": False}
    eventbridge._put_events({"Entries": [{
        "Source": "aws.states", "DetailType": "Step Functions Execution Status Change",
        "Detail": json.dumps(detail), "Resources": [execution["executionArn"]]}]}, allow_aws_source=True)


@replaces("services.stepfunctions", "_scaled_sleep", "5ed19df2efa98412", "Sleeps on after the execution was stopped.",
          f"{API}/API_StopExecution.html")
def scaled_sleep(seconds):
    if seconds * sfn._SFN_WAIT_SCALE > 0:
        current().wait(seconds=seconds * sfn._SFN_WAIT_SCALE)


def walk(states, start, value, execution, context, remember=None):
    """Walks through a machine or a part of it, and returns its output."""
    handlers = {"Pass": sfn._execute_pass, "Choice": sfn._execute_choice, "Wait": sfn._execute_wait,
                "Task": sfn._execute_task, "Parallel": sfn._execute_parallel, "Map": sfn._execute_map}
    name = start
    while name:
        current().check()
        state = states.get(name)
        if state is None:
            raise sfn._ExecutionError("States.Runtime", f"The state '{name}' is not in the definition")
        kind = state["Type"]
        if remember is not None:
            remember(name, value)
        context["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
        sfn._add_event(execution, f"{kind}StateEntered", {
            "stateEnteredEventDetails": {"name": name, "input": json.dumps(value)}})
        if kind == "Fail":
            raise sfn._ExecutionError(*sfn._fail_state_error(state, value, context))
        if kind == "Succeed":
            if sfn._state_query_language(state, context) == "JSONata":
                value = sfn._apply_jsonata_output(state, value, context, default=value)
            else:
                value = sfn._apply_output_path(state, sfn._apply_input_path(state, value, context), context)
            following = None
        elif kind in ("Task", "Parallel", "Map"):
            value, following = handlers[kind](state, value, execution, context)
        else:
            value, following = handlers[kind](state, value, context)
        if too_large(value):
            raise sfn._ExecutionError(
                "States.DataLimitExceeded",
                f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes "
                "service limit.")
        sfn._add_event(execution, f"{kind}StateExited", {
            "stateExitedEventDetails": {"name": name, "output": json.dumps(value)}})
        name = following
    return value


@replaces("services.stepfunctions", "_run_sub_machine", "f8d844168b1459f8",
          """Ignores Output of Succeed, goes on after the execution was stopped, and leaves no history.""",
          f"{GUIDE}/state-succeed.html")
def run_sub_machine(states, start_at, input_data, execution, ctx):
    return walk(states, start_at, copy.deepcopy(input_data), execution, ctx)


@replaces("services.stepfunctions", "_execute_choice", "468955fcd4a438d2",
          "Ignores the Output of a JSONata Choice that takes its Default.", f"{GUIDE}/state-choice.html")
def execute_choice(state_def, raw_input, ctx=None):
    if sfn._state_query_language(state_def, ctx) != "JSONata":
        return original("services.stepfunctions._execute_choice")(state_def, raw_input, ctx)
    for rule in state_def.get("Choices", []):
        if sfn._evaluate_jsonata_choice_rule(rule, raw_input, ctx):
            output = sfn._apply_jsonata_output(rule, raw_input, ctx, default=raw_input)
            sfn._apply_state_assign({"QueryLanguage": "JSONata", **rule}, raw_input, ctx)
            return output, rule["Next"]
    if "Default" not in state_def:
        raise sfn._ExecutionError("States.NoChoiceMatched", "No choice rule matched and there is no Default")
    output = sfn._apply_jsonata_output(state_def, raw_input, ctx, default=raw_input)
    sfn._apply_state_assign(state_def, raw_input, ctx)
    return output, state_def["Default"]


@replaces("services.stepfunctions", "_apply_state_assign", "f9cc15f006a008bb",
          """Evaluates the expressions of one Assign one after the other, each seeing what those before it assigned.
          On AWS all see the values from before.""", f"{GUIDE}/workflow-variables.html")
def apply_state_assign(state_def, raw_input, ctx, result=None, error_output=None):
    assign = state_def.get("Assign")
    if ctx is None or not isinstance(assign, dict) or sfn._state_query_language(state_def, ctx) != "JSONata":
        return
    assigned = {name: sfn._apply_jsonata_template(template, raw_input, ctx, result=result, error_output=error_output)
                for name, template in assign.items()}
    ctx.setdefault("variables", {}).update(assigned)
