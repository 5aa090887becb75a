"""CloudWatch alarms: what DescribeAlarms must give back, or each Terraform plan changes all alarms."""

import json
from datetime import datetime, timezone
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

from cauce_emulator.patching import original, replaces


def xml(name: str, value) -> str:
    """A value as the query protocol writes it; what has no value is left out."""
    if value is None or value == "":
        return ""
    if isinstance(value, dict):
        inner = "".join(xml(key, item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(xml("member", item) for item in value)
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    elif name.endswith("Timestamp"):
        inner = datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


@replaces("services.cloudwatch", "_describe_alarms", "ab8f092ff9ae6f02",
          """Leaves description, actions, dimensions, period, statistic and missing data out of its XML answer, which is
          what Terraform's provider reads.""",
          "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html")
def describe_alarms(params, cbor_data, is_cbor, is_json=False):
    answer = original("services.cloudwatch._describe_alarms")
    if is_cbor or is_json:
        return answer(params, cbor_data, is_cbor, is_json)
    asked = {field: cloudwatch._p(params, field) for field in ("AlarmNamePrefix", "StateValue", "MaxRecords", "NextToken")}
    asked = {field: value for field, value in asked.items() if value}
    for field, most in (("AlarmNames", 100), ("AlarmTypes", 2)):
        asked[field] = [value for i in range(1, most + 1) if (value := cloudwatch._p(params, f"{field}.member.{i}"))]
    status, _, body = answer(params, asked, False, True)
    if status != 200:
        return answer(params, cbor_data, False, False)
    told = json.loads(body)
    inner = "".join(xml(field, told[field]) for field in ("MetricAlarms", "CompositeAlarms", "NextToken") if field in told)
    return cloudwatch._xml(200, "DescribeAlarmsResponse", f"<DescribeAlarmsResult>{inner}</DescribeAlarmsResult>")
