"""The launcher: it refuses what it cannot do, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests.harness import HERE, Emulator, ministack_or_skip
from tests.test_containers import NETWORK

HANG = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


class Launcher(unittest.TestCase):
    def run_it(self, *words):
        ministack_or_skip()
        return subprocess.run([sys.executable, str(HERE.parent / "launch.py"), *words], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_it_refuses(self):
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "images.json"
            images.write_text('{"a": 1}')
            refused = self.run_it("--folder", folder, "--images", str(images), "--port", "0")
            self.assertEqual((refused.returncode, refused.stdout), (2, ""))
            self.assertIn("a must be a list of words", refused.stderr)
            busy = Emulator()
            try:
                refused = self.run_it("--folder", folder, "--port", str(busy.ready["port"]))
            finally:
                busy.stop()
            self.assertEqual(refused.returncode, 3)
            self.assertIn("Address already in use", refused.stderr)

    def test_it_takes_all_processes_with_it(self):
        cloud = Emulator({"work": [sys.executable, "-c", HANG]})
        cloud.function("idle", "def handle(event, aws):\n    return event\n")
        cloud.invoke("idle", {})
        cloud.call("ecs", "RegisterTaskDefinition", family="work", networkMode="awsvpc", cpu="256", memory="512",
                   requiresCompatibilities=["FARGATE"], containerDefinitions=[{"name": "main", "image": "work"}])
        arn = cloud.call("ecs", "RunTask", taskDefinition="work", launchType="FARGATE",
                         networkConfiguration=NETWORK)["tasks"][0]["taskArn"]
        log = cloud.state / "tasks" / arn.rsplit("/", 1)[-1] / "main.log"
        while not log.exists() or not log.read_bytes():
            pass
        task = cloud.call("ecs", "DescribeTasks", tasks=[arn])["tasks"][0]
        pids = [int(task["containers"][0]["runtimeId"]),
                cloud.control("GET", "lambdas", event="start")["lambdas"][0]["pid"]]
        self.assertEqual([alive(pid) for pid in pids], [True, True])
        cloud.process.send_signal(signal.SIGTERM)
        self.assertEqual(cloud.process.wait(timeout=30), 0)
        self.assertEqual([alive(pid) for pid in pids], [False, False])
        cloud.stop()


if __name__ == "__main__":
    unittest.main()
