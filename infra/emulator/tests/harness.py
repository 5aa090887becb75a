"""An emulator of its own for a test module, and as much of an AWS client as the tests need (standard library only)."""

import io
import json
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REGION, ACCOUNT = "us-east-1", "000000000000"
TARGETS = {
    "states": ("AWSStepFunctions", "1.0"), "dynamodb": ("DynamoDB_20120810", "1.0"), "sqs": ("AmazonSQS", "1.0"),
    "ecs": ("AmazonEC2ContainerServiceV20141113", "1.1"), "events": ("AWSEvents", "1.1"), "logs": ("Logs_20140328", "1.1"),
    "ecr": ("AmazonEC2ContainerRegistry_V20150921", "1.1"), "secretsmanager": ("secretsmanager", "1.1"),
    "servicequotas": ("ServiceQuotasV20190624", "1.1"),
}

BOOTSTRAP = '''#!{python}
import json, os, urllib.error, urllib.request
import handler
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"

def aws(service, target, body):
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/", json.dumps(body).encode(), {{
        "x-amz-target": target, "content-type": "application/x-amz-json-1.0",
        "authorization": "AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/%s/aws4_request"
                         % (os.environ["AWS_ACCESS_KEY_ID"], service)}})
    return json.load(urllib.request.urlopen(request))

while True:
    with urllib.request.urlopen(api + "next") as reply:
        identifier, event = reply.headers["Lambda-Runtime-Aws-Request-Id"], json.load(reply)
    try:
        path, body = "/response", handler.handle(event, aws)
    except Exception as error:
        path, body = "/error", {{"errorType": type(error).__name__.replace("_", "."), "errorMessage": str(error)}}
    urllib.request.urlopen(urllib.request.Request(api + identifier + path, json.dumps(body).encode()))
'''


class Refused(Exception):
    """An error of the emulated AWS."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


def ministack_or_skip() -> None:
    """Skips a module where ministack is not installed."""
    try:
        import ministack  # noqa: F401
    except ImportError as error:
        raise unittest.SkipTest("skipped: needs ministack; run `make tools`, then its python") from error


class Emulator:
    """A running emulator."""

    def __init__(self, images: dict | None = None, *more: str) -> None:
        ministack_or_skip()
        self.folder = tempfile.TemporaryDirectory(prefix="cauce-emulator-")
        path = Path(self.folder.name)
        (path / "images.json").write_text(json.dumps(images or {}))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE.parent / "launch.py"), "--port", "0", "--folder", str(path / "state"),
             "--images", str(path / "images.json"), "--until-stdin-closes", *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the emulator ended with {self.process.wait()}")
        self.ready = json.loads(line)
        self.endpoint = self.ready["endpoint"]
        self.state = Path(self.ready["folder"])

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.folder.cleanup()

    def send(self, method: str, path: str, body=None, headers: dict | None = None, service="s3", key="test"):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.endpoint + path, data, {
            "authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/{service}/aws4_request",
            **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            try:
                said = json.loads(text)
            except ValueError:
                said = {}
            code = said.get("__type") or said.get("Type") or text
            raise Refused(error.code, code, said.get("message") or said.get("Message") or text) from None

    def call(self, service: str, operation: str, key="test", **body):
        prefix, version = TARGETS[service]
        _, _, answer = self.send("POST", "/", body, {
            "x-amz-target": f"{prefix}.{operation}", "content-type": f"application/x-amz-json-{version}"}, service, key)
        return json.loads(answer or b"{}")

    def iam(self, action: str, **parameters):
        form = urllib.parse.urlencode({"Action": action, "Version": "2010-05-08", **parameters}).encode()
        self.send("POST", "/", form, {"content-type": "application/x-www-form-urlencoded"}, "iam")

    def rest(self, service: str, method: str, path: str, body=None, headers: dict | None = None):
        _, _, answer = self.send(method, path, body, {"content-type": "application/json", **(headers or {})}, service)
        return json.loads(answer or b"null")

    def control(self, method: str, path: str, body=None, **query):
        return self.rest("s3", method, f"/_cauce/{path}?{urllib.parse.urlencode(query)}", body)

    def fault(self, **form):
        return self.control("POST", "faults", {"faults": [form]})

    def function(self, name: str, source: str, **settings) -> str:
        """A function whose `handler.py` is the source; returns its ARN."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as packed:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            packed.writestr(entry, BOOTSTRAP.format(python=sys.executable))
            packed.writestr("handler.py", source)
        import base64

        made = self.rest("lambda", "POST", "/2015-03-31/functions", {
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 20,
            "Role": f"arn:aws:iam::{ACCOUNT}:role/{name}-role",
            "Code": {"ZipFile": base64.b64encode(buffer.getvalue()).decode()}, **settings})
        return made["FunctionArn"]

    def invoke(self, name: str, event) -> tuple[str | None, object]:
        _, headers, body = self.send("POST", f"/2015-03-31/functions/{name}/invocations", event, service="lambda")
        return headers.get("X-Amz-Function-Error") or headers.get("x-amz-function-error"), json.loads(body)

    def machine(self, name: str, definition: dict, publish=True) -> dict:
        return self.call("states", "CreateStateMachine", name=name, definition=json.dumps(definition), publish=publish,
                         roleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}-machine")

    def start(self, machine: str, data=None, name=None) -> str:
        more = {"name": name} if name else {}
        return self.call("states", "StartExecution", stateMachineArn=machine, input=json.dumps(data or {}),
                         **more)["executionArn"]

    def end(self, execution: str) -> dict:
        """Waits for the end of an execution, and describes it."""
        self.control("GET", "wait", execution=execution)
        return self.call("states", "DescribeExecution", executionArn=execution)

    def run(self, machine: str, data=None, name=None) -> dict:
        return self.end(self.start(machine, data, name))
