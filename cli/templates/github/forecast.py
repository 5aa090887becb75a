#!/usr/bin/env python3
"""Compares the forecasts of two build folders, as a table for a pull request.

    forecast.py BEFORE AFTER
"""

import json
import pathlib
import sys

COLUMNS = [
    ("tasks", lambda f: f["tasks"]),
    ("states", lambda f: sum(machine["states"] for machine in f["machines"])),
    ("worst events", lambda f: max(machine["worst_events"] for machine in f["machines"])),
    ("transitions", lambda f: f["transitions"]),
    ("USD a run", lambda f: round(f["price"]["run_usd"], 6)),
    ("USD a month", lambda f: round(f["price"].get("month_usd") or 0, 4)),
]


def manifests(folder: pathlib.Path) -> dict[str, dict]:
    read = (json.loads(path.read_text()) for path in sorted(folder.glob("*/manifest.json")))
    return {manifest["pipeline"]: manifest for manifest in read}


def row(name: str, before: dict | None, after: dict | None) -> str:
    cells = []
    for _, value in COLUMNS:
        old = value(before["forecast"]) if before else None
        new = value(after["forecast"]) if after else None
        cells.append(str(new) if old in (new, None) else f"{old} → {new if new is not None else 'gone'}")
    return f"| `{name}` | " + " | ".join(cells) + " |"


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: forecast.py BEFORE AFTER", file=sys.stderr)
        return 2
    before, after = (manifests(pathlib.Path(folder)) for folder in sys.argv[1:])
    changed = [
        name
        for name in sorted(before.keys() | after.keys())
        if before.get(name, {}).get("version") != after.get(name, {}).get("version")
    ]
    if not changed:
        print("No pipeline changes.")
        return 0
    print("| pipeline | " + " | ".join(name for name, _ in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name in changed:
        print(row(name, before.get(name), after.get(name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
