"""The committed definitions of statemachines/ run here as Terraform would deploy them, with stand-ins for the functions."""

import json
import sys
import unittest
from pathlib import Path

from tests.harness import ACCOUNT, REGION, Emulator
from tests.test_containers import NETWORK, pascal

MACHINES = Path(__file__).resolve().parents[3] / "statemachines"
PLACEHOLDERS = ("open_run", "begin_task", "expand_map", "finish_task", "close_run")
STANDINS = '''
import json, os
class Cauce_TaskFailed(Exception): pass
LAUNCH = json.loads(os.environ["LAUNCH"])
def answer(aws, event, value):
    aws("states", "AWSStepFunctions.SendTaskSuccess", {"taskToken": event["token"], "output": json.dumps(value)})
def refuse(aws, event, error, cause="{}"):
    aws("states", "AWSStepFunctions.SendTaskFailure", {"taskToken": event["token"], "error": error, "cause": cause})
def again(aws, key):
    """Whether this is asked for the first time, by a table of what was asked."""
    seen = aws("dynamodb", "DynamoDB_20120810.UpdateItem", {"TableName": "asked", "Key": {"pk": {"S": key}},
        "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}, "ReturnValues": "ALL_NEW"})
    return int(seen["Attributes"]["n"]["N"])
def handle(event, aws):
    if "pipeline" in event and "token" in event and "task" not in event:
        answer(aws, event, {"run_key": "key", "generation": 1, "machines": json.loads(os.environ["MACHINES"])})
        return {}
    key = event.get("task", "close")
    if "token" in event:
        number = again(aws, "begin/" + key)
        if number == 1:
            refuse(aws, event, "Cauce.Wait", json.dumps({"seconds": 1}))
        elif number == 2:
            refuse(aws, event, "Cauce.Again")
        elif key.startswith("skip"):
            refuse(aws, event, "Cauce.Skipped")
        else:
            launch = dict(LAUNCH, ClientToken="%s-%d" % (key, number))
            answer(aws, event, {"launch": launch, "timeout_seconds": 60, "attempt": number - 2, "fence": number})
        return {}
    again(aws, ("settle/" if "error" in event else "finish/") + key)
    if "error" in event:
        return {"decision": "retry", "seconds": 1} if again(aws, "failure/" + key) == 1 else {"decision": "fail"}
    return {}
'''


def setUpModule():
    global CLOUD, FUNCTION
    program = "import sys; sys.exit(int(sys.argv[1]))"
    CLOUD = Emulator({"work": [sys.executable, "-c", program]}, "--wait-scale", "0.01")
    CLOUD.call("dynamodb", "CreateTable", TableName="asked", BillingMode="PAY_PER_REQUEST",
               AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
               KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    CLOUD.call("ecs", "CreateCluster", clusterName="cluster")
    CLOUD.call("ecs", "RegisterTaskDefinition", family="work", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
               cpu="256", memory="512", containerDefinitions=[{"name": "main", "image": "work"}])


def tearDownModule():
    CLOUD.stop()


def deploy(name, path, exit_code=0):
    """Deploys a definition with functions of its own; returns the version's ARN."""
    launch = pascal({"cluster": "cluster", "taskDefinition": "work", "launchType": "FARGATE",
                     "networkConfiguration": NETWORK,
                     "overrides": {"containerOverrides": [{"name": "main", "command": [str(exit_code)]}]}})
    text = path.read_text()
    if not hasattr(CLOUD, "kinds"):
        CLOUD.kinds = {}
    function = CLOUD.function(f"standin-{name}", STANDINS, Environment={"Variables": {
        "LAUNCH": json.dumps(launch), "MACHINES": json.dumps(CLOUD.kinds)}})
    for placeholder in PLACEHOLDERS:
        text = text.replace("${%s}" % placeholder, function)
    return CLOUD.machine(name, json.loads(text))["stateMachineVersionArn"]


def asked(key):
    item = CLOUD.call("dynamodb", "GetItem", TableName="asked", Key={"pk": {"S": key}}).get("Item")
    return int(item["n"]["N"]) if item else 0


class Lifecycles(unittest.TestCase):
    def run_task(self, name, task, exit_code=0):
        machine = deploy(name, MACHINES / "system/container.asl.json", exit_code)
        return CLOUD.run(machine, {"run_key": "key", "generation": 1, "version": "v", "task": task})

    def test_a_container_task_succeeds_after_it_waited(self):
        ended = self.run_task("container-good", "good")
        self.assertEqual((ended["status"], ended["output"]), ("SUCCEEDED", "{}"))
        self.assertEqual((asked("begin/good"), asked("finish/good")), (3, 1))

    def test_a_skipped_task_is_not_launched(self):
        self.assertEqual(self.run_task("container-skip", "skip")["status"], "SUCCEEDED")
        self.assertEqual((asked("begin/skip"), asked("finish/skip")), (3, 0))

    def test_a_failed_container_is_settled_and_tried_again(self):
        ended = self.run_task("container-bad", "bad", 7)
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "States.TaskFailed"))
        self.assertEqual(json.loads(ended["cause"])["Containers"][0]["ExitCode"], 7)
        self.assertEqual((asked("begin/bad"), asked("settle/bad")), (4, 2))


class Pipelines(unittest.TestCase):
    def test_every_committed_pipeline_runs_through(self):
        for kind in ("container", "wait_for"):
            CLOUD.kinds[kind] = deploy(f"kind-{kind}", MACHINES / "system/container.asl.json")
        child = CLOUD.machine("any", {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})["stateMachineVersionArn"]
        CLOUD.kinds["pipeline"] = child
        for path in sorted(MACHINES.glob("*/*.asl.json")):
            if path.parent.name == "system":
                continue
            with self.subTest(path.stem):
                ended = CLOUD.run(deploy(path.stem.replace(".", "-"), path), {})
                self.assertEqual(ended["status"], "SUCCEEDED", ended.get("cause"))


class Evidence(unittest.TestCase):
    def test_principals_of_a_whole_run(self):
        machine = deploy("evidence", MACHINES / "system/container.asl.json")
        CLOUD.run(machine, {"run_key": "key", "generation": 1, "version": "v", "task": "evidence"})
        calls = CLOUD.control("GET", "calls")["calls"]
        self.assertTrue(all(line["principal"] for line in calls))
        launched = {line["principal"] for line in calls if line["action"] == "ecs:RunTask"}
        self.assertIn(f"arn:aws:iam::{ACCOUNT}:role/evidence-machine", launched)
        answers = {line["principal"] for line in calls if line["action"] == "states:SendTaskSuccess"}
        self.assertTrue(answers and all("standin" in principal for principal in answers))
        self.assertTrue(any(line["resource"].startswith(f"arn:aws:ecs:{REGION}:{ACCOUNT}:") for line in calls
                            if line["action"] == "ecs:DescribeTasks"))


if __name__ == "__main__":
    unittest.main()
