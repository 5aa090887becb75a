#!/usr/bin/env python3
"""The days on which the New York Stock Exchange is closed, by its rules, held against the days without prices.

The rules (https://www.nyse.com/markets/hours-calendars): New Year's Day, Martin Luther King Day, Washington's
Birthday, Good Friday, Memorial Day, Juneteenth (from 2022), Independence Day, Labor Day, Thanksgiving and Christmas. A
holiday on a Sunday is kept on the Monday after, one on a Saturday on the Friday before, except New Year's Day, which is
then not kept. Besides, the exchange closed for days of mourning, after the attacks of 2001 and for the hurricane of 2012.

    calendar.py            writes calendars/nyse.txt
    calendar.py --check    says whether the file is current, and whether the days without prices are these

Standard library only; it shares nothing with the program that reads the calendar.
"""

import csv
import gzip
import sys
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
FIRST, LAST = 1999, 2030

SPECIAL = {
    date(2001, 9, 11): "attacks", date(2001, 9, 12): "attacks", date(2001, 9, 13): "attacks",
    date(2001, 9, 14): "attacks", date(2004, 6, 11): "mourning for Ronald Reagan",
    date(2007, 1, 2): "mourning for Gerald Ford", date(2012, 10, 29): "hurricane Sandy",
    date(2012, 10, 30): "hurricane Sandy", date(2018, 12, 5): "mourning for George H. W. Bush",
    date(2025, 1, 9): "mourning for Jimmy Carter",
}


def nth(year, month, weekday, number):
    """The n-th such weekday of a month, Monday is 0; negative from its end."""
    if number > 0:
        first = date(year, month, 1)
        return first + timedelta((weekday - first.weekday()) % 7 + 7 * (number - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(1)
    return last - timedelta((last.weekday() - weekday) % 7)


def easter(year):
    """Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, chapter 8)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, f = b // 4, b % 4, (b + 8) // 25
    g = (b - f + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    l = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * l) // 451
    month, day = divmod(h + l - 7 * m + 114, 31)
    return date(year, month, day + 1)


def kept(day):
    """The weekday on which a holiday of a date is kept."""
    return day + timedelta({5: -1, 6: 1}.get(day.weekday(), 0))


def closed(year):
    days = {
        nth(year, 1, 0, 3): "Martin Luther King Day",
        nth(year, 2, 0, 3): "Washington's Birthday",
        easter(year) - timedelta(2): "Good Friday",
        nth(year, 5, 0, -1): "Memorial Day",
        kept(date(year, 7, 4)): "Independence Day",
        nth(year, 9, 0, 1): "Labor Day",
        nth(year, 11, 3, 4): "Thanksgiving",
        kept(date(year, 12, 25)): "Christmas",
    }
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:
        days[kept(new_year)] = "New Year's Day"
    if year >= 2022:
        days[kept(date(year, 6, 19))] = "Juneteenth"
    days.update({day: why for day, why in SPECIAL.items() if day.year == year})
    return days


def text():
    lines = [f"# Days on which the New York Stock Exchange is closed, {FIRST} to {LAST}: made by verify/calendar.py.\n"]
    for year in range(FIRST, LAST + 1):
        lines += [f"{day.isoformat()} {why}\n" for day, why in sorted(closed(year).items())]
    return "".join(lines)


def without_prices(name):
    """The working days between the first and the last of a series that it does not have."""
    with gzip.open(HERE / "data" / name, "rt") as file:
        days = set()
        for row in csv.DictReader(file):
            month, day, year = map(int, row["Date"].split("/"))
            days.add(date(year, month, day))
    span = (min(days) + timedelta(n) for n in range((max(days) - min(days)).days + 1))
    return {day for day in span if day.weekday() < 5 and day not in days}, min(days), max(days)


def main():
    path = HERE / "calendars" / "nyse.txt"
    if sys.argv[1:] != ["--check"]:
        path.write_text(text())
        return 0
    good = path.read_text() == text()
    print("calendars/nyse.txt is", "current" if good else "stale")
    for name in ("sp500.csv.gz", "nasdaq.csv.gz"):
        missing, first, last = without_prices(name)
        ours = {day for year in range(first.year, last.year + 1) for day in closed(year) if first <= day <= last}
        differ = sorted(missing ^ ours)
        print(f"{name}: {len(missing)} working days without prices, {len(differ)} of them not by the rules")
        good = good and not differ
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
