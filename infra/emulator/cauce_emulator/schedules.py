"""EventBridge Scheduler: time zones, the words of its inputs, and a clock that tests turn."""

import re
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from ministack.core.arn import parse_arn
from ministack.core.responses import new_uuid, request_scope
from ministack.services import eventbridge, lambda_svc, scheduler

from cauce_emulator import journal
from cauce_emulator.patching import replaces

DOCS = "https://docs.aws.amazon.com/scheduler/latest/UserGuide"


class NoSchedule(LookupError):
    """There is no schedule of that name."""


def zone_of(schedule: dict) -> ZoneInfo:
    """The time zone of a schedule."""
    return ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")


def next_fire(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant of a cron expression after an instant, by the clock of its zone. An hour that the change to
    summer time leaves out does not fire, one that comes twice fires once
    (<https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time>)."""
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    wall = after.astimezone(zone).replace(tzinfo=None, fold=0)
    while True:
        # In UTC only because the walk needs some zone: these are the numbers on the wall.
        found = eventbridge._cron_next_fire(fields, wall.replace(tzinfo=timezone.utc))
        if found is None:
            return None
        wall = found.replace(tzinfo=None)
        instant = wall.replace(tzinfo=zone).astimezone(timezone.utc)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall and instant > after:
            return instant


def at_instant(schedule: dict) -> datetime | None:
    """The instant of `at(yyyy-mm-ddThh:mm:ss)` in the schedule's zone."""
    match = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", schedule.get("ScheduleExpression", "").strip())
    return None if match is None else datetime.fromisoformat(match[1]).replace(
        tzinfo=zone_of(schedule)).astimezone(timezone.utc)


def due(schedule: dict, last: float, now: float) -> datetime | None:
    """The instant that a schedule has to fire for, if it passed since it fired last."""
    moment = at_instant(schedule)
    if moment is None:
        interval = eventbridge._parse_rate_seconds(schedule.get("ScheduleExpression", ""))
        if interval is not None:
            return None if now - last < interval else datetime.fromtimestamp(last + interval, timezone.utc)
        moment = next_fire(schedule.get("ScheduleExpression", ""), zone_of(schedule),
                           datetime.fromtimestamp(last, timezone.utc))
    return moment if moment is not None and last < moment.timestamp() <= now else None


@replaces("services.scheduler", "_tick_schedules", "0ece514e91205b1d",
          """Reads all expressions as UTC, leaves the words `<aws.scheduler.*>` in the input, and sends an event of
          EventBridge where there is no input.""", f"{DOCS}/managing-schedule-context-attributes.html")
def tick_schedules():
    now = time.time()
    for key, schedule in list(scheduler._schedules._data.items()):
        begin, end = (scheduler._to_epoch(schedule.get(field)) for field in ("StartDate", "EndDate"))
        if schedule.get("State") != "ENABLED" or (begin is not None and now < begin):
            continue
        last = scheduler._schedule_last_fired.setdefault(key, max(schedule["CreationDate"], begin or 0))
        moment = due(schedule, last, now)
        if moment is None or (end is not None and moment.timestamp() > end):
            continue
        scheduler._schedule_last_fired[key] = moment.timestamp()
        fire(key, schedule, moment)
        if at_instant(schedule) is not None and schedule.get("ActionAfterCompletion") == "DELETE":
            scheduler._schedules._data.pop(key, None)


def fire_now(name: str, group: str, moment: datetime) -> dict:
    """Fires a schedule once, as if at an instant."""
    for key, schedule in list(scheduler._schedules._data.items()):
        if key[2] == f"{group}/{name}":
            return fire(key, schedule, moment)
    raise NoSchedule(f"no schedule {group}/{name}")


def fire(key: tuple, schedule: dict, moment: datetime) -> dict:
    """Calls a schedule's target with the words of its input filled in; what cannot be delivered goes to its dead-letter
    queue."""
    account, region, _ = key
    target = schedule.get("Target") or {}
    words = {"schedule-arn": schedule["Arn"], "scheduled-time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
             "execution-id": new_uuid(), "attempt-number": "1"}
    payload = re.sub(r"<aws\.scheduler\.([a-z-]+)>", lambda found: words.get(found[1], found[0]),
                     target.get("Input") or "{}")
    with request_scope(account, region):
        problem = deliver(target, payload)
        letters = (target.get("DeadLetterConfig") or {}).get("Arn")
        if problem and letters:
            journal.call(target.get("RoleArn"), "sqs:SendMessage", letters)
            eventbridge._dispatch_to_sqs(parse_arn(letters), payload)
    return {"schedule": schedule["Name"], "scheduled_time": words["scheduled-time"], "problem": problem}


def deliver(target: dict, payload: str) -> str | None:
    """Calls a target; returns what went wrong."""
    arn, role = target["Arn"], target.get("RoleArn")
    spec = parse_arn(arn)
    if spec.service == "lambda":
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        journal.call(role, "lambda:InvokeFunction", arn)
        if not function:
            return f"function {name} not found"
        eventbridge._dispatch_to_lambda(arn, payload)
    elif spec.service == "sqs":
        from ministack.services import sqs

        journal.call(role, "sqs:SendMessage", arn)
        if not sqs._queue_by_arn(arn):
            return f"queue {arn} not found"
        eventbridge._dispatch_to_sqs(spec, payload, target.get("SqsParameters") or {})
    elif spec.service == "states":
        from ministack.services import stepfunctions

        journal.call(role, "states:StartExecution", arn)
        status, _, body = stepfunctions._start_execution({"stateMachineArn": arn, "input": payload})
        if status >= 400:
            return body.decode()
    else:
        return f"targets of {spec.service} are not emulated"
    return None


def due_between(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """All instants of a cron expression in a range, for tests."""
    found, moment = [], begin - timedelta(microseconds=1)
    while (moment := next_fire(expression, ZoneInfo(zone), moment)) is not None and moment < end:
        found.append(moment)
    return found
