"""ECS tasks: processes of this machine with the life, the results and the events of Fargate tasks."""

import json
import sys
import unittest

from tests.harness import ACCOUNT, REGION, Emulator, Refused
from tests.test_executions import jsonata

PROGRAM = """
import os, signal, sys, time
word = sys.argv[1]
print("args", sys.argv[1:], flush=True)
if word == "env":
    print("environment", *sorted(os.environ), flush=True)
    print("secret", os.environ["PASSWORD"] == "s3cr3t", flush=True)
if word == "call":
    import urllib.request
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/made-by-task", method="PUT", headers={
        "authorization": "AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/s3/aws4_request"
                         % os.environ["AWS_ACCESS_KEY_ID"]})
    urllib.request.urlopen(request)
if word == "hang":
    signal.signal(signal.SIGTERM, lambda *_: (print("terminated", flush=True), sys.exit(143)))
    print("hanging", flush=True)
    signal.pause()
if word == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hanging", flush=True)
    while True:
        signal.pause()
if word == "die":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
"""
SYNC = {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "Arguments": "{% $states.input %}", "End": True}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}


def setUpModule():
    global CLOUD, DEFINITION, MACHINE
    CLOUD = Emulator({"worker": [sys.executable, "-c", PROGRAM], "team/mapped": {
        "argv": ["/app/python"], "paths": {"/app/python": sys.executable}, "env": {"FROM_IMAGE": "1"}}},
        "--stop-seconds", "1")
    CLOUD.call("ecs", "CreateCluster", clusterName="cluster")
    CLOUD.call("logs", "CreateLogGroup", logGroupName="/cauce/tasks")
    secret = CLOUD.call("secretsmanager", "CreateSecret", Name="erp", SecretString=json.dumps({"p": "s3cr3t"}))["ARN"]
    DEFINITION = define("work", "1.dkr.ecr.us-east-1.amazonaws.com/worker@sha256:00", secrets=[
        {"name": "PASSWORD", "valueFrom": f"{secret}:p::"}])
    define("nowhere", "unknown-image:1")
    MACHINE = CLOUD.machine("tasks", jsonata("Launch", Launch=SYNC))["stateMachineArn"]


def tearDownModule():
    CLOUD.stop()


def define(family, image, **more):
    return CLOUD.call(
        "ecs", "RegisterTaskDefinition", family=family, networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        cpu="256", memory="512", taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/task",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
        containerDefinitions=[{"name": "main", "image": image, "logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": "/cauce/tasks", "awslogs-region": REGION, "awslogs-stream-prefix": "task"}}, **more}],
    )["taskDefinition"]["taskDefinitionArn"]


def request(*command, family="work", **more):
    return {"cluster": "cluster", "taskDefinition": family, "launchType": "FARGATE", "networkConfiguration": NETWORK,
            "overrides": {"containerOverrides": [{"name": "main", "command": list(command)}]}, **more}


def pascal(value):
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(item) for key, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def launch(*command, **more):
    """Through the state machine: how it ended."""
    return CLOUD.run(MACHINE, pascal(request(*command, **more)))


def direct(*command, **more):
    """Through the API: the task, ended."""
    arn = CLOUD.call("ecs", "RunTask", **request(*command, **more))["tasks"][0]["taskArn"]
    return ended(arn)


def ended(arn):
    CLOUD.control("GET", "wait", task=arn)
    return CLOUD.call("ecs", "DescribeTasks", cluster="cluster", tasks=[arn], include=["TAGS"])["tasks"][0]


def lines(arn):
    events = CLOUD.call("logs", "GetLogEvents", logGroupName="/cauce/tasks",
                        logStreamName=f"task/main/{arn.rsplit('/', 1)[-1]}")["events"]
    return [event["message"] for event in events]


class Results(unittest.TestCase):
    def test_success_is_the_task_in_pascal_case(self):
        output = json.loads(launch("hello", tags=[{"key": "cauce:run", "value": "r"}])["output"])
        self.assertEqual(output["Containers"][0]["ExitCode"], 0)
        self.assertEqual((output["LastStatus"], output["StopCode"], output["StoppedReason"], output["StartedBy"]),
                         ("STOPPED", "EssentialContainerExited", "Essential container in task exited", "AWS Step Functions"))
        self.assertIsInstance(output["StartedAt"], int)
        self.assertEqual(lines(output["TaskArn"]), ["args ['hello']"])

    def test_an_exit_code_is_a_failure_with_the_task_as_its_cause(self):
        for command, code in ((("x", "1"), 1), (("die",), 137)):
            failed = launch(*command)
            self.assertEqual(failed["error"], "States.TaskFailed")
            cause = json.loads(failed["cause"])
            self.assertEqual(cause["Containers"][0]["ExitCode"], code)

    def test_an_image_that_is_not_there(self):
        failed = launch("x", family="nowhere")
        cause = json.loads(failed["cause"])
        self.assertEqual((failed["error"], cause["StopCode"]), ("States.TaskFailed", "TaskFailedToStart"))
        self.assertIn("CannotPullContainerError", cause["StoppedReason"])

    def test_errors_of_the_api_have_their_names(self):
        self.assertEqual(launch("x", family="none")["error"], "ECS.ClientException")
        self.assertEqual(launch("x", cluster="none")["error"], "ECS.ClusterNotFoundException")
        self.assertEqual(launch("x" * 8200)["error"], "ECS.InvalidParameterException")
        without = request("x")
        del without["networkConfiguration"]
        self.assertEqual(CLOUD.run(MACHINE, pascal(without))["error"], "ECS.InvalidParameterException")

    def test_fields_are_in_pascal_case(self):
        wrong = pascal(request("x"))
        wrong["Overrides"]["ContainerOverrides"][0]["command"] = ["x"]
        failed = CLOUD.run(MACHINE, wrong)
        self.assertEqual(failed["error"], "States.Runtime")
        self.assertIn('"command" is not supported', failed["cause"])

    def test_the_environment_is_clean(self):
        task = direct("env")
        _, names, secret = lines(task["taskArn"])
        self.assertEqual(secret, "secret True")
        self.assertNotIn("GATEWAY_PORT", names)
        self.assertIn("AWS_ENDPOINT_URL", names)
        everything = (CLOUD.state / "emulator.log").read_text() + (CLOUD.state / "calls.jsonl").read_text()
        self.assertNotIn("s3cr3t", everything)

    def test_paths_of_an_image_stand_for_paths_here(self):
        define("mapped", "host.example.com/team/mapped:1")
        task = direct("-c", "import os; print(os.environ['FROM_IMAGE'])", family="mapped")
        self.assertEqual(lines(task["taskArn"]), ["1"])


class Tokens(unittest.TestCase):
    def test_the_same_token_is_the_same_task(self):
        first = CLOUD.call("ecs", "RunTask", **request("a", clientToken="t1"))["tasks"][0]["taskArn"]
        again = CLOUD.call("ecs", "RunTask", **request("a", clientToken="t1"))["tasks"][0]["taskArn"]
        self.assertEqual(first, again)
        with self.assertRaises(Refused) as refused:
            CLOUD.call("ecs", "RunTask", **request("b", clientToken="t1"))
        self.assertEqual(refused.exception.code, "ConflictException")
        self.assertEqual(launch("b", clientToken="t1")["error"], "ECS.ConflictException")
        with self.assertRaises(Refused):
            CLOUD.call("ecs", "RunTask", **request("b", clientToken="t" * 65))


class Stops(unittest.TestCase):
    def test_stop_task_terminates_then_kills(self):
        for word, code in (("hang", 143), ("stubborn", 137)):
            arn = CLOUD.call("ecs", "RunTask", **request(word))["tasks"][0]["taskArn"]
            while "hanging" not in lines_or_none(arn):
                pass
            CLOUD.call("ecs", "StopTask", cluster="cluster", task=arn, reason="enough")
            task = ended(arn)
            self.assertEqual((task["stopCode"], task["stoppedReason"]), ("UserInitiated", "enough"))
            self.assertEqual(task["containers"][0]["exitCode"], code)

    def test_an_aborted_execution_stops_its_task(self):
        execution = CLOUD.start(MACHINE, pascal(request("hang", startedBy="aborted")))
        arns = []
        while not arns or "hanging" not in lines_or_none(arns[0]):
            arns = CLOUD.call("ecs", "ListTasks", cluster="cluster", startedBy="aborted")["taskArns"]
        CLOUD.call("states", "StopExecution", executionArn=execution)
        self.assertEqual(ended(arns[0])["stopCode"], "UserInitiated")


def lines_or_none(arn):
    try:
        return lines(arn)
    except Refused:
        return []


class Faults(unittest.TestCase):
    def tearDown(self):
        CLOUD.control("DELETE", "faults")

    def test_outcomes_of_the_next_task(self):
        CLOUD.fault(kind="task", family="work", exit_code=137, container_reason="OutOfMemoryError: Container killed")
        cause = json.loads(launch("x")["cause"])
        self.assertEqual((cause["Containers"][0]["ExitCode"], cause["Containers"][0]["Reason"]),
                         (137, "OutOfMemoryError: Container killed"))
        CLOUD.fault(kind="task", family="work", stop_code="SpotInterruption", exit_code=0, reason="Your Spot Task was interrupted.")
        self.assertEqual(json.loads(launch("x")["output"])["StopCode"], "SpotInterruption")
        CLOUD.fault(kind="task", family="work", stop_code="TaskFailedToStart", reason="CannotPullContainerError: x")
        self.assertEqual(json.loads(launch("x")["cause"])["StopCode"], "TaskFailedToStart")
        CLOUD.fault(kind="task", effect="refuse", family="work", reason="RESOURCE:CPU")
        self.assertEqual(launch("x")["error"], "AmazonECS.Unknown")
        self.assertEqual(launch("x")["status"], "SUCCEEDED")

    def test_a_call_of_step_functions_is_throttled(self):
        CLOUD.fault(kind="call", effect="throttle", service="ecs", operation="RunTask")
        self.assertEqual(launch("x")["error"], "ECS.ThrottlingException")

    def test_status_events_grow_and_can_be_dropped(self):
        queue = CLOUD.call("sqs", "CreateQueue", QueueName="states")["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:states"
        CLOUD.call("events", "PutRule", Name="ecs", EventPattern=json.dumps(
            {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"]}))
        CLOUD.call("events", "PutTargets", Rule="ecs", Targets=[{"Id": "q", "Arn": arn}])
        CLOUD.fault(kind="event", effect="drop", source="aws.ecs", status="PENDING")
        task = direct("x")
        received = []
        while not any(detail["lastStatus"] == "STOPPED" for detail in received):
            messages = CLOUD.call("sqs", "ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            received += [json.loads(message["Body"])["detail"] for message in messages]
        received = sorted((d for d in received if d["taskArn"] == task["taskArn"]), key=lambda d: d["version"])
        self.assertEqual([d["lastStatus"] for d in received], ["RUNNING", "DEPROVISIONING", "STOPPED"])
        self.assertEqual([d["version"] for d in received], [3, 4, 5])
        self.assertEqual(received[-1]["containers"][0]["exitCode"], 0)
        CLOUD.call("events", "RemoveTargets", Rule="ecs", Ids=["q"])


class Principals(unittest.TestCase):
    def test_each_call_has_its_role(self):
        direct("call")
        made = CLOUD.control("GET", "calls", action="s3:CreateBucket", at_least=1)["calls"]
        self.assertEqual(made[-1]["principal"], f"arn:aws:iam::{ACCOUNT}:role/task")
        secret = CLOUD.control("GET", "calls", action="secretsmanager:GetSecretValue")["calls"][-1]
        self.assertEqual(secret["principal"], f"arn:aws:iam::{ACCOUNT}:role/execution")
        launch("x")
        passed = CLOUD.control("GET", "calls", action="iam:PassRole")["calls"]
        self.assertEqual({line["principal"] for line in passed}, {f"arn:aws:iam::{ACCOUNT}:role/tasks-machine"})
        self.assertEqual({line["resource"].rsplit("/", 1)[1] for line in passed}, {"task", "execution"})


if __name__ == "__main__":
    unittest.main()
