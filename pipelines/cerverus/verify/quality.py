#!/usr/bin/env python3
"""Says what the quality of a symbol's prices should come to, and holds it against what the pipeline stored.

    quality.py SYMBOL DAY            flagged days and score, as this script finds them
    quality.py --check SYMBOL DAY    the same, compared with .cauce/objects; exit 1 where they differ
    quality.py --days FROM TO SYMBOL DAY    flagged days of a range only

Run it in the folder of cauce.yaml, after `cauce run symbols.yaml --item SYMBOL --logical-date DAY`. It reads the series
and the list themselves, knows the rules from their definition alone, and shares no code with the program. Standard
library only.

A day stands out when the logarithm of its close over the close before has a modified z-score above the symbol's
threshold, either way: 0.6745 (r - median) / MAD, median and MAD (median of the absolute deviations from the median) of the
sixty returns before it. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993);
https://www.itl.nist.gov/div898/handbook/eda/section3/eda35h.htm
"""

import csv
import gzip
import json
import math
import sys
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from statistics import median

WINDOW = 60
LAKE = Path(".cauce/objects/cerverus-lake")


def item(symbol):
    with open("symbols.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["ticker"] == symbol:
                return row
    sys.exit(f"symbols.csv has no {symbol}")


def series(row, until):
    """The days of a symbol up to a day: readable ones with numbers, and how many cannot be read."""
    days, unreadable = [], 0
    with gzip.open(Path("data") / row["series"], "rt", newline="") as file:
        for line in csv.DictReader(file):
            month, day, year = map(int, line["Date"].split("/"))
            when = date(year, month, day)
            if not date.fromisoformat(row["first"]) <= when <= until:
                continue
            try:
                # Prices have six decimals: decimal(18,6).
                prices = [Decimal(line[name]) if line[name] else None for name in ("Open", "High", "Low", "Close")]
                volume = int(line["Volume"]) if line["Volume"] else None
            except (InvalidOperation, ValueError):
                unreadable += 1
                continue
            if any(price is not None and price.as_tuple().exponent < -6 for price in prices):
                unreadable += 1
                continue
            days.append((when, prices, volume))
    return sorted(days, key=lambda day: day[0]), unreadable


def outliers(values, threshold):
    """The positions that stand out, of values of which some may be absent."""
    far, before, last = set(), [], None
    for at, value in enumerate(values):
        moved = math.log(value / last) if value and last and value > 0 and last > 0 else None
        if value is not None:
            last = value
        if moved is None:
            continue
        if len(before) >= WINDOW:
            window = before[-WINDOW:]
            middle = median(window)
            spread = median(abs(other - middle) for other in window)
            if spread > 0 and abs(0.6745 * (moved - middle) / spread) > threshold:
                far.add(at)
        before.append(moved)
    return far


def judged(symbol, until):
    row = item(symbol)
    days, unreadable = series(row, until)
    threshold = float(row["outlier"])
    prices = [[None if p is None else float(p) for p in day[1]] for day in days]
    closes, volumes = [p[3] for p in prices], [day[2] for day in days]
    broken = {  # check: (positions that violate it, decides)
        "required_fields": ({at for at, d in enumerate(days) if None in d[1] or d[2] is None}, True),
        "one_row_a_day": ({at for at, d in enumerate(days) if sum(e[0] == d[0] for e in days[max(0, at - 2):at + 3]) > 1}, True),
        "positive_prices": ({at for at, p in enumerate(prices) if None in p or min(p) <= 0}, True),
        "high_not_below_low": ({at for at, p in enumerate(prices) if p[1] is None or p[2] is None or p[1] < p[2]}, True),
        "open_and_close_within": (
            {at for at, p in enumerate(prices) if None in p or p[1] < max(p[0], p[3]) or p[2] > min(p[0], p[3])}, True),
        "traded_volume": ({at for at, v in enumerate(volumes) if v is not None and v <= 0}, False),
        "outlier_returns": (outliers(closes, threshold), True),
        "outlier_volumes": (outliers(volumes, threshold), False),
    }
    tolerated = {"outlier_returns": 0.05, "outlier_volumes": 0.05}
    count = len(days)
    scores, failed = [1.0, 1.0 if count >= 100 else 0.0], []  # types; enough_days
    if count < 100:
        failed.append("enough_days")
    if unreadable:
        scores.append(round(1 - unreadable / (count + unreadable), 4))
        failed.append("readable")
    for name, (rows, decides) in broken.items():
        rate = len(rows) / count if count else 0.0
        scores.append(round(1 - rate, 4))
        if decides and rate > tolerated.get(name, 0.0):
            failed.append(name)
    score = round(sum(scores) / len(scores), 4)
    flagged = {}
    for name, (rows, decides) in broken.items():
        for at in rows if decides else ():
            flagged.setdefault(days[at][0].isoformat(), []).append(name)
    passed = not failed and score >= float(row["min_score"])
    return {"rows": count, "score": score, "passed": passed, "failed": sorted(failed), "flagged": flagged}


def stored(symbol, until):
    folder = LAKE / "quality" / "prices" / symbol / f"dt={until}"
    report = json.loads((folder / "report.json").read_text())
    flagged = {}
    for line in (folder / "flagged.json").read_text().splitlines():
        found = json.loads(line)
        # One with a line could not be read at all.
        if found.get("line") is None:
            flagged[found["record"]["day"]] = sorted(found["reason"].split("; "))
    return {"rows": report["rows"], "score": report["score"], "passed": report["passed"],
            "failed": sorted(report["failed"]), "flagged": flagged}


def main():
    args = sys.argv[1:]
    check = "--check" in args
    span = None
    if "--days" in args:
        at = args.index("--days")
        span = args[at + 1:at + 3]
        del args[at:at + 3]
    symbol, day = [word for word in args if word != "--check"]
    ours = judged(symbol, date.fromisoformat(day))
    ours["flagged"] = {when: sorted(reasons) for when, reasons in ours["flagged"].items()}
    days = sorted(when for when in ours["flagged"] if not span or span[0] <= when <= span[1])
    print(f"{symbol} {day}: {ours['rows']} days, score {ours['score']}, {'passed' if ours['passed'] else 'failed'}, "
          f"{len(ours['flagged'])} flagged: {' '.join(days)}")
    if not check:
        return 0
    theirs = stored(symbol, day)
    differ = [key for key in ours if ours[key] != theirs[key]]
    for key in differ:
        print(f"{key} differs: here {ours[key]}, stored {theirs[key]}", file=sys.stderr)
    if not differ:
        print("the stored report and the flagged days are the same")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
