"""State machines as resources: what a definition must have, and what Describe must give back."""

import json

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions as sfn

from cauce_emulator.executions import API
from cauce_emulator.patching import original, replaces

KINDS = {"Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}


def problems(definition: dict, at: str = "") -> list[tuple[str, str]]:
    """What is wrong with the order of states: (message, location). Fields of single states are the compiler's tests'."""
    found = []
    states = definition.get("States")
    if not isinstance(states, dict) or not states:
        return [("Missing 'States'", at or "/")]
    if definition.get("StartAt") not in states:
        found.append(("Missing 'StartAt', or it names no state", f"{at}/StartAt"))
    for name, state in states.items():
        here = f"{at}/States/{name}"
        kind = state.get("Type")
        if kind not in KINDS:
            found.append((f"'{kind}' is no type of state", f"{here}/Type"))
            continue
        nexts = [(f"{here}/Next", state.get("Next"))] if "Next" in state else []
        nexts += [(f"{here}/Catch[{i}]/Next", catch.get("Next")) for i, catch in enumerate(state.get("Catch", []))]
        if kind == "Choice":
            nexts += [(f"{here}/Choices[{i}]/Next", rule.get("Next")) for i, rule in enumerate(state.get("Choices", []))]
            nexts += [(f"{here}/Default", state["Default"])] if "Default" in state else []
        elif kind not in ("Succeed", "Fail") and ("Next" in state) == (state.get("End") is True):
            found.append(("Missing 'Next', or both 'Next' and 'End'", here))
        for where, target in nexts:
            if target not in states:
                found.append((f"Missing 'Next' target: {target}", where))
        for i, branch in enumerate(state.get("Branches", [])):
            found += problems(branch, f"{here}/Branches[{i}]")
        for part in ("ItemProcessor", "Iterator"):
            if part in state:
                found += problems(state[part], f"{here}/{part}")
    return found


def refusal(text):
    """The answer to a definition that AWS refuses, or none."""
    if text is None:
        return None
    try:
        definition = json.loads(text)
    except ValueError as error:
        return error_response_json("InvalidDefinition", f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'", 400)
    found = problems(definition)
    if not found:
        return None
    said = ", ".join(f"SCHEMA_VALIDATION_FAILED: {message} at {where}" for message, where in found)
    return error_response_json("InvalidDefinition", f"Invalid State Machine Definition: '{said}'", 400)


def keep_tracing(response, arn, data):
    """Stores the tracing of an accepted call, which DescribeStateMachine gives back with the whole record."""
    if response[0] == 200 and arn in sfn._state_machines:
        machine = sfn._state_machines[arn]
        if "tracingConfiguration" in data:
            machine["tracingConfiguration"] = data["tracingConfiguration"]
        machine.setdefault("tracingConfiguration", {"enabled": False})
    return response


@replaces("services.stepfunctions", "_create_state_machine", "4bc1231dda6925d2",
          "Accepts a missing Next, and forgets tracingConfiguration (a difference at each Terraform plan).",
          f"{API}/API_CreateStateMachine.html")
def create_state_machine(data):
    refused = refusal(data.get("definition"))
    if refused:
        return refused
    response = original("services.stepfunctions._create_state_machine")(data)
    return keep_tracing(response, json.loads(response[2]).get("stateMachineArn"), data)


@replaces("services.stepfunctions", "_update_state_machine", "476e0deee6a3d66b",
          "Accepts a missing Next, and forgets tracingConfiguration (a difference at each Terraform plan).",
          f"{API}/API_UpdateStateMachine.html")
def update_state_machine(data):
    refused = refusal(data.get("definition"))
    if refused:
        return refused
    response = original("services.stepfunctions._update_state_machine")(data)
    return keep_tracing(response, data.get("stateMachineArn"), data)


@replaces("services.stepfunctions", "_validate_state_machine_definition", "91730eff85850db0",
          "Calls every definition valid.", f"{API}/API_ValidateStateMachineDefinition.html")
def validate_definition(data):
    text = data.get("definition")
    try:
        found = problems(json.loads(text))
    except (TypeError, ValueError) as error:
        found = [(str(error), "/")]
    jsonata = sfn._validate_definition_jsonata(text)
    if jsonata:
        found.append((jsonata, "/"))
    return json_response({
        "result": "FAIL" if found else "OK", "truncated": False,
        "diagnostics": [{"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": message, "location": where}
                        for message, where in found]})
