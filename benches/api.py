"""Measures the HTTP interface of `cauce up`: requests per second and how long each takes. Prints, asserts nothing.

    python3 benches/api.py --cauce PATH [--connections N] [--requests N]

Each figure is of N connections that ask one request after the other, kept open, from threads of this program on the
same machine, so it is a floor. `health` needs no key and no store; `list of 50` reads the newest fifty of a thousand
runs; `trigger` starts a run of one task by POST, answered when it is durable, while the service carries out the runs
that were started before.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import sys
import tempfile
import threading
import time

from service import Service, spread

TOKEN = "bench-of-the-interface-0123456789"

PROJECT = """images: {}
api:
  keys:
    bench: {secret: "secret:api/bench", scopes: ["runs:read", "runs:write"]}
"""

PIPELINE = """pipeline: p
max_active_runs: 1000
tasks: {done: {pass: {}}}
"""

HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}

# Asks for no more runs than there are: what is listed is the newest fifty of many.
RUNS_BEFORE = 1000

ENDED_WITHIN_SECONDS = 300


def ask(host, connections, requests, method, path, body=None):
    """Milliseconds of each request, seconds of all, and how often each status came."""
    took, statuses, lock = [], collections.Counter(), threading.Lock()

    def work():
        connection, mine, seen = http.client.HTTPConnection(host), [], collections.Counter()
        for _ in range(requests // connections):
            before = time.perf_counter()
            connection.request(method, path, body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            mine.append(1000 * (time.perf_counter() - before))
            seen[answer.status] += 1
        connection.close()
        with lock:
            took.extend(mine)
            statuses.update(seen)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, time.perf_counter() - before, statuses


def show(name, connections, took, seconds, statuses):
    answers = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    print(f"{name:12} {len(took) / seconds:8.0f}/s  {spread(took, 'ms')}  {connections} connections, {answers}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cauce", required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--requests", type=int, default=4000, help="of each kind; a quarter of it triggers")
    args = parser.parse_args()
    cauce = str(pathlib.Path(args.cauce).resolve())
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "cauce.yaml").write_text(PROJECT)
        pathlib.Path(folder, "p.yaml").write_text(PIPELINE)
        secrets = pathlib.Path(folder, ".cauce/secrets.env")
        secrets.parent.mkdir()
        secrets.write_text(f"api/bench={TOKEN}\n")
        secrets.chmod(0o600)
        service = Service(cauce, folder, "--listen", "127.0.0.1:0")
        service.until_ready()
        said = next(line["text"] for line in service.lines if line["event"] == "listening")
        host = said.split("http://")[1]
        ended = lambda: sum(line["event"] == "ended" for line in service.lines)

        def until_ended(count):
            deadline = time.time() + ENDED_WITHIN_SECONDS
            while ended() < count and time.time() < deadline:
                time.sleep(0.1)

        start = ("POST", "/v1/pipelines/p/runs", "{}")
        _, _, made = ask(host, args.connections, RUNS_BEFORE, *start)
        until_ended(made[201])
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
        for name, request in [("health", ("GET", "/healthz")), ("list of 50", ("GET", "/v1/runs?limit=50"))]:
            show(name, args.connections, *ask(host, args.connections, args.requests, *request))
        began, before = time.perf_counter(), ended()
        took, seconds, statuses = ask(host, args.connections, args.requests // 4, *start)
        show("trigger", args.connections, took, seconds, statuses)
        until_ended(before + statuses[201])
        all_seconds = time.perf_counter() - began
        print(f"{ended() - before} of these runs had ended after {all_seconds:.1f} s; "
              f"the service's peak memory: {service.peak_mib():.0f} MiB", flush=True)
        service.stop()


if __name__ == "__main__":
    sys.exit(main())
