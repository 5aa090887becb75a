"""Sums the original purchases and holds CSV exports of the gold tables against them, to the cent.

    python3 revenue.py PURCHASES.txt.gz GOLD.csv FROM TO [WEEKS]

PURCHASES is the data set as published; GOLD has the columns fecha_transaccion and revenue_total, any number of rows per
day. Every day from FROM to TO must be there with the same sum. WEEKS is a folder of CSV files with the columns semana
(a Monday), revenue_total: the weeks that these days are of must be there, no others, each with the sum of those days.
Uses the standard library only, and nothing of cauce.
"""

import csv
import gzip
import sys
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path


def purchases(path):
    """Revenue per day of the purchases with an amount above zero."""
    sums = defaultdict(Decimal)
    with gzip.open(path, "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            _, day, _, amount = line.split()
            if Decimal(amount) > 0:
                sums[date(int(day[:4]), int(day[4:6]), int(day[6:]))] += Decimal(amount)
    return sums


def gold(paths, column):
    """Revenue per date of a column of exported gold tables."""
    sums = defaultdict(Decimal)
    for path in paths:
        with open(path, newline="", encoding="utf-8") as rows:
            for row in csv.DictReader(rows):
                sums[date.fromisoformat(row[column])] += Decimal(row["revenue_total"])
    return sums


def weeks(expected, folder, first, last):
    """Prints each week that differs; returns the number of them."""
    sums = defaultdict(Decimal)
    for day, revenue in expected.items():
        if first <= day <= last:
            sums[day - timedelta(day.weekday())] += revenue
    found = gold(Path(folder).glob("*.csv"), "semana")
    wrong = [monday for monday in sorted(sums | found) if sums.get(monday) != found.get(monday)]
    for monday in wrong:
        print(f"week of {monday}: purchases {sums.get(monday)}, gold {found.get(monday)}")
    print(f"{len(sums)} weeks, {len(wrong)} differ, revenue {sum(found.values())}")
    return len(wrong)


def main(purchases_path, gold_path, first, last, weeks_folder=None):
    """Prints each day and week that differs; returns the number of them."""
    expected, found = purchases(purchases_path), gold([gold_path], "fecha_transaccion")
    day, last = date.fromisoformat(first), date.fromisoformat(last)
    days = wrong = 0
    total = Decimal()
    while day <= last:
        days += 1
        total += found.get(day, Decimal())
        if expected.get(day) != found.get(day):
            wrong += 1
            print(f"{day}: purchases {expected.get(day)}, gold {found.get(day)}")
        day += timedelta(days=1)
    print(f"{days} days, {wrong} differ, revenue {total}")
    if weeks_folder:
        wrong += weeks(expected, weeks_folder, date.fromisoformat(first), last)
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:6]) else 0)
