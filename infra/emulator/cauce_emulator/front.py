"""The door: every request passes here, is written down with its principal, and may meet a fault."""

import asyncio
import json
import sys
from datetime import datetime, timezone
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id

from cauce_emulator import containers, executions, faults, functions, identities, journal, quotas, schedules

XML = {"s3", "sns", "iam", "sts", "ses", "ec2"}
"""Services whose errors are XML."""

WAIT_SECONDS = 60.0
"""How long an answer is held back at most, without `seconds` in the query."""

ANSWERS_KEPT = 1_000
"""Answers that are kept for a client that asks again under the same invocation: SDKs name each call, and its retries by
the same name (`amz-sdk-invocation-id`). On loopback a reply is lost by no fault of AWS's; faults lose them on purpose."""

THROTTLED = {"s3": ("SlowDown", 503), "lambda": ("TooManyRequestsException", 429)}
BROKEN = {"s3": ("InternalError", 500), "dynamodb": ("InternalServerError", 500)}


class Door:
    """An ASGI application around ministack's."""

    def __init__(self, inner, ready) -> None:
        self.inner = inner
        self.ready = ready
        self.answers: dict[str, asyncio.Future] = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            async def told(message):
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    self.ready()

            return await self.inner(scope, receive, told)
        if scope["type"] != "http":
            return await self.inner(scope, receive, send)
        body = await read(receive)
        if body is None:
            return None
        if scope["path"].startswith("/_cauce/"):
            status, answer = await asyncio.get_running_loop().run_in_executor(None, control, scope, body)
            return await reply(send, status, {"content-type": "application/json"}, json.dumps(answer).encode())
        return await self.pass_on(scope, body, receive, send)

    async def pass_on(self, scope, body, receive, send):
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True)
        calls = asked(scope["method"], scope["path"], headers, query, body)
        identity = identities.find(router.extract_access_key_id(headers, query))
        principal = identity.principal if identity else identities.CALLER
        service, operation, resource = facts(calls, headers)
        works = identity is not None and identity.function is not None
        if works:
            if identity.hung:
                return await silence(receive)
            identity.calls += 1
            now = {"function": identity.function, "moment": "before", "number": identity.calls}
            if faults.take("kill", **now):
                functions.kill(identity)
                return None
            if faults.take("hang", **now):
                functions.hang(identity)
                return await silence(receive)
            if (service, operation) == ("sqs", "SendMessage"):
                body = functions.traced(identity, body)
        fault = faults.take("call", service=service, operation=operation, resource=resource, principal=principal)
        if fault is not None and fault.effect != "lose":
            return await refuse(send, fault, service, scope["path"])
        then = {"function": identity.function, "moment": "after", "number": identity.calls} if works else {}
        dies = works and faults.take("kill", **then)
        hangs = works and faults.take("hang", **then)
        invocation = headers.get("amz-sdk-invocation-id") if fault is None and scope["method"] != "GET" else None
        work = self.answers.get(invocation) if invocation else None
        if work is None:
            work = asyncio.ensure_future(self.perform(scope, body, receive, calls, principal,
                                                      headers.get("x-amz-target", "")))
            if invocation:
                self.answers[invocation] = work
                while len(self.answers) > ANSWERS_KEPT:
                    self.answers.pop(next(iter(self.answers)))
        else:
            print(f"asked again: {operation} {resource}", file=sys.stderr, flush=True)
        # A client that goes away does not take back what it has asked for.
        answer = await asyncio.shield(work)
        if status_of(answer) >= 400:
            self.answers.pop(invocation, None)  # An error is for the client to try again.
        if dies:
            functions.kill(identity)
            return None
        if hangs:
            functions.hang(identity)
            return await silence(receive)
        if fault is not None:
            return await refuse(send, fault, service, scope["path"])
        for message in answer:
            await send(message)
        return None

    async def perform(self, scope, body, receive, calls, principal, target) -> list:
        """Has ministack do what is asked, and writes it down; the messages of its answer."""
        answer = []

        async def keep(message):
            answer.append(message)

        if target.startswith(quotas.TARGET):
            operation = target.removeprefix(quotas.TARGET)
            status, told = quotas.answer(operation, json.loads(body))
            await reply(keep, status, {"content-type": "application/x-amz-json-1.1"}, json.dumps(told).encode())
            calls = [(f"servicequotas:{operation}", "*")]
        else:
            await self.inner(scope, replay(body, receive), keep)
        for action, arn in calls:
            journal.call(principal, action, arn, status_of(answer))
        return answer


def status_of(answer: list) -> int:
    """The status that an answer's messages give."""
    return next((message["status"] for message in answer if message["type"] == "http.response.start"), 0)


def facts(calls, headers) -> tuple[str | None, str | None, str]:
    """Service, operation as the API names it, and all resources of a request, for faults to match."""
    target = headers.get("x-amz-target", "")
    if not calls:
        return None, target.rpartition(".")[2] or None, ""
    service, _, action = calls[0][0].partition(":")
    operation = target.rpartition(".")[2] or {"InvokeFunction": "Invoke"}.get(action, action)
    return service, operation, " ".join(arn for _, arn in calls)


OF_LOG_STREAMS = ("logs:GetLogEvents", "logs:PutLogEvents")
"""Actions that are asked of a stream, not of its group.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html"""


def asked(method, path, headers, query, body) -> list[tuple[str, str]]:
    """What a request asks of IAM: (action, resource). A transaction asks for each of its items."""
    from ministack import app

    params = app._routing_params(method, path, headers, body, query)
    service = router.detect_service(method, path, headers, params)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, params)
    if action is None:
        return []
    region, account = router.extract_region(headers, query), get_account_id()
    items = iam_actions.dynamodb_transaction_checks(action, body, region, account)
    if items:
        return items
    resource = iam_actions.extract_resource_arn(service, method, path, headers, body, params, region, account)
    if action == "dynamodb:BatchGetItem" or action == "dynamodb:BatchWriteItem":
        return [(action, arn) for arn in iam_actions.dynamodb_resource_arns(body, region, account)]
    # Of a task, not of its cluster.
    if action in ("ecs:DescribeTasks", "ecs:StopTask", *OF_LOG_STREAMS) or action.startswith("sts:") or resource == "*":
        named = named_resource(action, body, region, account)
        resource = named or resource
    return [(action, resource)]


def named_resource(action, body, region, account) -> str | None:
    """The resource of calls that name it by ARN in their body, such as those of Step Functions and ECS."""
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    if action in OF_LOG_STREAMS and data.get("logStreamName"):
        group = f"arn:aws:logs:{region}:{account}:log-group:{data.get('logGroupName')}"
        return f"{group}:log-stream:{data['logStreamName']}"
    for field in ("executionArn", "stateMachineArn", "stateMachineVersionArn", "task", "taskDefinition"):
        value = data.get(field)
        if isinstance(value, str) and value.startswith("arn:"):
            return value
    if action == "ecs:DescribeTasks" and data.get("tasks"):
        return data["tasks"][0]
    return None


async def read(receive) -> bytes | None:
    """The whole body; none when the client is gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def silence(receive) -> None:
    """No answer, for as long as the client is there."""
    while (await receive())["type"] != "http.disconnect":
        pass


def replay(body: bytes, receive):
    """A `receive` that gives the body again."""
    given = []

    async def again():
        if not given:
            given.append(True)
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


async def reply(send, status: int, headers: dict, body: bytes) -> None:
    """One answer."""
    await send({"type": "http.response.start", "status": status, "headers": [
        *((name.encode(), value.encode()) for name, value in headers.items()),
        (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def refuse(send, fault, service, path) -> None:
    """The error of a fault, in the service's own form. A lost reply is an internal error after the call was applied."""
    default = ("ThrottlingException", 400) if fault.effect == "throttle" else ("InternalServerError", 500)
    table = THROTTLED if fault.effect == "throttle" else BROKEN
    code, status = table.get(service, default)
    code, status = fault.detail.get("error", code), int(fault.detail.get("status", status))
    message = fault.detail.get("message", "Rate exceeded" if fault.effect == "throttle" else "injected fault")
    is_xml = service in XML and not path.startswith("/v2/")  # SES has two interfaces under one name.
    if service == "s3":
        body = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    elif is_xml:
        body = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
                f"<Message>{escape(message)}</Message></Error></ErrorResponse>")
    else:
        body = json.dumps({"__type": code, "message": message})
    kind = "application/xml" if is_xml else "application/x-amz-json-1.0"
    await reply(send, status, {"content-type": kind, "x-amzn-errortype": code}, body.encode())


def waited(query: dict, seconds: float):
    """Holds the answer back until an execution, or a task, has ended."""
    if "execution" in query:
        ended = executions.PINNED[query["execution"]].life.ended
    else:
        ended = containers.over(query["task"])
    return (200, {"ended": True}) if ended.wait(seconds) else (408, {"ended": False})


def control(scope, body: bytes):
    """The endpoints below `/_cauce/`."""
    method, path = scope["method"], scope["path"].removeprefix("/_cauce/")
    query = {key: values[0] for key, values in parse_qs(scope.get("query_string", b"").decode()).items()}
    try:
        data = json.loads(body) if body else {}
        if path == "faults" and method == "GET":
            return 200, {"armed": faults.armed(), "performed": journal.FAULTS.lines()}
        if path == "faults" and method == "POST":
            return 200, {"armed": [faults.add(form).as_json() for form in data["faults"]]}
        if path == "faults" and method == "DELETE":
            faults.clear()
            return 200, {"armed": []}
        if path == "clock" and method == "POST":
            moment = datetime.fromisoformat(data["at"].replace("Z", "+00:00")).astimezone(timezone.utc)
            return 200, schedules.fire_now(data["schedule"], data.get("group", "default"), moment)
        if path in ("calls", "lambdas"):
            book = journal.CALLS if path == "calls" else journal.LAMBDAS
            if method == "DELETE":
                book.clear()
            at_least, seconds = int(query.pop("at_least", 0)), float(query.pop("seconds", WAIT_SECONDS))
            return 200, {path: book.wait(at_least, seconds, **query)}
        if path == "change" and method == "GET":
            return 200, {"calls": journal.CALLS.grown(int(query.get("after", 0)), float(query.get("seconds", WAIT_SECONDS)))}
        if path == "wait" and method == "GET":
            return waited(query, float(query.get("seconds", WAIT_SECONDS)))
    except (KeyError, TypeError, ValueError, LookupError) as error:
        return 400, {"error": f"{type(error).__name__}: {error}"}
    return 404, {"error": f"no {method} /_cauce/{path}: there are faults, clock, calls, change, lambdas, wait"}
