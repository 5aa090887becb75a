"""ECS tasks as processes of this machine."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from ministack.core.responses import (error_response_json, get_account_id, get_region, json_response, new_uuid,
                                      now_iso, request_scope)
from ministack.services import ecs

from cauce_emulator import faults, identities, journal
from cauce_emulator.patching import replaces
from cauce_emulator.settings import SETTINGS

API = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference"
TOKEN_CHARACTERS = 64
"""Longest clientToken (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>)."""
OVERRIDE_CHARACTERS = 8192
"""Most of a task's overrides (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html>)."""
STOP_SECONDS = 30
"""Between SIGTERM and SIGKILL, without a stopTimeout of the container
(<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>)."""
EXITED = "Essential container in task exited"

_lock = threading.RLock()
_tokens: dict[tuple, tuple[str, list[str]]] = {}
_running: dict[str, "Running"] = {}


class CannotStart(Exception):
    """The task ends before its first process; the text is its stoppedReason."""


class Running:
    """The processes of one task."""

    def __init__(self, task: dict, definition: dict) -> None:
        self.task = task
        limits = [container.get("stopTimeout", STOP_SECONDS) for container in definition["containerDefinitions"]]
        self.stop_seconds = min(max(limits), SETTINGS.stop_seconds or max(limits))
        self.processes: dict[str, subprocess.Popen] = {}
        self.stopping = threading.Event()
        self.verdict: tuple[str, str] | None = None
        self.over = threading.Event()


def repository(image: str) -> str:
    """`cauce-worker` of `1.dkr.ecr.eu-west-1.amazonaws.com/team/cauce-worker:3@sha256:...` is `team/cauce-worker`."""
    name = image.split("@", 1)[0]
    host, _, rest = name.partition("/")
    if rest and ("." in host or ":" in host or host == "localhost"):
        name = rest
    head, slash, last = name.rpartition("/")
    return head + slash + last.split(":", 1)[0]


def command_of(container: dict, override: dict) -> tuple[list[str], dict, str | None]:
    """argv, further variables and working folder of a container on this machine."""
    name = repository(container["image"])
    entry = SETTINGS.images.get(name, SETTINGS.images.get(name.rsplit("/", 1)[-1]))
    if entry is None:
        raise CannotStart(f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve "
                          f"ref {container['image']}: not found")
    entry = entry if isinstance(entry, dict) else {"argv": entry}
    words = list(override.get("command") or container.get("command") or [])
    argv = (list(container["entryPoint"]) if container.get("entryPoint") else list(entry.get("argv", []))) + words
    if not argv:
        raise CannotStart("CannotStartContainerError: the container has no command")
    return [moved(word, entry.get("paths", {})) for word in argv], entry.get("env", {}), entry.get("cwd")


def moved(word: str, paths: dict) -> str:
    """A path of the image as the path on this machine that stands for it."""
    for inside, here in sorted(paths.items(), key=lambda pair: -len(pair[0])):
        if word == inside or word.startswith(inside.rstrip("/") + "/"):
            return here + word[len(inside.rstrip("/")):]
    return word


def environment_of(definition: dict, container: dict, override: dict, folder: Path, more: dict) -> dict[str, str]:
    """The environment of a container: nothing of this process but PATH and LANG."""
    role = definition.get("taskRoleArn")
    identity = identities.issue(role or "no-task-role")
    values = {"PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "HOME": str(folder), "TMPDIR": str(folder),
              "LANG": os.environ.get("LANG", "C.UTF-8"), "TZ": "UTC",
              **identities.variables(identity, SETTINGS.endpoint, get_region()), **more}
    for entry in [*container.get("environment", []), *override.get("environment", [])]:
        values[entry["name"]] = str(entry["value"])
    for secret in container.get("secrets", []):
        service = "secretsmanager:GetSecretValue" if "secretsmanager" in secret["valueFrom"] else "ssm:GetParameters"
        journal.call(definition.get("executionRoleArn") or "no-execution-role", service,
                     ":".join(secret["valueFrom"].split(":")[:7]))
    try:
        values.update(ecs._resolve_container_secrets(container))
    except ecs._SecretResolutionError as error:
        raise CannotStart(f"ResourceInitializationError: unable to pull secrets or registry auth: {error}") from error
    return values


def refuse(code: str, message: str, **more):
    """An error of the ECS API."""
    return error_response_json(code, message, 400, extra=more or None)


def check_request(data, cluster, definition):
    """What RunTask refuses before it looks for capacity."""
    if len(data.get("clientToken") or "") > TOKEN_CHARACTERS:
        return refuse("InvalidParameterException", f"clientToken must be at most {TOKEN_CHARACTERS} characters.")
    if cluster not in ecs._clusters and cluster != "default":
        return refuse("ClusterNotFoundException", "Cluster not found.")
    if definition is None:
        return refuse("ClientException", f"Unable to find task definition: {data.get('taskDefinition')}")
    if definition.get("status") != "ACTIVE":
        return refuse("ClientException", "TaskDefinition is inactive")
    overrides = data.get("overrides") or {}
    if len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False)) > OVERRIDE_CHARACTERS:
        return refuse("InvalidParameterException", f"Container Overrides length must be at most {OVERRIDE_CHARACTERS}")
    names = {container["name"] for container in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides", []):
        if override.get("name") not in names:
            return refuse("InvalidParameterException",
                          f"Override for container named {override.get('name')} is not a container in the TaskDefinition.")
    if definition.get("networkMode") == "awsvpc" and not data.get("networkConfiguration"):
        return refuse("InvalidParameterException",
                      "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    return None


@replaces("services.ecs", "_run_task", "6e96d8f5a5b850d7",
          """Runs nothing without Docker, knows no clientToken, makes clusters up, and checks neither the network
          configuration nor the overrides.""", f"{API}/API_RunTask.html")
def run_task(data):
    cluster = ecs._resolve_cluster_name(data.get("cluster") or "default")
    definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("taskDefinition", "")))
    refused = check_request(data, cluster, definition)
    if refused:
        return refused
    if cluster not in ecs._clusters:
        ecs._create_cluster({"clusterName": cluster})
    launch, strategy, refused = ecs._launch_choice(data, ecs._clusters[cluster])
    if refused:
        return refused
    launch, provider = ecs._task_capacity(launch, strategy)
    token, asked = data.get("clientToken"), json.dumps({k: v for k, v in data.items() if k != "clientToken"},
                                                       sort_keys=True)
    key = (get_account_id(), get_region(), cluster, token)
    with _lock:
        if token and key in _tokens:
            before, arns = _tokens[key]
            if before != asked:
                return refuse("ConflictException", "The Idempotency Token is already in use with other parameters.",
                              resourceIds=arns)
            return json_response({"tasks": [ecs._sanitize(ecs._tasks[arn]) for arn in arns], "failures": []})
        fault = faults.take("task", family=definition["family"])
        if fault is not None and fault.effect == "refuse":
            return json_response({"tasks": [], "failures": [
                {"arn": ecs._clusters[cluster]["clusterArn"], "reason": fault.detail.get("reason", "RESOURCE:CPU")}]})
        tasks = [new_task(data, cluster, definition, launch, provider) for _ in range(int(data.get("count") or 1))]
        if token:
            _tokens[key] = (asked, [task["taskArn"] for task in tasks])
    shown = [ecs._sanitize(task) for task in tasks]
    for task in tasks:
        scope = (get_account_id(), get_region())
        threading.Thread(target=live, args=(task, definition, fault, scope), daemon=True).start()
    return json_response({"tasks": shown, "failures": []})


def new_task(data, cluster, definition, launch, provider) -> dict:
    """The record of a task, PROVISIONING."""
    arn = f"arn:aws:ecs:{get_region()}:{get_account_id()}:task/{cluster}/{new_uuid().replace('-', '')}"
    overrides = {"containerOverrides": [], "inferenceAcceleratorOverrides": [], **(data.get("overrides") or {})}
    task = {
        "taskArn": arn, "clusterArn": ecs._clusters[cluster]["clusterArn"],
        "taskDefinitionArn": definition["taskDefinitionArn"], "overrides": overrides, "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING", "launchType": launch, "capacityProviderName": provider,
        "cpu": str(definition.get("cpu", "256")), "memory": str(definition.get("memory", "512")),
        "platformVersion": "1.4.0" if launch == "FARGATE" else None,
        "platformFamily": "Linux" if launch == "FARGATE" else None, "createdAt": now_iso(),
        "group": data.get("group") or f"family:{definition['family']}", "startedBy": data.get("startedBy") or None,
        "version": 1, "availabilityZone": f"{get_region()}a", "attachments": [],
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "enableExecuteCommand": bool(data.get("enableExecuteCommand")), "tags": data.get("tags") or [],
        "ephemeralStorage": definition.get("ephemeralStorage") or {"sizeInGiB": 20},
        "containers": [{
            "containerArn": f"arn:aws:ecs:{get_region()}:{get_account_id()}:container/{cluster}/{new_uuid()}",
            "taskArn": arn, "name": container["name"], "image": container["image"], "lastStatus": "PENDING",
            "networkBindings": [], "networkInterfaces": [], "cpu": str(container.get("cpu", 0)),
        } for container in definition["containerDefinitions"]],
    }
    ecs._tasks[arn] = task
    if task["tags"]:
        ecs._tags[arn] = list(task["tags"])
    _running[arn] = Running(task, definition)
    return task


def tell(task: dict, **changes) -> None:
    """Changes a task, counts the change, and says so on the default bus
    (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>)."""
    from ministack.services import eventbridge

    with _lock:
        task.update(changes)
        task["version"] += 1
        detail = {**ecs._sanitize(task), "updatedAt": now_iso()}
    eventbridge._put_events({"Entries": [{
        "Source": "aws.ecs", "DetailType": "ECS Task State Change", "Detail": json.dumps(detail),
        "Resources": [task["taskArn"]]}]}, allow_aws_source=True)
    ecs._recount_cluster(ecs._cluster_name_from_arn(task["clusterArn"]))


def live(task: dict, definition: dict, fault, scope: tuple[str, str]) -> None:
    """The whole life of a task, in a thread of its own."""
    run = _running[task["taskArn"]]
    with request_scope(*scope):
        try:
            tell(task, lastStatus="PENDING", connectivity="CONNECTED", connectivityAt=now_iso(), pullStartedAt=now_iso())
            if fault is not None and fault.detail.get("stop_code") == "TaskFailedToStart":
                raise CannotStart(fault.detail.get("reason", "CannotPullContainerError: not found"))
            if run.verdict is None:
                run.verdict = work(task, definition, run, fault)
        except CannotStart as error:
            run.verdict = run.verdict or ("TaskFailedToStart", str(error))
        except Exception as error:  # a task never stays open because of the emulator
            ecs.logger.exception("task %s", task["taskArn"])
            run.verdict = run.verdict or ("TaskFailedToStart", f"InternalError: {error}")
        code, reason = run.verdict
        with _lock:
            for container in task["containers"]:
                container["lastStatus"] = "STOPPED"
        tell(task, desiredStatus="STOPPED", lastStatus="DEPROVISIONING", stopCode=code, stoppedReason=reason,
             stoppingAt=task.get("stoppingAt") or now_iso(), executionStoppedAt=now_iso())
        tell(task, lastStatus="STOPPED", stoppedAt=now_iso())
        run.over.set()


def work(task, definition, run, fault) -> tuple[str, str]:
    """Runs the containers; returns stop code and reason."""
    told = fault.detail if fault is not None else {}
    if fault is None or told.get("run"):
        verdict = processes(task, definition, run)
    else:
        tell(task, lastStatus="RUNNING", pullStoppedAt=now_iso(), startedAt=now_iso())
        verdict = ("EssentialContainerExited", EXITED)
    if fault is None or run.stopping.is_set():
        return verdict
    main = main_container(task, definition)
    if "exit_code" in told:
        main["exitCode"] = told["exit_code"]
    if "container_reason" in told:
        main["reason"] = told["container_reason"]
    return told.get("stop_code", verdict[0]), told.get("reason", verdict[1])


def main_container(task, definition) -> dict:
    """The record of the first essential container."""
    name = next(c["name"] for c in definition["containerDefinitions"] if c.get("essential", True))
    return next(c for c in task["containers"] if c["name"] == name)


def ordered(containers: list[dict]) -> list[dict]:
    """Containers, each after those it depends on."""
    by_name, done = {c["name"]: c for c in containers}, []

    def visit(container, path=()):
        if container in done:
            return
        if container["name"] in path:
            raise CannotStart("ResourceInitializationError: containers depend on each other")
        for needed in container.get("dependsOn", []):
            visit(by_name[needed["containerName"]], (*path, container["name"]))
        done.append(container)

    for container in containers:
        visit(container)
    return done


def processes(task, definition, run) -> tuple[str, str]:
    """Starts the containers in their order and waits until an essential one has ended."""
    folder = SETTINGS.folder / "tasks" / task["taskArn"].rsplit("/", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    started = False
    threads = []
    containers = ordered(definition["containerDefinitions"])
    overrides = {o["name"]: o for o in task["overrides"].get("containerOverrides", [])}
    prepared = {}
    for container in containers:
        argv, more, cwd = command_of(container, overrides.get(container["name"], {}))
        prepared[container["name"]] = (
            argv, environment_of(definition, container, overrides.get(container["name"], {}), folder, more), cwd or folder)
    for container in containers:
        for needed in container.get("dependsOn", []):
            if needed.get("condition") in ("COMPLETE", "SUCCESS"):
                code = run.processes[needed["containerName"]].wait()
                if code != 0 and needed["condition"] == "SUCCESS":
                    stop_group(run)
                    raise CannotStart(f"dependency container {needed['containerName']} exited with {code}")
        if run.stopping.is_set():
            break
        argv, environment, cwd = prepared[container["name"]]
        try:
            process = subprocess.Popen(argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            stop_group(run)
            raise CannotStart(f"CannotStartContainerError: Error response from daemon: exec {argv[0]}: {error.strerror}"
                              ) from error
        with _lock:
            run.processes[container["name"]] = process
        record = next(c for c in task["containers"] if c["name"] == container["name"])
        record.update(lastStatus="RUNNING", runtimeId=f"{process.pid}")
        logs = threading.Thread(target=copy_logs, args=(task, definition, container, process), daemon=True)
        waiting = threading.Thread(target=wait_one, args=(container, record, process, logs, ended), daemon=True)
        logs.start()
        waiting.start()
        threads.append(waiting)
        if not started and container.get("essential", True):
            started = True
            tell(task, lastStatus="RUNNING", pullStoppedAt=now_iso(), startedAt=now_iso())
    if run.stopping.is_set():
        stop_group(run)
    if started:
        ended.wait()
    stop_group(run)
    for thread in threads:
        thread.join()
    return run.verdict or ("EssentialContainerExited", EXITED)


def wait_one(container, record, process, logs, ended) -> None:
    """Waits for one process, and for the end of its output."""
    code = process.wait()
    record["exitCode"] = code if code >= 0 else 128 - code
    record["lastStatus"] = "STOPPED"
    logs.join(timeout=5)  # a grandchild may hold the pipe open
    if container.get("essential", True):
        ended.set()


def copy_logs(task, definition, container, process) -> None:
    """Sends a container's output, line by line, where its awslogs configuration says, and into its folder."""
    scope = (task["taskArn"].split(":")[4], task["taskArn"].split(":")[3])
    identifier = task["taskArn"].rsplit("/", 1)[-1]
    path = SETTINGS.folder / "tasks" / identifier / f"{container['name']}.log"
    with request_scope(*scope), path.open("ab", buffering=0) as file:
        target = ecs._awslogs_config(container, identifier, identifier)
        if target is not None:
            role = definition.get("executionRoleArn") or "no-execution-role"
            group = f"arn:aws:logs:{scope[1]}:{scope[0]}:log-group:{target['group']}"
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                journal.call(role, action, f"{group}:log-stream:{target['stream']}")
            target = target if ecs._ensure_awslogs_stream(target) else None
        for line in process.stdout:
            file.write(line)
            if target is not None:
                ecs._emit_awslogs_event(target, re.sub(r"\r?\n$", "", line.decode("utf-8", "replace")))


def stop_group(run: Running) -> None:
    """SIGTERM to each container's group, then SIGKILL (API_StopTask)."""
    with _lock:
        alive = [process for process in run.processes.values() if process.poll() is None]
    for process in alive:
        send(process, signal.SIGTERM)
    deadline = time.monotonic() + run.stop_seconds
    for process in alive:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        send(process, signal.SIGKILL)


def send(process, number) -> None:
    """A signal to a process's group, which may be gone."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def stop(task: dict, code: str, reason: str) -> None:
    """Asks a task to stop, once."""
    run = _running.get(task["taskArn"])
    if run is None or run.stopping.is_set() or task["lastStatus"] in ("DEPROVISIONING", "STOPPED"):
        return
    run.verdict = (code, reason)
    run.stopping.set()
    tell(task, desiredStatus="STOPPED", stoppingAt=now_iso(), stopCode=code, stoppedReason=reason)
    threading.Thread(target=stop_group, args=(run,), daemon=True).start()


@replaces("services.ecs", "_stop_task", "06eb83088bbca69b",
          """Marks the task STOPPED with exit code 0 at once. AWS sends SIGTERM, waits, and sends SIGKILL; the exit code
          is the container's.""", f"{API}/API_StopTask.html")
def stop_task(data):
    cluster = ecs._resolve_cluster_name(data.get("cluster") or "default")
    task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
    if task is None:
        return refuse("InvalidParameterException", "The referenced task was not found.")
    stop(task, "UserInitiated", data.get("reason") or "Task stopped by user")
    return json_response({"task": ecs._sanitize(task)})


def over(arn: str) -> threading.Event:
    """Set when a task is STOPPED."""
    return _running[arn].over


def end_all() -> None:
    """Kills every process of every task: the emulator ends."""
    for run in list(_running.values()):
        for process in list(run.processes.values()):
            if process.poll() is None:
                send(process, signal.SIGKILL)
