"""A second opinion on when schedules tick: a cron evaluator of its own over Python's zoneinfo.

Reads questions, one JSON object a line: {"zone", "cron", "gap": "run_after" | "skip", "from", "until",
"near": days or null}. With `near`, only the days within so many of a clock change are looked at.
Answers each with one line: {"count", "digest", "windows"}: how many ticks, SHA-256 of their seconds
since the epoch (one a line), and the stretches of UTC that were looked at.

It shares nothing with the product but the rules of the zones, which it finds in PYTHONTZPATH.
"""

import datetime
import hashlib
import json
import sys
import zoneinfo

UTC = datetime.timezone.utc
DAY = datetime.timedelta(days=1)


def field(text, low, high):
    """The values of one cron field, without names or presets."""
    values = set()
    for part in text.split(","):
        part, _, step = part.partition("/")
        if part == "*":
            first, last = low, high
        elif "-" in part:
            first, last = map(int, part.split("-"))
        else:
            first = int(part)
            last = high if step else first
        values.update(range(first, last + 1, int(step or 1)))
    return values


class Cron:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minutes, self.hours = sorted(field(minute, 0, 59)), sorted(field(hour, 0, 23))
        self.days, self.months = field(day, 1, 31), field(month, 1, 12)
        self.weekdays = {value % 7 for value in field(weekday, 0, 7)}
        self.either = not day.startswith("*") and not weekday.startswith("*")

    def on(self, date):
        if date.month not in self.months:
            return False
        by_day, by_weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday

    def local_times(self, date):
        if self.on(date):
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime.datetime(date.year, date.month, date.day, hour, minute)


def change_between(zone, before, after):
    """The first moment (UTC) of the new offset, by halving."""
    low, high = int(before.timestamp()), int(after.timestamp())
    offset = lambda second: datetime.datetime.fromtimestamp(second, zone).utcoffset()
    old = offset(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(middle) == old else (low, middle)
    return datetime.datetime.fromtimestamp(high, UTC)


def moment(zone, local, gap):
    """The tick of a local time, or none."""
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    if gap == "skip":
        return None
    second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    end = change_between(zone, min(first, second), max(first, second))
    return end if end.astimezone(zone).date() == local.date() else None


def days_of_change(zone, first, last):
    """The local dates around which the offset differs from the day before."""
    date, before = first, None
    while date <= last:
        offset = datetime.datetime(date.year, date.month, date.day, tzinfo=UTC).astimezone(zone).utcoffset()
        if before is not None and offset != before:
            yield date
        before = offset
        date += DAY


def stretches(zone, first, last, near):
    """Ranges of dates to look at, in order and apart."""
    if near is None:
        return [(first, last)]
    ranges = []
    for date in days_of_change(zone, first, last):
        start, end = max(first, date - near * DAY), min(last, date + near * DAY)
        if ranges and start <= ranges[-1][1] + DAY:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def answer(question):
    zone, cron = zoneinfo.ZoneInfo(question["zone"]), Cron(question["cron"])
    first, last = (datetime.date.fromisoformat(question[key]) for key in ("from", "until"))
    windows, ticks = [], set()
    for start, end in stretches(zone, first, last, question["near"]):
        # Noon to noon of UTC, a day inside the dates that are expanded: no zone is further away.
        low = datetime.datetime(start.year, start.month, start.day, 12, tzinfo=UTC)
        high = datetime.datetime(end.year, end.month, end.day, 12, tzinfo=UTC)
        windows.append((int(low.timestamp()), int(high.timestamp())))
        date = start - 2 * DAY
        while date <= end + 2 * DAY:
            for local in cron.local_times(date):
                tick = moment(zone, local, question["gap"])
                if tick is not None and low < tick <= high:
                    ticks.add(int(tick.timestamp()))
            date += DAY
    text = "".join(f"{tick}\n" for tick in sorted(ticks))
    return {"count": len(ticks), "digest": hashlib.sha256(text.encode()).hexdigest(), "windows": windows,
            "ticks": sorted(ticks) if question.get("show") else None}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
