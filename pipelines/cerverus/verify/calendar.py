#!/usr/bin/env python3
"""The days on which the New York Stock Exchange is closed or closes early, by its rules, held against prices and volumes.

The rules (https://www.nyse.com/markets/hours-calendars): New Year's Day, Martin Luther King Day, Washington's
Birthday, Good Friday, Memorial Day, Juneteenth (from 2022), Independence Day, Labor Day, Thanksgiving and Christmas. A
holiday on a Sunday is kept on the Monday after, one on a Saturday on the Friday before, except New Year's Day, which is
then not kept. Besides, the exchange closed for days of mourning, after the attacks of 2001 and for the hurricane of 2012.

It closes at 13:00 on the day after Thanksgiving, and on 3 July and 24 December from Monday to Thursday, where the day after
is the holiday. 2002 had 5 July instead, 2003 also 26 December, and 1999 its last day
(https://mondovisione.com/media-and-resources/news/the-new-york-stock-exchange-defers-offhours-trading-until-second-half-2000).

Held day by day against the exchange's announcements of 2022 to 2028, as they were published elsewhere (of 2026 to 2028:
https://mondovisione.com/media-and-resources/news/nyse-group-announces-2026-2027-and-2028-holiday-and-early-closings-calendar-20251223/;
of 2025: https://mondovisione.com/media-and-resources/news/nyse-group-announces-2025-2026-and-2027-holiday-and-early-closings-calendar/;
of 2022 to 2024: https://mondovisione.com/media-and-resources/news/nyse-group-announces-2022-2023-and-2024-holiday-and-early-closings-calendar/),
and of all years against the calendars of the Python packages exchange_calendars 4.13.2 and pandas_market_calendars 5.5.0
(the latter does not have the last day of 1999). The holidays of 2029 and 2030 are the rules' alone.

    calendar.py            writes calendars/nyse.txt
    calendar.py --early    prints the early closings as cauce.yaml has them
    calendar.py --check    says whether both are current, whether the days without prices are these, and whether less was
                           traded on days that ended early

Standard library only; it shares nothing with the program that reads the calendar.
"""

import csv
import gzip
import statistics
import sys
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
FIRST, LAST = 1999, 2030
# The last year whose early closings the exchange has announced.
ANNOUNCED = 2028
# On a day that ends early less is traded than this share of the median of the twenty days before it.
LESS = 0.75

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


def early(year):
    """The days that end at 13:00."""
    days = [nth(year, 11, 3, 4) + timedelta(1)]
    days += [day for day in (date(year, 7, 3), date(year, 12, 24)) if day.weekday() < 4 and day != date(2002, 7, 3)]
    days += [day for day in (date(1999, 12, 31), date(2002, 7, 5), date(2003, 12, 26)) if day.year == year]
    return sorted(days)


def early_lines():
    return [f'      {day}: "09:30-13:00"\n' for year in range(FIRST, ANNOUNCED + 1) for day in early(year)]


def text():
    lines = [f"# Days on which the New York Stock Exchange is closed, {FIRST} to {LAST}: made by verify/calendar.py.\n"]
    for year in range(FIRST, LAST + 1):
        lines += [f"{day.isoformat()} {why}\n" for day, why in sorted(closed(year).items())]
    return "".join(lines)


def volumes(name):
    """The days of a series, in order, with what was traded."""
    with gzip.open(HERE / "data" / name, "rt") as file:
        found = {}
        for row in csv.DictReader(file):
            month, day, year = map(int, row["Date"].split("/"))
            found[date(year, month, day)] = float(row["Volume"])
    return dict(sorted(found.items()))


def without_prices(days):
    """The working days between the first and the last of a series that it does not have."""
    span = (min(days) + timedelta(n) for n in range((max(days) - min(days)).days + 1))
    return {day for day in span if day.weekday() < 5 and day not in days}


def usual(volumes, day):
    """The median of what was traded on the twenty days before one."""
    before = [volume for other, volume in volumes.items() if other < day]
    return statistics.median(before[-20:])


def main():
    path = HERE / "calendars" / "nyse.txt"
    if sys.argv[1:] == ["--early"]:
        sys.stdout.writelines(early_lines())
        return 0
    if sys.argv[1:] != ["--check"]:
        path.write_text(text())
        return 0
    good = path.read_text() == text()
    print("calendars/nyse.txt is", "current" if good else "stale")
    written = [line for line in (HERE / "cauce.yaml").open() if line.endswith(': "09:30-13:00"\n')]
    print("the early closings of cauce.yaml are", "current" if written == early_lines() else "stale")
    good = good and written == early_lines()
    for name in ("sp500.csv.gz", "nasdaq.csv.gz"):
        traded = volumes(name)
        missing, first, last = without_prices(traded), min(traded), max(traded)
        ours = {day for year in range(first.year, last.year + 1) for day in closed(year) if first <= day <= last}
        differ = sorted(missing ^ ours)
        print(f"{name}: {len(missing)} working days without prices, {len(differ)} of them not by the rules")
        short = [day for year in range(first.year, last.year + 1) for day in early(year)]
        full = [day for day in short if not traded.get(day, 0) < LESS * usual(traded, day)]
        print(f"{name}: {len(short)} days that ended early, on {len(full)} of them no less was traded")
        good = good and not differ and not full
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
