"""Lambda: real processes, their journal, their roles, and what happens when they die."""

import json
import os
import unittest

from tests.harness import ACCOUNT, REGION, Emulator

STORE = '''
import time
class Bad_Message(Exception): pass
def handle(event, aws):
    if "Records" in event:
        failed = [r["messageId"] for r in event["Records"] if "poison" in r["body"]]
        for record in event["Records"]:
            aws("dynamodb", "DynamoDB_20120810.UpdateItem", {"TableName": "store", "Key": {"pk": {"S": "seen"}},
                "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}})
        return {"batchItemFailures": [{"itemIdentifier": i} for i in failed]}
    if event.get("do") == "sleep":
        time.sleep(60)
    if event.get("do") == "environment":
        import os
        return dict(os.environ)
    for number in range(event.get("calls", 0)):
        aws("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": "store", "Item": {"pk": {"S": "%s%d" % (event["as"], number)}}})
    return event
'''


def setUpModule():
    global CLOUD
    CLOUD = Emulator()
    CLOUD.call("dynamodb", "CreateTable", TableName="store", BillingMode="PAY_PER_REQUEST",
               AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
               KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    CLOUD.function("work", STORE)
    CLOUD.function("impatient", STORE, Timeout=1)
    CLOUD.function("batches", STORE)


def tearDownModule():
    CLOUD.stop()


def there(key):
    return "Item" in CLOUD.call("dynamodb", "GetItem", TableName="store", Key={"pk": {"S": key}})


class Environments(unittest.TestCase):
    def test_one_environment_serves_many_invocations_and_all_is_written_down(self):
        for number in range(3):
            self.assertEqual(CLOUD.invoke("work", {"n": number}), (None, {"n": number}))
        lines = CLOUD.control("GET", "lambdas", function="work")["lambdas"]
        starts = [line for line in lines if line["event"] == "start"]
        self.assertGreater(starts[-1]["init_ms"], 0)
        os.kill(starts[-1]["pid"], 0)
        done = [line for line in lines if line["event"] == "invocation" and line["pid"] == starts[-1]["pid"]]
        self.assertGreaterEqual(len(done), 3)
        self.assertTrue(all(line["status"] == "ok" and line["duration_ms"] > 0 for line in done))
        self.assertTrue((CLOUD.state / "lambdas.jsonl").read_text().count('"start"'))

    def test_the_environment_is_lambdas(self):
        _, found = CLOUD.invoke("work", {"do": "environment"})
        self.assertEqual(found["AWS_LAMBDA_FUNCTION_NAME"], "work")
        self.assertEqual(found["AWS_ENDPOINT_URL"], CLOUD.endpoint)
        self.assertNotIn("GATEWAY_PORT", found)

    def test_a_timeout_kills_the_process(self):
        error, body = CLOUD.invoke("impatient", {"do": "sleep"})
        self.assertEqual((error, body["errorType"]), ("Unhandled", "Sandbox.Timedout"))
        pid = CLOUD.control("GET", "lambdas", function="impatient", event="start")["lambdas"][0]["pid"]
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_killed_before_and_after_its_second_call(self):
        for moment, second in (("before_call", False), ("after_call", True)):
            CLOUD.fault(kind="kill", function="work", **{moment: 2})
            error, body = CLOUD.invoke("work", {"calls": 3, "as": moment})
            self.assertEqual((error, body["errorType"]), ("Unhandled", "Runtime.ExitError"))
            self.assertEqual([there(f"{moment}{n}") for n in range(3)], [True, second, False])
        self.assertEqual(CLOUD.invoke("work", {"calls": 1, "as": "again"})[0], None)

    def test_an_environment_that_hangs_is_ended_at_its_timeout_and_the_next_one_works(self):
        for moment, second in (("before_call", False), ("after_call", True)):
            name = f"hung_{moment}"
            CLOUD.fault(kind="hang", function="impatient", **{moment: 2})
            error, body = CLOUD.invoke("impatient", {"calls": 3, "as": name})
            self.assertEqual((error, body["errorType"]), ("Unhandled", "Sandbox.Timedout"))
            self.assertEqual([there(f"{name}{n}") for n in range(3)], [True, second, False])
            pid = CLOUD.control("GET", "lambdas", function="impatient", event="hung")["lambdas"][-1]["pid"]
            with self.assertRaises(ProcessLookupError):
                os.kill(pid, 0)
            self.assertEqual(CLOUD.invoke("impatient", {"calls": 1, "as": f"{name}-again"})[0], None)


class Calls(unittest.TestCase):
    def test_calls_carry_the_role_of_the_function(self):
        CLOUD.invoke("work", {"calls": 1, "as": "role"})
        lines = CLOUD.control("GET", "calls", action="dynamodb:PutItem", at_least=1,
                              principal=f"arn:aws:iam::{ACCOUNT}:role/work-role")["calls"]
        self.assertEqual({line["resource"] for line in lines}, {f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/store"})

    def test_a_transaction_is_its_items(self):
        CLOUD.control("DELETE", "calls")
        key = {"pk": {"S": "transaction"}}
        CLOUD.call("dynamodb", "TransactWriteItems", TransactItems=[
            {"Put": {"TableName": "store", "Item": key}},
            {"ConditionCheck": {"TableName": "store", "Key": {"pk": {"S": "x"}}, "ConditionExpression": "attribute_not_exists(pk)"}}])
        lines = CLOUD.control("GET", "calls")["calls"]
        self.assertEqual([line["action"] for line in lines], ["dynamodb:PutItem", "dynamodb:ConditionCheckItem"])
        self.assertEqual({line["principal"] for line in lines}, {"caller"})

    def test_faults_of_calls(self):
        from tests.harness import Refused

        put = {"TableName": "store", "Item": {"pk": {"S": "faulty"}}}
        for effect, status, applied in (("throttle", 400, False), ("fail", 500, False), ("lose", 500, True)):
            CLOUD.fault(kind="call", effect=effect, service="dynamodb", operation="PutItem", resource="table/store")
            with self.assertRaises(Refused) as refused:
                CLOUD.call("dynamodb", "PutItem", **put)
            self.assertEqual((refused.exception.status, there("faulty")), (status, applied))
        CLOUD.call("dynamodb", "PutItem", **put)
        with self.assertRaises(Refused):
            CLOUD.fault(kind="call", effect="explode")


CIRCLE = '''
import json
def handle(event, aws):
    record = event["Records"][0]
    left = json.loads(record["body"])["left"]
    aws("dynamodb", "DynamoDB_20120810.UpdateItem", {"TableName": "store", "Key": {"pk": {"S": record["eventSourceARN"]}},
        "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}})
    if left:
        queue = aws("sqs", "AmazonSQS.GetQueueUrl", {"QueueName": record["eventSourceARN"].split(":")[-1]})["QueueUrl"]
        aws("sqs", "AmazonSQS.SendMessage", {"QueueUrl": queue, "MessageBody": json.dumps({"left": left - 1})})
'''


class Circles(unittest.TestCase):
    def circle(self, name, rounds):
        """A function that is called by a queue and sends to it; the ARN of the queue, and of where it gives up."""
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
        CLOUD.call("sqs", "CreateQueue", QueueName=f"{name}-dead")
        queue = CLOUD.call("sqs", "CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(
            {"deadLetterTargetArn": f"{arn}{name}-dead", "maxReceiveCount": 1})})["QueueUrl"]
        CLOUD.function(name, CIRCLE)
        CLOUD.rest("lambda", "POST", "/2015-03-31/event-source-mappings/", {"FunctionName": name, "EventSourceArn": arn + name})
        return queue, json.dumps({"left": rounds - 1}), arn + name

    def calls(self, arn):
        item = CLOUD.call("dynamodb", "GetItem", TableName="store", Key={"pk": {"S": arn}}).get("Item")
        return int(item["n"]["N"]) if item else 0

    def test_a_chain_ends_after_sixteen_calls(self):
        queue, body, arn = self.circle("round", 20)
        CLOUD.call("sqs", "SendMessage", QueueUrl=queue, MessageBody=body)
        CLOUD.control("GET", "lambdas", function="round", event="recursion", at_least=1)
        self.assertEqual(self.calls(arn), 16)
        letters = []
        while not letters:
            letters = CLOUD.call("sqs", "ReceiveMessage", QueueUrl=f"{queue}-dead", WaitTimeSeconds=5).get("Messages", [])
        self.assertEqual(json.loads(letters[0]["Body"]), {"left": 3})

    def test_a_function_may_be_allowed_to_go_round(self):
        queue, body, arn = self.circle("allowed", 20)
        config = "/2024-08-31/functions/allowed/recursion-config"
        self.assertEqual(CLOUD.rest("lambda", "GET", config), {"RecursiveLoop": "Terminate"})
        CLOUD.rest("lambda", "PUT", config, {"RecursiveLoop": "Allow"})
        CLOUD.call("sqs", "SendMessage", QueueUrl=queue, MessageBody=body)
        CLOUD.control("GET", "lambdas", function="allowed", event="invocation", at_least=20)
        self.assertEqual(self.calls(arn), 20)


class Files(unittest.TestCase):
    def test_a_file_reaches_the_function_and_poison_goes_to_the_dead_letters(self):
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
        dead = CLOUD.call("sqs", "CreateQueue", QueueName="dead")["QueueUrl"]
        CLOUD.call("sqs", "CreateQueue", QueueName="triggers", Attributes={
            "VisibilityTimeout": "1", "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn + "dead", "maxReceiveCount": 2})})
        CLOUD.rest("lambda", "POST", "/2015-03-31/event-source-mappings/", {
            "FunctionName": "batches", "EventSourceArn": arn + "triggers", "FunctionResponseTypes": ["ReportBatchItemFailures"]})
        CLOUD.send("PUT", "/landing")
        CLOUD.send("PUT", "/landing?notification",
                   b"<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>")
        CLOUD.call("events", "PutRule", Name="files", EventPattern=json.dumps(
            {"source": ["aws.s3"], "detail": {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": "in/"}]}}}))
        CLOUD.call("events", "PutTargets", Rule="files", Targets=[{"Id": "q", "Arn": arn + "triggers"}])
        CLOUD.fault(kind="event", effect="duplicate", source="aws.s3")
        CLOUD.send("PUT", "/landing/in/a%20b%2Bc.csv", b"x")
        CLOUD.send("PUT", "/landing/in/poison.csv", b"x")
        letters = []
        while not letters:
            letters = CLOUD.call("sqs", "ReceiveMessage", QueueUrl=dead, WaitTimeSeconds=5).get("Messages", [])
        self.assertEqual(json.loads(letters[0]["Body"])["detail"]["object"]["key"], "in/poison.csv")
        seen = CLOUD.call("dynamodb", "GetItem", TableName="store", Key={"pk": {"S": "seen"}})["Item"]["n"]["N"]
        self.assertEqual(int(seen), 4)  # the file twice, the poison at each of its two tries
        principals = {line["principal"] for line in CLOUD.control("GET", "calls", action="sqs:SendMessage")["calls"]}
        self.assertIn("events.amazonaws.com", principals)


if __name__ == "__main__":
    unittest.main()
