"""Measures what is deployed on the emulated cloud: functions, decisions, the way from an event to a task.

    python3 benches/cloud.py --cauce PATH [--functions FOLDER] [--arrivals N] [--runs N] [--files N] -- PROGRAM

PROGRAM is the test `emulator` of tests/, which serves the cloud; FOLDER has the packages that `make
package` makes. Prints, asserts nothing. What is measured is this machine's processes and an
emulator's services, not AWS: sizes and starts of functions carry over best, latencies are mostly the
emulator's.
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
import time
import urllib.parse
import urllib.request

ACCOUNT, REGION, PREFIX, LANDING = "000000000000", "us-east-1", "ventas-dev", "ecommerce-landing"

# Looks at a run before it counts as lost, each at most a second long.
LOOKS_MAX = 120


def spread(values, unit):
    """Minimum, median, 95th percentile, maximum, and of how many."""
    if not values:
        return "nothing was measured"
    ordered = sorted(values)
    at95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return (f"min {ordered[0]:.1f}  p50 {statistics.median(ordered):.1f}  p95 {at95:.1f}  "
            f"max {ordered[-1]:.1f} {unit}  ({len(ordered)})")


class Cloud:
    """A served cloud, until it is closed."""

    def __init__(self, test, functions):
        packages = ["--functions", str(pathlib.Path(functions).resolve())] if functions else []
        self.process = subprocess.Popen(
            [*test, "--serve", *packages],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.folder = None
        for line in self.process.stdout:
            print(line, end="", flush=True)
            if line.startswith("AWS_ENDPOINT_URL="):
                self.endpoint = line.strip().split("=", 1)[1]
            if line.startswith("everything is in "):
                self.folder = pathlib.Path(line.removeprefix("everything is in ").split(";")[0])
                break
        if self.folder is None:
            sys.exit("the cloud did not start")

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def request(self, method, path, body=None, headers=None):
        request = urllib.request.Request(self.endpoint + path, body, headers or {}, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def call(self, service, target, body):
        credential = f"test/20260101/{REGION}/{service}/aws4_request"
        return json.loads(self.request("POST", "/", json.dumps(body).encode(), {
            "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}))

    def changed(self, after):
        """Waits for another call to reach the cloud, a second at most."""
        return json.loads(self.request("GET", f"/_cauce/change?after={after}&seconds=1"))["calls"]

    def lines(self, name):
        return [json.loads(line) for line in (self.folder / "cloud" / name).read_text().splitlines()]

    def until(self, what, look, looks=LOOKS_MAX):
        calls = 0
        for _ in range(looks):
            seen = look()
            if seen is not None:
                return seen
            calls = self.changed(calls)
        sys.exit(f"there was no {what}")

    def waiting(self):
        """Messages of the queue of events that were not decided on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.call("sqs", "AmazonSQS.GetQueueAttributes", {
            "QueueUrl": f"{self.endpoint}/{ACCOUNT}/{PREFIX}-triggers", "AttributeNames": names})
        return sum(int(answer["Attributes"][name]) for name in names)

    def sweep(self):
        self.request("POST", f"/2015-03-31/functions/{PREFIX}-sweep/invocations",
                     json.dumps({"source": "cauce.sweep"}).encode())

    def executions(self, machine):
        arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-{machine}"
        answer = self.call("states", "AWSStepFunctions.ListExecutions", {"stateMachineArn": arn, "maxResults": 1000})
        return answer["executions"]

    def ended(self, machine, count):
        """Waits until so many executions of a machine have ended."""
        def look():
            over = [one for one in self.executions(machine) if one["status"] != "RUNNING"]
            return over if len(over) >= count else None
        return self.until(f"end of {count} executions of {machine}", look)


def sizes(functions):
    print("\npackages, bytes zipped:")
    for package in sorted(pathlib.Path(functions).glob("*.zip")):
        print(f"  {package.stem:<14} {package.stat().st_size:>10,}")


def arrivals(cloud, count, cauce):
    """From a file's arrival to the start of its run's first task, one file after the other."""
    known, wall = set(), []
    for n in range(1, count + 1):
        sent = datetime.datetime.now(datetime.timezone.utc)
        cloud.request("PUT", f"/{LANDING}/arrivals/{n}.csv", f"{n}\n".encode())
        cloud.ended("arriving", n)
        wall.append((sent, n))
    listed = run(cloud, cauce, "runs", "--pipeline", "arriving", "--env", "dev", "--limit", str(count), "--json")
    runs = sorted(json.loads(listed)["runs"], key=lambda one: one["created_at"])
    to_run, to_task = [], []
    for (sent, _), one in zip(wall, runs, strict=True):
        if one["run_id"] in known:
            sys.exit(f"{one['run_id']} stands for two files")
        known.add(one["run_id"])
        shown = json.loads(run(cloud, cauce, "show", f"arriving/{one['run_id']}", "--env", "dev", "--json"))
        started = datetime.datetime.fromisoformat(shown["tasks"]["take"]["attempts"][0]["started_at"])
        created = datetime.datetime.fromisoformat(one["created_at"])
        to_run.append((created - sent).total_seconds() * 1000)
        to_task.append((started - sent).total_seconds() * 1000)
    print("\na file's arrival, one after the other:")
    print("  to its run's record    ", spread(to_run, "ms"))
    print("  to its first task      ", spread(to_task, "ms"))


def burst(cloud, count):
    """Many runs started at once: all there, and how long they took."""
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-many"
    began = time.monotonic()
    for n in range(count):
        cloud.call("states", "AWSStepFunctions.StartExecution",
                   {"stateMachineArn": arn, "name": f"bench-{n}", "input": json.dumps({"params": {"n": n}})})
    over = cloud.ended("many", count)
    statuses = collections.Counter(one["status"] for one in over)
    print(f"\n{count} runs at once: {dict(statuses)} in {time.monotonic() - began:.1f} s")


def files(cloud, count, cauce):
    """Files that are collected into runs of 500: shuffled, three of ten told of twice, and trigger-run
    killed when half of them have come."""
    rng = random.Random(1)
    order = list(range(count))
    rng.shuffle(order)
    began, twice = time.monotonic(), 0
    for sent, n in enumerate(order):
        if rng.random() < 0.3:
            twice += 1
            fault = {"kind": "event", "effect": "duplicate", "source": "aws.s3", "times": 1}
            cloud.request("POST", "/_cauce/faults", json.dumps({"faults": [fault]}).encode(),
                          {"Content-Type": "application/json"})
        cloud.request("PUT", f"/{LANDING}/gathered/{n:06d}.csv", b"1")
        if sent == count // 2:
            starts = [line for line in cloud.lines("lambdas.jsonl")
                      if line["event"] == "start" and line["function"] == f"{PREFIX}-trigger-run"]
            os.kill(starts[-1]["pid"], signal.SIGKILL)
    sent_in = time.monotonic() - began

    def entries(became):
        told = run(cloud, cauce, "triggers", "--pipeline", "gathering", "--env", "dev", "--became", became,
                   "--limit", str(4 * count), "--json")
        return json.loads(told)["events"]

    cloud.until("end of the queue", lambda: None if cloud.waiting() else True, count)
    wanted = -(-count // 500)

    def over():
        cloud.sweep()
        ended = [one for one in cloud.executions("gathering") if one["status"] != "RUNNING"]
        return ended if len(ended) >= wanted else None

    cloud.until("end of the runs", over, count)
    taken = [one["event"]["files"] for one in entries("run")]
    print(f"\n{count} files, shuffled, {twice} of them told of twice, trigger-run killed once:")
    print(f"  sent in {sent_in:.0f} s; {len(taken)} runs of {sorted(taken)} files, {sum(taken)} in all; "
          f"{len(entries('duplicate'))} booked as duplicates; {time.monotonic() - began:.0f} s until the end")


def run(cloud, cauce, *args):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                    "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "NO_COLOR": "1"}
    return subprocess.run([cauce, *args], cwd=cloud.folder / "project", env=environment, check=True,
                          capture_output=True, text=True).stdout


def functions(cloud):
    """From the journal of the emulated Lambda: starts, and invocations of processes that were warm."""
    starts, warm = collections.defaultdict(list), collections.defaultdict(list)
    for line in cloud.lines("lambdas.jsonl"):
        name = line["function"].removeprefix(f"{PREFIX}-")
        if line["event"] == "start":
            starts[name].append(line["init_ms"])
        if line["event"] == "invocation" and not line["cold"] and line["status"] == "ok":
            warm[name].append(line["duration_ms"])
    print("\nstart of a process until it asks for its first event:")
    for name in sorted(starts):
        print(f"  {name:<14}", spread(starts[name], "ms"))
    print("\nwarm invocations, the emulated services' time included:")
    for name in sorted(warm):
        print(f"  {name:<14}", spread(warm[name], "ms"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="+", help="the test program `emulator`, with its words")
    parser.add_argument("--functions", help="the folder of packages (those of the development build)")
    parser.add_argument("--cauce", required=True, help="the command line program")
    parser.add_argument("--arrivals", type=int, default=50, help="files that arrive (50)")
    parser.add_argument("--files", type=int, default=0, help="files that are collected (none; 10000 take a quarter of an hour)")
    parser.add_argument("--runs", type=int, default=200, help="runs at once (200)")
    args = parser.parse_args()
    if args.functions:
        sizes(args.functions)
    cloud = Cloud(args.program, args.functions)
    try:
        if args.arrivals:
            arrivals(cloud, args.arrivals, str(pathlib.Path(args.cauce).resolve()))
        if args.runs:
            burst(cloud, args.runs)
        if args.files:
            files(cloud, args.files, str(pathlib.Path(args.cauce).resolve()))
        functions(cloud)
    finally:
        cloud.close()


if __name__ == "__main__":
    main()
