"""Who works for whom: stopping an execution stops all that is under way for it.

ministack runs each execution in a thread that nobody can interrupt. Here everything that waits does so through a
`Life`, whose end wakes it; what an ended life had started elsewhere (nested executions, ECS tasks) is stopped.
"""

import threading
from contextvars import ContextVar
from typing import Callable


class Halted(Exception):
    """What this thread works for has ended."""


class Life:
    """Something that is under way, and what was started for it."""

    def __init__(self, parent: "Life | None" = None) -> None:
        self._lock = threading.Lock()
        self._halted = False
        self._waiting: set[threading.Event] = set()
        self._children: set[Life] = set()
        self._stops: dict[object, Callable[[], None]] = {}
        self.ended = threading.Event()
        """Set when the execution has its final status."""
        if parent is not None:
            parent._adopt(self)

    def _adopt(self, child: "Life") -> None:
        with self._lock:
            if not self._halted:
                self._children.add(child)
                return
        child.halt()

    @property
    def halted(self) -> bool:
        return self._halted

    def check(self) -> None:
        """Raises `Halted` after the end."""
        if self._halted:
            raise Halted

    def wait(self, event: threading.Event | None = None, seconds: float | None = None) -> bool:
        """Waits for an event, or for some time; raises `Halted` at the end of this life."""
        event = event or threading.Event()
        with self._lock:
            if self._halted:
                raise Halted
            self._waiting.add(event)
        happened = event.wait(seconds)
        with self._lock:
            self._waiting.discard(event)
            if self._halted:
                raise Halted
        return happened

    def on_halt(self, key: object, stop: Callable[[], None]) -> None:
        """What to stop when this life is halted."""
        with self._lock:
            if not self._halted:
                self._stops[key] = stop
                return
        stop()

    def done_with(self, key: object) -> None:
        """It ended by itself."""
        with self._lock:
            self._stops.pop(key, None)

    def halt(self, stopping: bool = True) -> None:
        """Ends this life and those below it. Without `stopping`, what was started elsewhere goes on."""
        with self._lock:
            if self._halted:
                return
            self._halted = True
            waiting, children, stops = list(self._waiting), list(self._children), list(self._stops.values())
        for event in waiting:
            event.set()
        for child in children:
            child.halt(stopping)
        if stopping:
            for stop in stops:
                stop()


CURRENT: ContextVar[Life | None] = ContextVar("cauce_life", default=None)
"""The life that this thread works for; threads made with `copy_context` inherit it."""


def current() -> Life:
    """The life that this thread works for, or one that nobody halts."""
    return CURRENT.get() or Life()
