"""What happened, as JSON lines in files and in memory: API calls with their principals, Lambda environments."""

import json
import threading
from datetime import datetime, timezone
from pathlib import Path

from cauce_emulator import identities


def now() -> str:
    """The present instant, RFC 3339 with microseconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Journal:
    """An append-only list that is a file too."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._lines: list[dict] = []
        self._count = 0
        self._file = None

    def open(self, path: Path) -> None:
        """Starts the file."""
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, **fields) -> None:
        """Appends one line, with the present instant as `at`."""
        line = {"at": now(), **fields}
        with self._lock:
            self._lines.append(line)
            # What is asked from outside is no sign of work.
            self._count += fields.get("principal") != identities.CALLER
            if self._file is not None:
                self._file.write(json.dumps(line) + "\n")
            self._lock.notify_all()

    def lines(self, **wanted) -> list[dict]:
        """All lines whose fields are as wanted."""
        with self._lock:
            return self._chosen(wanted)

    def wait(self, at_least: int, seconds: float, **wanted) -> list[dict]:
        """The lines that are as wanted, as soon as there are so many of them; fewer when the time is up."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._chosen(wanted)) >= at_least, seconds)
            return self._chosen(wanted)

    def grown(self, after: int, seconds: float) -> int:
        """How many lines there have been, as soon as that is more than `after`; the same when the time is up."""
        with self._lock:
            self._lock.wait_for(lambda: self._count > after, seconds)
            return self._count

    def _chosen(self, wanted: dict) -> list[dict]:
        return [line for line in self._lines if all(line.get(k) == v for k, v in wanted.items())]

    def clear(self) -> None:
        """Forgets the lines in memory; the file keeps them."""
        with self._lock:
            self._lines.clear()


CALLS = Journal()
"""`calls.jsonl`: at, principal, service, action (the name of IAM), resource, status."""

LAMBDAS = Journal()
"""`lambdas.jsonl`: `event: start` with function, pid, init_ms; `event: invocation` with duration_ms and outcome."""

FAULTS = Journal()
"""`faults.jsonl`: each fault that was performed."""


def call(principal: str | None, action: str, resource: str, status: int = 200) -> None:
    """Writes an API call down. Without a principal it is the caller's outside."""
    CALLS.add(
        principal=principal or identities.CALLER,
        service=action.split(":", 1)[0],
        action=action,
        resource=resource,
        status=status,
    )
