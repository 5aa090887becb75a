"""State machines: what the compiled definitions rely on."""

import json
import unittest

from tests.harness import Emulator, Refused

CALLBACK = '''
import json
class Cauce_Denied(Exception): pass
def handle(event, aws):
    kind = event.get("do")
    if kind == "raise":
        raise Cauce_Denied("no")
    if kind == "silent":
        return {}
    if kind == "wait":
        aws("states", "AWSStepFunctions.SendTaskFailure", {"taskToken": event["token"], "error": "Cauce.Wait",
            "cause": json.dumps({"seconds": 1})})
        return {}
    aws("states", "AWSStepFunctions.SendTaskSuccess", {"taskToken": event["token"], "output": json.dumps(
        {"launch": {"a": [1]}, "timeout_seconds": 1, "retries": event.get("retries")})})
    return {}
'''
ECHO = '''
class Some_Error(Exception): pass
def handle(event, aws):
    if event == "fail":
        raise Some_Error("told to")
    return event
'''


def setUpModule():
    global CLOUD
    CLOUD = Emulator(None, "--wait-scale", "0.01")
    CLOUD.function("callback", CALLBACK)
    CLOUD.function("echo", ECHO)


def tearDownModule():
    CLOUD.stop()


def jsonata(start, **states):
    return {"QueryLanguage": "JSONata", "StartAt": start, "States": states}


def invoke(function, payload, **more):
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": function, "Payload": payload}, **more}


def token(payload, **more):
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Arguments": {
        "FunctionName": "callback", "Payload": {"token": "{% $states.context.Task.Token %}", **payload}}, **more}


class Callbacks(unittest.TestCase):
    def test_a_function_answers_its_own_token_before_it_returns(self):
        machine = CLOUD.machine("own", jsonata(
            "Begin",
            Begin=token({}, Assign={"launch": "{% $states.result.launch %}", "t": "{% $states.result.timeout_seconds %}"},
                        Output={}, Next="Show"),
            Show={"Type": "Pass", "Output": "{% {'launch': $launch, 't': $t} %}", "Next": "Ended"},
            Ended={"Type": "Succeed"}))
        ended = CLOUD.run(machine["stateMachineArn"])
        self.assertEqual(json.loads(ended["output"]), {"launch": {"a": [1]}, "t": 1})

    def test_a_failure_of_the_token_is_caught_with_its_cause(self):
        machine = CLOUD.machine("waits", jsonata(
            "Begin",
            Begin=token({"do": "wait"}, End=True, Catch=[{
                "ErrorEquals": ["Cauce.Wait"], "Output": {}, "Next": "Show",
                "Assign": {"seconds": "{% $parse($states.errorOutput.Cause).seconds %}"}}]),
            Show={"Type": "Succeed", "Output": "{% $seconds %}"}))
        self.assertEqual(CLOUD.run(machine["stateMachineArn"])["output"], "1")

    def test_an_error_of_the_function_fails_the_task_under_its_name(self):
        machine = CLOUD.machine("raises", jsonata("Begin", Begin=token({"do": "raise"}, End=True)))
        ended = CLOUD.run(machine["stateMachineArn"])
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "Cauce.Denied"))
        self.assertEqual(json.loads(ended["cause"])["errorMessage"], "no")

    def test_each_retry_has_a_token_of_its_own_and_counts(self):
        states = token({"do": "silent"}, HeartbeatSeconds=1, End=True,
                       Retry=[{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1,
                               "JitterStrategy": "FULL", "MaxDelaySeconds": 2}])
        machine = CLOUD.machine("beats", jsonata("Begin", Begin=states))
        ended = CLOUD.run(machine["stateMachineArn"])
        self.assertEqual(ended["error"], "States.HeartbeatTimeout")
        history = CLOUD.call("states", "GetExecutionHistory", executionArn=ended["executionArn"])["events"]
        tokens = [json.loads(e["taskScheduledEventDetails"]["parameters"])["Payload"]["token"]
                  for e in history if e["type"] == "TaskScheduled"]
        self.assertEqual(len(set(tokens)), 2)
        with self.assertRaises(Refused) as refused:
            CLOUD.call("states", "SendTaskSuccess", taskToken=tokens[0], output="{}")
        self.assertEqual(refused.exception.code, "TaskTimedOut")

    def test_branches_keep_their_tokens_and_variables_apart(self):
        branches = [{"StartAt": "One", "States": {
            "One": {"Type": "Pass", "Assign": {"mine": number}, "Next": "Meanwhile"},
            "Meanwhile": token({}, Output={}, Next="Two"),  # so long that the others have assigned theirs
            "Two": {"Type": "Succeed", "Output": "{% $mine + $outer %}"}}} for number in range(12)]
        machine = CLOUD.machine("branches", jsonata(
            "Set", Set={"Type": "Pass", "Assign": {"outer": 100}, "Next": "All"},
            All={"Type": "Parallel", "Branches": branches, "Assign": {"sum": "{% $sum($states.result) %}"},
                 "Output": "{% $count($states.result) %}", "Next": "End"},
            End={"Type": "Succeed", "Output": "{% [$states.input, $sum] %}"}))
        self.assertEqual(json.loads(CLOUD.run(machine["stateMachineArn"])["output"]), [12, 1266])


class Limits(unittest.TestCase):
    def test_a_timeout_may_be_an_expression(self):
        machine = CLOUD.machine("slow", jsonata(
            "Set", Set={"Type": "Pass", "Assign": {"t": 1}, "Next": "Begin"},
            Begin=token({"do": "silent"}, TimeoutSeconds="{% $t %}", End=True,
                        Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Late"}]),
            Late={"Type": "Succeed", "Output": "late"}))
        self.assertEqual(CLOUD.run(machine["stateMachineArn"])["output"], '"late"')

    def test_a_machine_times_out(self):
        machine = CLOUD.machine("limited", {**jsonata("Begin", Begin=token({"do": "silent"}, End=True)),
                                            "TimeoutSeconds": 1})
        self.assertEqual(CLOUD.run(machine["stateMachineArn"])["status"], "TIMED_OUT")

    def test_too_much_data_is_not_caught_by_all(self):
        big = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True,
               "Arguments": {"FunctionName": "echo", "Payload": "{% $pad('', 300000, 'x') %}"},
               "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]}
        machine = CLOUD.machine("big", jsonata("Big", Big=big, Caught={"Type": "Succeed"}))
        self.assertEqual(CLOUD.run(machine["stateMachineArn"])["error"], "States.DataLimitExceeded")

    def test_definitions_without_a_next_are_refused(self):
        for states in ({"A": {"Type": "Pass"}}, {"A": {"Type": "Pass", "Next": "B"}},
                       {"A": {"Type": "Parallel", "End": True, "Branches": [{"StartAt": "X", "States": {}}]}}):
            with self.assertRaises(Refused) as refused:
                CLOUD.machine("wrong", jsonata("A", **states))
            self.assertEqual(refused.exception.code, "InvalidDefinition")


class Ends(unittest.TestCase):
    def test_versions_run_what_they_were_published_with(self):
        first = CLOUD.machine("versions", jsonata("A", A={"Type": "Succeed", "Output": "one"}))
        second = CLOUD.call("states", "UpdateStateMachine", stateMachineArn=first["stateMachineArn"], publish=True,
                            definition=json.dumps(jsonata("A", A={"Type": "Succeed", "Output": "two"})))
        outputs = [CLOUD.run(arn)["output"] for arn in (first["stateMachineVersionArn"],
                                                       second["stateMachineVersionArn"], first["stateMachineArn"])]
        self.assertEqual(outputs, ['"one"', '"two"', '"two"'])

    def test_the_same_name_and_input_is_the_same_execution_while_it_is_open(self):
        machine = CLOUD.machine("named", jsonata("A", A=token({"do": "silent"}, End=True)))["stateMachineArn"]
        first = CLOUD.start(machine, {"a": 1}, "x")
        self.assertEqual(CLOUD.start(machine, {"a": 1}, "x"), first)
        for stop, data in ((False, {"a": 2}), (True, {"a": 1})):
            if stop:
                CLOUD.call("states", "StopExecution", executionArn=first)
            with self.assertRaises(Refused) as refused:
                CLOUD.start(machine, data, "x")
            self.assertEqual(refused.exception.code, "ExecutionAlreadyExists")

    def test_a_nested_failure_is_a_task_failure_with_the_execution_as_its_cause(self):
        child = CLOUD.machine("child", jsonata("A", A={"Type": "Fail", "Error": "Mine", "Cause": "because"}))
        parent = CLOUD.machine("parent", jsonata("A", A={
            "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True,
            "Arguments": {"StateMachineArn": child["stateMachineVersionArn"], "Name": "c", "Input": {"x": 1}}}))
        ended = CLOUD.run(parent["stateMachineArn"])
        cause = json.loads(ended["cause"])
        self.assertEqual(ended["error"], "States.TaskFailed")
        self.assertEqual((cause["Error"], cause["Cause"], cause["Status"], cause["Name"]), ("Mine", "because", "FAILED", "c"))

    def test_stopping_stops_what_is_nested(self):
        child = CLOUD.machine("open-child", jsonata("A", A=token({"do": "silent"}, End=True)))
        parent = CLOUD.machine("open-parent", jsonata("A", A={
            "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True,
            "Arguments": {"StateMachineArn": child["stateMachineArn"], "Name": "nested"}}))
        execution = CLOUD.start(parent["stateMachineArn"])
        self.assertTrue(CLOUD.control("GET", "calls", action="states:DescribeExecution", at_least=1,
                                      resource=child["stateMachineArn"].replace(":stateMachine:", ":execution:") + ":nested"))
        CLOUD.call("states", "StopExecution", executionArn=execution, error="E", cause="C")
        nested = execution.rsplit(":", 2)[0] + ":open-child:nested"
        self.assertEqual(CLOUD.end(nested)["status"], "ABORTED")
        self.assertEqual(CLOUD.end(execution)["status"], "ABORTED")

    def test_what_the_role_may_not_stop_goes_on(self):
        child = CLOUD.machine("free-child", jsonata("A", A=token({"do": "silent"}, End=True)))
        nested = child["stateMachineArn"].replace(":stateMachine:", ":execution:")
        for number, (allowed, status) in enumerate([("states:Stop*", "ABORTED"), ("states:DescribeExecution", "RUNNING")]):
            policy = {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": allowed, "Resource": f"{nested}:*"}]}
            role = f"free-parent-{number}-machine"
            CLOUD.iam("CreateRole", RoleName=role, AssumeRolePolicyDocument="{}")
            CLOUD.iam("PutRolePolicy", RoleName=role, PolicyName="p", PolicyDocument=json.dumps(policy))
            parent = CLOUD.machine(f"free-parent-{number}", jsonata("A", A={
                "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True,
                "Arguments": {"StateMachineArn": child["stateMachineArn"], "Name": f"nested-{number}"}}))
            execution = CLOUD.start(parent["stateMachineArn"])
            self.assertTrue(CLOUD.control("GET", "calls", action="states:DescribeExecution", at_least=1,
                                          resource=f"{nested}:nested-{number}"))
            CLOUD.call("states", "StopExecution", executionArn=execution)
            self.assertEqual(CLOUD.end(execution)["status"], "ABORTED")
            described = CLOUD.call("states", "DescribeExecution", executionArn=f"{nested}:nested-{number}")
            self.assertEqual(described["status"], status)
            if status == "RUNNING":
                CLOUD.call("states", "StopExecution", executionArn=f"{nested}:nested-{number}")

    def test_redrive_begins_where_it_failed(self):
        machine = CLOUD.machine("redrive", jsonata(
            "A", A={"Type": "Pass", "Assign": {"kept": 7}, "Next": "B"},
            B=invoke("redriven", {"kept": "{% $kept %}"}, End=True, Output="{% $states.result.Payload %}")))
        failed = CLOUD.run(machine["stateMachineArn"])
        self.assertEqual((failed["status"], failed["redriveStatus"]), ("FAILED", "REDRIVABLE"))
        CLOUD.function("redriven", ECHO)
        CLOUD.call("states", "RedriveExecution", executionArn=failed["executionArn"])
        ended = CLOUD.end(failed["executionArn"])
        self.assertEqual((ended["output"], ended["redriveCount"]), ('{"kept": 7}', 1))
        with self.assertRaises(Refused) as refused:
            CLOUD.call("states", "RedriveExecution", executionArn=failed["executionArn"])
        self.assertEqual(refused.exception.code, "ExecutionNotRedrivable")


class Maps(unittest.TestCase):
    def run_map(self, name, mode, items, **more):
        machine = CLOUD.machine(name, jsonata("M", M={
            "Type": "Map", "Items": "{% $states.input.items %}", "MaxConcurrency": 3, "End": True,
            "ItemSelector": {"i": "{% $states.context.Map.Item.Index %}", "v": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": {"ProcessorConfig": {"Mode": mode, **({"ExecutionType": "STANDARD"} if mode != "INLINE" else {})},
                              "StartAt": "E", "States": {"E": invoke(
                                  "echo", "{% $states.input.v %}", End=True,
                                  Output="{% [$states.input.i, $states.result.Payload] %}")}},
            "Output": "{% {'n': $count($states.result), 'all': $states.result} %}", **more}))
        return CLOUD.run(machine["stateMachineArn"], {"items": items})

    def test_inline(self):
        ended = self.run_map("inline", "INLINE", ["a", "b", "c", "d"])
        self.assertEqual(json.loads(ended["output"]), {"n": 4, "all": [[0, "a"], [1, "b"], [2, "c"], [3, "d"]]})
        self.assertEqual(self.run_map("inline-fails", "INLINE", ["a", "fail"])["error"], "Some.Error")

    def test_distributed(self):
        ended = self.run_map("distributed", "DISTRIBUTED", ["a", "fail", "c"], ToleratedFailurePercentage=100)
        self.assertEqual(json.loads(ended["output"]), {"n": 2, "all": [[0, "a"], [2, "c"]]})
        ended = self.run_map("distributed-fails", "DISTRIBUTED", ["a", "fail"])
        self.assertEqual(ended["error"], "States.ExceedToleratedFailureThreshold")


class Values(unittest.TestCase):
    def test_one_assign_sees_the_values_from_before(self):
        machine = CLOUD.machine("assign", jsonata(
            "A", A={"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "B"},
            B={"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "C"},
            C={"Type": "Choice", "Choices": [{"Condition": "{% $a = 5 %}", "Next": "D"}], "Default": "D",
               "Output": "{% [$a, $b] %}"},
            D={"Type": "Succeed"}))
        self.assertEqual(json.loads(CLOUD.run(machine["stateMachineArn"])["output"]), [2, 1])

    def test_an_expression_may_take_longer_than_a_second(self):
        slow = "{% $count([1..60000][$sum([$, $, $]) > 0]) %}"
        machine = CLOUD.machine("patience", jsonata("A", A={"Type": "Succeed", "Output": slow}))
        self.assertEqual(CLOUD.run(machine["stateMachineArn"])["output"], "60000")

    def test_tracing_is_given_back(self):
        machine = CLOUD.machine("traced", jsonata("A", A={"Type": "Succeed"}))["stateMachineArn"]
        told = CLOUD.call("states", "DescribeStateMachine", stateMachineArn=machine)
        self.assertEqual(told["tracingConfiguration"], {"enabled": False})
        CLOUD.call("states", "UpdateStateMachine", stateMachineArn=machine, tracingConfiguration={"enabled": True})
        told = CLOUD.call("states", "DescribeStateMachine", stateMachineArn=machine)
        self.assertEqual(told["tracingConfiguration"], {"enabled": True})


if __name__ == "__main__":
    unittest.main()
