#!/usr/bin/env python3
"""Starts the emulated cloud: `launch.py --port 4566 --folder DIR [--images images.json]`. See README.md.

Prints one line of JSON when it serves; ends on SIGTERM, SIGINT or, with --until-stdin-closes, when its standard input
ends, and takes all processes with it that it started. Exit codes: 0 asked to stop, 2 wrong arguments, 3 cannot run here.
"""

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the emulated cloud on one machine")
    parser.add_argument("--port", type=int, default=4566, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--folder", type=Path, required=True, help="logs, journals, unpacked functions, task folders")
    parser.add_argument("--images", type=Path, help="JSON: how containers of an image run here")
    parser.add_argument("--wait-scale", type=float, default=1.0, help="factor on Wait states and retry delays")
    parser.add_argument("--stop-seconds", type=float, help="at most so long between SIGTERM and SIGKILL of an ECS task")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input ends")
    return parser.parse_args()


def refuse(code: int, message: str) -> None:
    print(f"emulator: {message}", file=sys.stderr)
    raise SystemExit(code)


def prepare(options: argparse.Namespace) -> socket.socket:
    """The port, the folder, and the environment that ministack reads when it is imported."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", options.port))
    except OSError as error:
        refuse(3, f"port {options.port}: {error.strerror}")
    listening.listen(512)
    port = listening.getsockname()[1]
    folder = options.folder.resolve()
    for part in ("tmp", "tasks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_", "LOCALSTACK_", "SFN_"))]:
        del os.environ[name]
    os.environ.update({
        "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "TMPDIR": str(folder / "tmp"),
        "LAMBDA_EXECUTOR": "local", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "LOG_LEVEL": "INFO",
        "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        "SFN_WAIT_SCALE": str(options.wait_scale), "AWS_EC2_METADATA_DISABLED": "true",
    })
    return listening


def images_of(path: Path | None) -> dict:
    if path is None:
        return {}
    try:
        images = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        refuse(2, f"{path}: {error}")
    for name, entry in images.items():
        known = isinstance(entry, dict) and not set(entry) - {"argv", "cwd", "env", "paths"}
        if not known and not isinstance(entry, list):
            refuse(2, f"{path}: {name} must be a list of words, or an object of argv, cwd, env, paths")
    return images


def main() -> None:
    options = arguments()
    images = images_of(options.images)
    listening = prepare(options)
    folder = options.folder.resolve()
    talk = (folder / "emulator.log").open("a", buffering=1)
    import logging

    logging.basicConfig(stream=talk, level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    try:
        import ministack  # noqa: F401
    except ImportError:
        refuse(3, "needs ministack: run `make tools`, then start with its python (see infra/emulator/README.md)")
    from cauce_emulator import journal, patching
    from cauce_emulator.settings import SETTINGS

    SETTINGS.endpoint, SETTINGS.folder = os.environ["AWS_ENDPOINT_URL"], folder
    SETTINGS.images, SETTINGS.stop_seconds = images, options.stop_seconds
    journal.CALLS.open(folder / "calls.jsonl")
    journal.LAMBDAS.open(folder / "lambdas.jsonl")
    journal.FAULTS.open(folder / "faults.jsonl")
    from cauce_emulator import patches  # noqa: F401

    try:
        patching.apply()
    except patching.Mismatch as error:
        refuse(3, str(error))
    serve(listening, options, folder)


def serve(listening: socket.socket, options: argparse.Namespace, folder: Path) -> None:
    import asyncio
    import signal

    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config
    from ministack import app
    from ministack.core import lambda_runtime
    from ministack.services import scheduler

    from cauce_emulator import containers
    from cauce_emulator.front import Door
    from cauce_emulator.settings import SETTINGS

    scheduler._SCHEDULE_TICK_INTERVAL = 1

    def ready() -> None:
        print(json.dumps({"endpoint": SETTINGS.endpoint, "port": listening.getsockname()[1], "pid": os.getpid(),
                          "folder": str(folder)}), flush=True)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if options.until_stdin_closes:
            def watch() -> None:
                while sys.stdin.buffer.read(4096):
                    pass
                loop.call_soon_threadsafe(stop.set)

            threading.Thread(target=watch, daemon=True).start()
        config = Config()
        config.bind = [f"fd://{listening.fileno()}"]
        # Longer than any client keeps an idle connection: hypercorn's end of one can cross a request that it has
        # already performed, which the client then sends again.
        config.keep_alive_timeout = 86_400
        config.keep_alive_max_requests = 1_000_000_000
        config.graceful_timeout = 0.2
        config.shutdown_timeout = 1
        config.errorlog = "-"
        config.loglevel = "WARNING"
        server = asyncio.ensure_future(hypercorn(Door(app.app, ready), config, shutdown_trigger=stop.wait))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not server.done():  # open long polls do not hold the end up
            await asyncio.wait({server}, timeout=2)

    try:
        asyncio.run(run())
    finally:
        containers.end_all()
        lambda_runtime.reset()
        sys.stdout.flush()
        os._exit(0)  # ministack's pollers are threads that never end


if __name__ == "__main__":
    main()
