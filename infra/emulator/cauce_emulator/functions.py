"""Lambda: real bootstraps with environments, roles and a journal of their own."""

import json
import os
import signal
import threading
import time

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import lambda_svc

from cauce_emulator import identities, journal
from cauce_emulator.patching import original, replaces
from cauce_emulator.settings import SETTINGS

DOCS = "https://docs.aws.amazon.com/lambda/latest/dg"

ROUNDS_MAX = 16
"""How often one function is called in a chain of messages, unless it may be called in circles. AWS says "approximately".
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"""

_spawning = threading.local()


def traced(identity: identities.Identity, body: bytes) -> bytes:
    """The request of a function that sends a message, which then says in what chain it was sent: as on AWS in its trace
    header, though there the SDK passes on what the function was called with."""
    data = json.loads(body)
    lineage = "|".join(f"{name}:{rounds}" for name, rounds in identity.chain.items())
    header = {"DataType": "String", "StringValue": f"Lineage={lineage}"}
    data.setdefault("MessageSystemAttributes", {})["AWSTraceHeader"] = header
    return json.dumps(data).encode()


def chain(function: str, event) -> dict[str, int]:
    """How often each function was called in the longest chain that an event belongs to, this call included."""
    found: dict[str, int] = {}
    for record in event.get("Records", []) if isinstance(event, dict) else []:
        _, _, lineage = record.get("attributes", {}).get("AWSTraceHeader", "").partition("Lineage=")
        for name, _, rounds in (one.partition(":") for one in lineage.split("|") if one):
            found[name] = max(int(rounds), found.get(name, 0))
    return {**found, function: found.get(function, 0) + 1}


@replaces("services.lambda_svc", "_provided_worker_env", "8cccaed6a6d8792a",
          """Hands the whole environment of the server to the function, and one access key to all functions.
          Lambda sets a known list of variables and the credentials of the function's role.""",
          f"{DOCS}/configuration-envvars.html")
def provided_worker_env(config, code_dir, port):
    identity = identities.issue(config.get("Role", "no-role"), config.get("FunctionName"))
    _spawning.identity = identity
    name = config.get("FunctionName", "unknown")
    return {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "LANG": "en_US.UTF-8", "TZ": ":UTC",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
        "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": new_uuid(), "LAMBDA_TASK_ROOT": code_dir, "LAMBDA_RUNTIME_DIR": code_dir,
        "_HANDLER": config.get("Handler", "bootstrap"),
        **lambda_svc._runtime_env_vars(config), **identities.variables(identity, SETTINGS.endpoint, get_region()),
    }


@replaces("core.lambda_runtime", "ProvidedWorker._spawn", "4595271e52d2deda",
          "Leaves no record of an environment's start.", f"{DOCS}/lambda-runtime-environment.html")
def spawn(self, init_timeout=None):
    begun = time.monotonic()
    _spawning.identity = None
    try:
        original("core.lambda_runtime.ProvidedWorker._spawn")(self, init_timeout)
    except Exception as error:
        journal.LAMBDAS.add(event="init_failed", function=self.func_name, error=str(error))
        raise
    identity = self.cauce_identity = _spawning.identity
    identity.pid, identity.chain = self._proc.pid, getattr(_spawning, "chain", {})
    journal.LAMBDAS.add(event="start", function=self.func_name, pid=identity.pid,
                        init_ms=round((time.monotonic() - begun) * 1000, 3))


@replaces("core.lambda_runtime", "ProvidedWorker.invoke", "653529c8ff6a58d7",
          "Leaves no record of an invocation but its log.", f"{DOCS}/lambda-runtime-environment.html")
def invoke(self, event, request_id, *, trace_id=None, invoked_function_arn=None):
    starts = self._proc is None or self._proc.poll() is not None
    _spawning.chain = chain(self.func_name, event)
    identity = getattr(self, "cauce_identity", None)
    if identity is not None:
        identity.calls, identity.chain = 0, _spawning.chain
    begun = time.monotonic()
    result = original("core.lambda_runtime.ProvidedWorker.invoke")(
        self, event, request_id, trace_id=trace_id, invoked_function_arn=invoked_function_arn)
    payload = result.get("error_payload")
    journal.LAMBDAS.add(
        event="invocation", function=self.func_name, pid=getattr(self, "cauce_identity").pid, request_id=request_id,
        duration_ms=round((time.monotonic() - begun) * 1000, 3), cold=starts, status=result["status"],
        error=payload.get("errorType") if isinstance(payload, dict) else result.get("error"))
    return result


def kill(identity: identities.Identity) -> None:
    """Kills an environment in the middle of its invocation."""
    journal.LAMBDAS.add(event="killed", function=identity.function, pid=identity.pid, calls=identity.calls)
    os.kill(identity.pid, signal.SIGKILL)


def hang(identity: identities.Identity) -> None:
    """Has an environment wait for an answer that never comes, to this call and to all after it: its timeout ends it."""
    identity.hung = True
    journal.LAMBDAS.add(event="hung", function=identity.function, pid=identity.pid, calls=identity.calls)


@replaces("services.lambda_svc", "_run_sqs_batch", "f9bf630aabf3d1b9",
          """Writes down nobody who receives and deletes, and lets messages go round for ever. Lambda calls a function no
          more than about 16 times in one chain, unless PutFunctionRecursionConfig allows it.""",
          f"{DOCS}/invocation-recursion.html")
def run_sqs_batch(esm, func_rec, event, batch, queue_url, queue_name):
    role = (func_rec.get("config") or {}).get("Role")
    queue = f"arn:aws:sqs:{get_region()}:{get_account_id()}:{queue_name}"
    for action in ("sqs:ReceiveMessage", "sqs:GetQueueAttributes", "sqs:DeleteMessage"):
        journal.call(role, action, queue)
    function = esm["FunctionName"]
    rounds = chain(function, event)[function]
    allowed = lambda_svc._functions.get(function, {}).get("recursive_loop") == "Allow"
    if rounds > ROUNDS_MAX and not allowed:
        # The messages are not deleted: they come again, and end where the queue sends what comes too often.
        journal.LAMBDAS.add(event="recursion", function=function, rounds=rounds, queue=queue_name)
        return None
    return original("services.lambda_svc._run_sqs_batch")(esm, func_rec, event, batch, queue_url, queue_name)


@replaces("services.lambda_svc", "_emit_lambda_logs", "111efbf06968bb20",
          "Is complete; only who writes the log is written down.", f"{DOCS}/monitoring-cloudwatchlogs.html")
def emit_lambda_logs(func, request_id, log_text, error, duration_ms, *, log_source=None):
    config = func.get("config") or func
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
    arn = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:*"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        journal.call(config.get("Role"), action, arn)
    return original("services.lambda_svc._emit_lambda_logs")(
        func, request_id, log_text, error, duration_ms, log_source=log_source)


@replaces("services.lambda_svc", "_route_async_failure", "c023331e333f796d",
          "Is complete; only who sends is written down.", f"{DOCS}/invocation-async-retain-records.html")
def route_async_failure(target_arn, func_name, event, result):
    role = (lambda_svc._functions.get(func_name, {}).get("config") or {}).get("Role")
    service = target_arn.split(":")[2]
    journal.call(role, {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}.get(service, f"{service}:*"), target_arn)
    return original("services.lambda_svc._route_async_failure")(target_arn, func_name, event, result)
