"""Measures `cauce up`: many schedules at one moment, and many files through the real watch. Prints, asserts nothing.

    python3 benches/up.py --cauce PATH [--pipelines N] [--files N]

Schedules: N pipelines that all tick at every minute; seconds from the start of the process until everything is
deployed (first start and a later one), its peak memory, and how late after the tick each run was decided.
Files: N files in shuffled order, three of ten told twice by the system, the process killed midway with SIGKILL;
runs, those missed and doubled, and the time from a file's closing to its run's record.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from service import Service, spread

SCHEDULED = """pipeline: p{n}
schedule: "* * * * *"
max_active_runs: 100
tasks: {{done: {{pass: {{}}}}}}
"""

FILED = """pipeline: f
triggers:
  - file: {bucket: drop, keys: ["in/{name}.csv"]}
max_active_runs: 1000
tasks: {done: {pass: {}}}
"""


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def schedules(cauce, count):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "cauce.yaml").write_text("images: {}\n")
        for n in range(count):
            pathlib.Path(folder, f"p{n}.yaml").write_text(SCHEDULED.format(n=n))
        service = Service(cauce, folder)
        print(f"{count} pipelines, first start: ready after {service.until_ready():.1f} s", flush=True)
        service.stop()
        service = Service(cauce, folder)
        print(f"{count} pipelines, next start: ready after {service.until_ready():.1f} s, "
              f"{service.peak_mib():.0f} MiB", flush=True)
        deadline = time.time() + 240
        ticks = lambda: [line for line in service.lines if line["event"] == "schedule" and line["became"] == "run"
                         and moment(line["of"]) > service.ready_at]
        ended = lambda: sum(line["event"] == "ended" for line in service.lines)
        while len(ticks()) < count and time.time() < deadline:
            time.sleep(0.5)
        late = [moment(line["at"]) - moment(line["of"]) for line in ticks()[:count]]
        print(f"{count} at one tick: decided late by {spread(late, 's')}", flush=True)
        while ended() < count and time.time() < deadline:
            time.sleep(0.5)
        last = max((moment(line["at"]) - moment(line["of"]) for line in ticks()[:count]), default=0)
        print(f"{ended()} runs ended; {service.peak_mib():.0f} MiB at most; last decided {last:.1f} s after its tick",
              flush=True)
        service.stop()


def files(cauce, count):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "cauce.yaml").write_text("images: {}\n")
        pathlib.Path(folder, "f.yaml").write_text(FILED)
        drop = pathlib.Path(folder, ".cauce/objects/drop/in")
        service = Service(cauce, folder)
        service.until_ready()
        drop.mkdir(parents=True, exist_ok=True)
        order = list(range(count))
        random.Random(1).shuffle(order)
        closed, decided, again = {}, {}, []

        def hear():
            for line in service.lines:
                if line["event"] == "file" and line["became"] == "run":
                    decided.setdefault(line["text"].split("/in/")[1].split(".csv")[0], moment(line["at"]))

        for at, n in enumerate(order):
            path = drop / f"{n}.csv"
            path.write_text(str(n))
            closed[str(n)] = time.time()
            if n % 10 < 3:
                again.append(path)
            if len(again) > 50:
                os.close(os.open(again.pop(0), os.O_WRONLY))
            if at == count // 2:
                hear()
                service.stop(signal.SIGKILL)
                killed = len(decided)
                service = Service(cauce, folder)
                service.until_ready()
        for path in again:
            os.close(os.open(path, os.O_WRONLY))
        deadline = time.time() + 900
        while time.time() < deadline and sum(line["event"] == "ended" for line in service.lines) < count - killed:
            time.sleep(1)
        time.sleep(3)
        hear()
        service.stop()
        told = subprocess.run([cauce, "runs", "--limit", str(3 * count), "--json"], cwd=folder, capture_output=True, text=True)
        runs = json.loads(told.stdout)["runs"]
        shown = subprocess.run([cauce, "triggers", "--limit", str(5 * count), "--json"], cwd=folder, capture_output=True, text=True)
        events = json.loads(shown.stdout)["events"]
        by_key = collections.Counter(e["event"]["key"] for e in events if e["became"] == "run")
        states = collections.Counter(run["status"] for run in runs)
        print(f"{count} files, {sum(n % 10 < 3 for n in order)} told twice, killed after {killed} decisions: "
              f"{len(runs)} runs {dict(states)}, {count - len(by_key)} missed, "
              f"{sum(number > 1 for number in by_key.values())} doubled", flush=True)
        delays = [decided[n] - closed[n] for n in decided if n in closed]
        print(f"from file to run record: {spread(delays, 's')}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cauce", required=True)
    parser.add_argument("--pipelines", type=int, default=1000)
    parser.add_argument("--files", type=int, default=10_000)
    args = parser.parse_args()
    cauce = str(pathlib.Path(args.cauce).resolve())
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
    if args.pipelines:
        schedules(cauce, args.pipelines)
    if args.files:
        files(cauce, args.files)


if __name__ == "__main__":
    sys.exit(main())
