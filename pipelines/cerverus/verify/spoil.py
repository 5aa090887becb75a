#!/usr/bin/env python3
"""Spoils a series on purpose, the same way for the same seed: rows lose a price, prices turn negative, high and low
change places, a digit too many, text for a number. For tests of what happens to bad data.

    spoil.py SEED ROWS SERIES.csv.gz > SPOILED.csv.gz

Standard library only.
"""

import csv
import gzip
import io
import random
import sys
from decimal import Decimal


def spoil(row, how):
    row = dict(row)
    if how == 0:
        row["Close"] = ""
    elif how == 1:
        row["Low"] = "-" + row["Low"]
    elif how == 2:
        row["High"], row["Low"] = row["Low"], row["High"]
    elif how == 3:
        row["Close"] = str(Decimal(row["Close"]) * 10)
    else:
        row["Open"] = "n/a"
    return row


def main():
    seed, rows, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.DictReader(file)
        names, series = reader.fieldnames, list(reader)
    chosen = random.Random(seed)
    for count, at in enumerate(chosen.sample(range(100, len(series)), rows)):
        series[at] = spoil(series[at], count % 5)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(series)
    sys.stdout.buffer.write(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    main()
