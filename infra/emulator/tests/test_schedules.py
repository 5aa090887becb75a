"""EventBridge Scheduler: time zones, the words of its inputs, the clock of tests."""

import json
import unittest
from datetime import datetime, timedelta, timezone

from tests.harness import ACCOUNT, REGION, Emulator, Refused, ministack_or_skip


def setUpModule():
    global CLOUD
    CLOUD = Emulator()
    CLOUD.call("sqs", "CreateQueue", QueueName="ticks")
    CLOUD.function("ticked", "def handle(event, aws):\n    return event\n")


def tearDownModule():
    CLOUD.stop()


def schedule(name, target, **more):
    CLOUD.rest("scheduler", "POST", f"/schedules/{name}", {
        "ScheduleExpression": "cron(0 2 * * ? *)", "ScheduleExpressionTimezone": "America/Santiago",
        "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/scheduler", **target}, **more})


class Ticks(unittest.TestCase):
    def test_the_words_of_the_input(self):
        schedule("words", {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:ticks", "Input": json.dumps({
            "at": "<aws.scheduler.scheduled-time>", "arn": "<aws.scheduler.schedule-arn>"})})
        CLOUD.control("POST", "clock", {"schedule": "words", "at": "2026-03-01T05:00:00Z"})
        message = CLOUD.call("sqs", "ReceiveMessage", QueueUrl=f"{CLOUD.endpoint}/{ACCOUNT}/ticks",
                             WaitTimeSeconds=5)["Messages"][0]
        self.assertEqual(json.loads(message["Body"]), {
            "at": "2026-03-01T05:00:00Z", "arn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/words"})

    def test_a_function_is_invoked_with_the_role_of_the_schedule(self):
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:ticked"
        schedule("invokes", {"Arn": arn, "Input": "{}"})
        CLOUD.control("POST", "clock", {"schedule": "invokes", "at": "2026-03-01T05:00:00Z"})
        done = CLOUD.control("GET", "lambdas", function="ticked", event="invocation", at_least=1)["lambdas"]
        self.assertEqual(done[0]["status"], "ok")
        calls = CLOUD.control("GET", "calls", action="lambda:InvokeFunction", resource=arn)["calls"]
        self.assertEqual(calls[0]["principal"], f"arn:aws:iam::{ACCOUNT}:role/scheduler")

    def test_an_instant_that_passed_after_its_making_fires_by_itself(self):
        moment = datetime.now(timezone.utc) + timedelta(seconds=2)
        schedule("itself", {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:ticks", "Input": '"itself"'},
                 ScheduleExpression=f"at({moment:%Y-%m-%dT%H:%M:%S})", ScheduleExpressionTimezone="UTC",
                 ActionAfterCompletion="DELETE")
        message = {}
        while message.get("Body") != '"itself"':
            message = CLOUD.call("sqs", "ReceiveMessage", QueueUrl=f"{CLOUD.endpoint}/{ACCOUNT}/ticks",
                                 WaitTimeSeconds=10)["Messages"][0]

    def test_what_is_not_there(self):
        with self.assertRaises(Refused) as refused:
            CLOUD.control("POST", "clock", {"schedule": "nobody", "at": "2026-03-01T05:00:00Z"})
        self.assertEqual(refused.exception.status, 400)


class Zones(unittest.TestCase):
    def setUp(self):
        ministack_or_skip()
        from cauce_emulator import schedules

        self.schedules = schedules

    def between(self, expression, zone, begin, end):
        instants = self.schedules.due_between(
            expression, zone, datetime.fromisoformat(begin + "T00:00+00:00"), datetime.fromisoformat(end + "T00:00+00:00"))
        return [instant.strftime("%m-%dT%H:%M") for instant in instants]

    def test_by_the_clock_of_the_zone(self):
        self.assertEqual(self.between("cron(0 2 * * ? *)", "America/Bogota", "2026-01-05", "2026-01-07"),
                         ["01-05T07:00", "01-06T07:00"])

    def test_an_hour_that_is_left_out_does_not_fire(self):
        self.assertEqual(self.between("cron(30 2 * * ? *)", "America/New_York", "2026-03-07", "2026-03-10"),
                         ["03-07T07:30", "03-09T06:30"])

    def test_an_hour_that_comes_twice_fires_once(self):
        self.assertEqual(self.between("cron(30 1 * * ? *)", "America/New_York", "2026-11-01", "2026-11-03"),
                         ["11-01T05:30", "11-02T06:30"])

    def test_due(self):
        minute = datetime(2026, 1, 5, 7, 0, tzinfo=timezone.utc).timestamp()
        daily = {"ScheduleExpression": "cron(0 2 * * ? *)", "ScheduleExpressionTimezone": "America/Bogota"}
        self.assertIsNone(self.schedules.due(daily, minute - 60, minute - 1))
        self.assertEqual(self.schedules.due(daily, minute - 60, minute + 2).timestamp(), minute)
        self.assertIsNone(self.schedules.due(daily, minute, minute + 2))
        once = {"ScheduleExpression": "at(2026-01-05T02:00:00)", "ScheduleExpressionTimezone": "America/Bogota"}
        self.assertEqual(self.schedules.due(once, minute - 60, minute + 2).timestamp(), minute)
        self.assertIsNone(self.schedules.due(once, minute, minute + 60))
        five = {"ScheduleExpression": "rate(5 minutes)"}
        self.assertIsNone(self.schedules.due(five, minute, minute + 299))
        self.assertEqual(self.schedules.due(five, minute, minute + 301).timestamp(), minute + 300)


if __name__ == "__main__":
    unittest.main()
