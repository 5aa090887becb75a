"""Parallel and Map states."""

import contextvars
import copy
import json
import threading

from ministack.core.responses import new_uuid, now_iso
from ministack.services import stepfunctions as sfn

from cauce_emulator.executions import GUIDE
from cauce_emulator.lives import CURRENT, Halted, Life, current
from cauce_emulator.patching import replaces

INLINE_CONCURRENCY = 40
"""Iterations of an inline Map at a time (<https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html>)."""


def together(works: list, at_once: int, give_up: bool) -> list:
    """Runs works side by side; returns (good, value or error) of each. With `give_up` the first failure halts the
    others, as AWS does with the branches of a state that has failed."""
    outcomes: list = [None] * len(works)
    group = Life(current())
    gate = threading.Semaphore(at_once)
    over = threading.Event()
    left = [len(works)]
    lock = threading.Lock()
    failed: list = []

    def run(index, work):
        life = Life(group)
        CURRENT.set(life)
        with gate:
            try:
                life.check()
                outcomes[index] = (True, work())
            except Halted:
                outcomes[index] = (False, None)
            except Exception as error:
                if not isinstance(error, sfn._ExecutionError):
                    error = sfn._ExecutionError("States.Runtime", str(error))
                outcomes[index] = (False, error)
                with lock:
                    failed.append(error)
        with lock:
            left[0] -= 1
            if left[0] == 0 or (give_up and failed):
                over.set()

    for index, work in enumerate(works):
        threading.Thread(target=contextvars.copy_context().run, args=(run, index, work), daemon=True).start()
    if works:
        current().wait(over)
    if give_up and failed:
        group.halt()
        raise failed[0]
    return outcomes


def inside(context: dict, **more) -> dict:
    """The context of a branch: it reads the variables of outside, and assigns its own."""
    return {**copy.deepcopy(context), **more}


def result_of(state, raw, context, result):
    """Output and Assign of a Parallel or Map, in either language."""
    if sfn._state_query_language(state, context) == "JSONata":
        output = sfn._apply_jsonata_output(state, raw, context, result=result, default=result)
        sfn._apply_state_assign(state, raw, context, result=result)
        return output, sfn._next_or_end(state)
    output = sfn._apply_result_path(state, raw, sfn._apply_result_selector(state, result))
    return sfn._apply_output_path(state, output, context), sfn._next_or_end(state)


@replaces("services.stepfunctions", "_run_parallel_branches", "b8c7f69152976e05",
          """Ignores Output, Assign and Arguments, shares one context (so that branches mix up their tokens and
          variables), and waits for all branches after one failed. AWS halts the others.""",
          f"{GUIDE}/state-parallel.html")
def run_parallel_branches(state_def, raw_input, execution, ctx):
    if sfn._state_query_language(state_def, ctx) == "JSONata":
        data = sfn._apply_jsonata_arguments(state_def, raw_input, ctx)
    else:
        data = sfn._apply_parameters(state_def, sfn._apply_input_path(state_def, raw_input, ctx), ctx)
    works = [
        lambda branch=branch: sfn._run_sub_machine(
            branch.get("States", {}), branch.get("StartAt"), data, execution, inside(ctx))
        for branch in state_def.get("Branches", [])
    ]
    return result_of(state_def, raw_input, ctx, [value for _, value in together(works, len(works) or 1, True)])


def items_of(state, raw, context):
    """The items of a Map: Items, ItemsPath, or what its ItemReader reads."""
    jsonata = sfn._state_query_language(state, context) == "JSONata"
    data = sfn._apply_input_path(state, raw, context)
    if state.get("ItemReader"):
        reader = dict(state["ItemReader"])
        if jsonata and "Arguments" in reader:
            reader["Arguments"] = sfn._apply_jsonata_template(reader["Arguments"], raw, context)
        return sfn._read_map_items(reader, data, context)
    if jsonata:
        return sfn._jsonata_state_field(state, "Items", "array", raw, context) if "Items" in state else raw
    return sfn._resolve_path_or_ctx(state.get("ItemsPath", "$"), data, context)


def input_of(state, raw, context, index, item):
    """The input of an iteration, and its context."""
    there = inside(context, Map={"Item": {"Index": index, "Value": item}})
    selector = state.get("ItemSelector") or state.get("Parameters")
    if not selector:
        return item, there
    if sfn._state_query_language(state, context) == "JSONata":
        return sfn._apply_jsonata_template(selector, raw, there), there
    return sfn._resolve_params_obj(selector, sfn._apply_input_path(state, raw, context), there), there


def number_of(state, field, raw, context) -> float:
    """A number that may be an expression; 0 without it."""
    if field not in state:
        return 0
    return float(sfn._jsonata_state_field(state, field, "number", raw, context)
                 if isinstance(state[field], str) else state[field])


@replaces("services.stepfunctions", "_run_map_items", "5df19a8074ce768c",
          """Runs any number of iterations at once, all of them after one failed, and takes what is no array for an
          array of one.""", f"{GUIDE}/state-map-inline.html")
def run_map_items(state_def, raw_input, execution, ctx):
    processor = state_def.get("ItemProcessor") or state_def.get("Iterator") or {}
    if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
        return sfn._run_distributed_map(state_def, raw_input, raw_input, processor, execution, ctx)
    items = items_of(state_def, raw_input, ctx)
    if not isinstance(items, list):
        raise sfn._ExecutionError("States.Runtime", "the items of a Map must be an array")
    limit = int(number_of(state_def, "MaxConcurrency", raw_input, ctx))
    works = []
    for index, item in enumerate(items):
        data, there = input_of(state_def, raw_input, ctx, index, item)
        works.append(lambda data=data, there=there: sfn._run_sub_machine(
            processor.get("States", {}), processor.get("StartAt"), data, execution, there))
    outcomes = together(works, min(limit or INLINE_CONCURRENCY, INLINE_CONCURRENCY), True)
    return result_of(state_def, raw_input, ctx, [value for _, value in outcomes])


@replaces("services.stepfunctions", "_run_distributed_map", "2b77d3ec0e04f8f1",
          """Ignores the JSONata fields (Items, ItemSelector, Output, Assign, limits as expressions), and goes on after
          the execution was stopped.""", f"{GUIDE}/state-map-distributed.html")
def run_distributed_map(state_def, raw_input, effective, iterator, execution, ctx):
    items = items_of(state_def, raw_input, ctx)
    if not isinstance(items, list):
        raise sfn._ExecutionError("States.Runtime", "the items of a Map must be an array")
    _, _, _, region, account, _, machine = execution["stateMachineArn"].split(":")[:7]
    label = state_def.get("Label") or new_uuid()
    prefix = f"arn:aws:states:{region}:{account}"
    run_arn = f"{prefix}:mapRun:{machine}/{label}:{new_uuid()}"
    counts = {key: 0 for key in ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total",
                                 "resultsWritten", "failuresNotRedrivable", "pendingRedrive")}
    at_once = int(number_of(state_def, "MaxConcurrency", raw_input, ctx))
    count = number_of(state_def, "ToleratedFailureCount", raw_input, ctx)
    percentage = number_of(state_def, "ToleratedFailurePercentage", raw_input, ctx)
    run = {
        "mapRunArn": run_arn, "executionArn": execution["executionArn"], "status": "RUNNING",
        "startDate": now_iso(), "maxConcurrency": at_once, "toleratedFailurePercentage": percentage,
        "toleratedFailureCount": int(count), "redriveCount": 0,
        "itemCounts": dict(counts, total=len(items), pending=len(items)),
        "executionCounts": dict(counts, total=len(items), pending=len(items)),
        "_stateMachineArn": f"{prefix}:stateMachine:{machine}/{label}",
    }
    sfn._map_runs[run_arn] = run
    lock = threading.Lock()

    def moved(source, target):
        with lock:
            for part in ("itemCounts", "executionCounts"):
                run[part][source] -= 1
                run[part][target] += 1

    def one(index, item):
        data, there = input_of(state_def, raw_input, ctx, index, item)
        name = new_uuid()
        child = {
            "executionArn": f"{prefix}:execution:{machine}/{label}:{name}", "stateMachineArn": run["_stateMachineArn"],
            "name": name, "status": "RUNNING", "startDate": now_iso(), "stopDate": None, "input": json.dumps(data),
            "inputDetails": {"included": True}, "output": None, "outputDetails": {"included": True},
            "mapRunArn": run_arn, "events": [], "testCase": "", "mockAttempts": {},
            "_parent": execution.get("_parent") or execution["executionArn"],
        }
        sfn._executions[child["executionArn"]] = child
        there["Execution"] = {**there["Execution"], "Id": child["executionArn"], "Name": name, "Input": data}
        there["variables"] = {}
        moved("pending", "running")
        try:
            value = sfn._run_sub_machine(
                iterator.get("States", {}), iterator.get("StartAt"), data, child, there)
            child.update(status="SUCCEEDED", output=json.dumps(value), stopDate=now_iso())
            moved("running", "succeeded")
            return value
        except sfn._ExecutionError as error:
            child.update(status="FAILED", error=error.error, cause=error.cause, stopDate=now_iso())
            moved("running", "failed")
            raise
        except Halted:
            child.update(status="ABORTED", stopDate=now_iso())
            moved("running", "aborted")
            raise

    works = [lambda index=index, item=item: one(index, item) for index, item in enumerate(items)]
    outcomes = together(works, at_once or 64, False)
    failed = sum(1 for good, _ in outcomes if not good)
    over = failed * 100 > percentage * len(items) if "ToleratedFailurePercentage" in state_def else failed > count
    run.update(status="FAILED" if over else "SUCCEEDED", stopDate=now_iso())
    if over:
        raise sfn._ExecutionError("States.ExceedToleratedFailureThreshold",
                                  "The specified tolerated failure threshold was exceeded")
    return result_of(state_def, raw_input, ctx, [value for good, value in outcomes if good])
