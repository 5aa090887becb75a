"""Alarms are described as they were made, in the protocol of Terraform's provider."""

import unittest
import urllib.parse
import xml.etree.ElementTree as ElementTree

from tests.harness import Emulator


def setUpModule():
    global CLOUD
    CLOUD = Emulator()


def tearDownModule():
    CLOUD.stop()


def query(**parameters):
    _, _, body = CLOUD.send("POST", "/", urllib.parse.urlencode({"Version": "2010-08-01", **parameters}).encode(), {
        "content-type": "application/x-www-form-urlencoded"}, service="monitoring")
    return ElementTree.fromstring(body)


class Alarms(unittest.TestCase):
    def test_all_fields_come_back(self):
        made = {"AlarmName": "a", "AlarmDescription": "1 < 2", "Namespace": "AWS/SQS", "MetricName": "M", "Period": "300",
                "Statistic": "Maximum", "TreatMissingData": "notBreaching", "EvaluationPeriods": "1", "Threshold": "0.0",
                "ComparisonOperator": "GreaterThanThreshold"}
        query(Action="PutMetricAlarm", **made, **{
            "Dimensions.member.1.Name": "QueueName", "Dimensions.member.1.Value": "q",
            "AlarmActions.member.1": "arn:aws:sns:us-east-1:000000000000:t"})
        query(Action="PutMetricAlarm", **{**made, "AlarmName": "b"})
        answer = query(Action="DescribeAlarms", **{"AlarmNames.member.1": "a"})
        found = [element for element in answer.iter() if element.tag.endswith("MetricAlarms")][0]
        self.assertEqual(len(found), 1)
        said = {element.tag.rpartition("}")[2]: element for element in found[0]}
        for name, value in made.items():
            self.assertEqual(said[name].text, value, name)
        self.assertEqual(said["ActionsEnabled"].text, "true")
        self.assertEqual([element.text for element in said["Dimensions"][0]], ["QueueName", "q"])
        self.assertEqual(said["AlarmActions"][0].text, "arn:aws:sns:us-east-1:000000000000:t")


if __name__ == "__main__":
    unittest.main()
