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
import statistics
import subprocess
import sys
import tempfile
import threading
import time

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


def spread(values, unit):
    if not values:
        return "nothing was measured"
    ordered = sorted(values)
    at = lambda part: ordered[min(len(ordered) - 1, int(part * len(ordered)))]
    return (f"p50 {statistics.median(ordered):.3f}  p95 {at(0.95):.3f}  p99 {at(0.99):.3f}  "
            f"max {ordered[-1]:.3f} {unit}  ({len(ordered)})")


class Service:
    """`cauce up --json` on a folder; its lines are kept."""

    def __init__(self, cauce, folder):
        self.began = time.time()
        self.process = subprocess.Popen(
            [cauce, "up", "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = []
        self.ready = threading.Event()
        self.ready_at = None
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            document = json.loads(line)
            self.lines.append(document)
            if document["event"] == "ready":
                self.ready_at = time.time()
                self.ready.set()

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


def schedules(cauce, count):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "cauce.yaml").write_text("images: {}\n")
        for n in range(count):
            pathlib.Path(folder, f"p{n}.yaml").write_text(SCHEDULED.format(n=n))
        service = Service(cauce, folder)
        service.ready.wait()
        print(f"{count} pipelines, first start: ready after {service.ready_at - service.began:.1f} s", flush=True)
        service.stop()
        service = Service(cauce, folder)
        service.ready.wait()
        print(f"{count} pipelines, next start: ready after {service.ready_at - service.began:.1f} s, "
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
        service.ready.wait()
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
                service.ready.wait()
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
    if args.pipelines:
        schedules(cauce, args.pipelines)
    if args.files:
        files(cauce, args.files)


if __name__ == "__main__":
    sys.exit(main())
