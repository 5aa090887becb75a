"""`cauce up` as the benches start it, and how they show what they measured."""

import json
import pathlib
import signal
import statistics
import subprocess
import threading
import time


def spread(values, unit):
    """Median, two high percentiles, the worst, and of how many."""
    if not values:
        return "nothing was measured"
    ordered = sorted(values)
    at = lambda part: ordered[min(len(ordered) - 1, int(part * len(ordered)))]
    return (f"p50 {statistics.median(ordered):.3f}  p95 {at(0.95):.3f}  p99 {at(0.99):.3f}  "
            f"max {ordered[-1]:.3f} {unit}  ({len(ordered)})")


class Service:
    """`cauce up --json` on a folder; its lines are kept."""

    def __init__(self, cauce, folder, *words):
        self.began = time.time()
        self.process = subprocess.Popen([cauce, "up", "--json", *words], cwd=folder, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
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

    def until_ready(self):
        """Seconds from its start until it is ready."""
        while not self.ready.wait(1):
            if self.process.poll() is not None:
                raise SystemExit(f"cauce up ended with {self.process.returncode} before it was ready")
        return self.ready_at - self.began

    def peak_mib(self):
        """Its peak resident memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()
