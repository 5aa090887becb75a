"""Sums the original purchases and holds a CSV export of the gold table against them, to the cent.

    python3 revenue.py PURCHASES.txt.gz GOLD.csv FROM TO

PURCHASES is the data set as published; GOLD has the columns fecha_transaccion and revenue_total, any number of rows per
day. Every day from FROM to TO must be there with the same sum. Uses the standard library only, and nothing of cauce.
"""

import csv
import gzip
import sys
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal


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


def gold(path):
    """Revenue per day of the exported gold table."""
    sums = defaultdict(Decimal)
    with open(path, newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            sums[date.fromisoformat(row["fecha_transaccion"])] += Decimal(row["revenue_total"])
    return sums


def main(purchases_path, gold_path, first, last):
    """Prints each day that differs; returns the number of them."""
    expected, found = purchases(purchases_path), gold(gold_path)
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
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:5]) else 0)
