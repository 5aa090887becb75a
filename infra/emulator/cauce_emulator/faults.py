"""Faults on demand, for tests of what happens when AWS misbehaves. `README.md` has the forms."""

import threading
from dataclasses import dataclass, field

from cauce_emulator import journal

EFFECTS = {
    "call": {"throttle", "fail", "lose"},
    "kill": {"kill"},
    "hang": {"hang"},
    "event": {"drop", "duplicate", "delay"},
    "task": {"end", "refuse"},
}


class BadFault(ValueError):
    """A fault that nobody could perform."""


@dataclass
class Fault:
    """One fault, for the next `times` matches after the first `skip` ones."""

    kind: str
    effect: str
    match: dict
    times: int = 1
    skip: int = 0
    detail: dict = field(default_factory=dict)

    def as_json(self) -> dict:
        return {"kind": self.kind, "effect": self.effect, "times": self.times, "skip": self.skip,
                **self.match, **self.detail}


_FIELDS = {
    "call": ({"service", "operation", "resource", "principal"}, {"error", "message", "status"}),
    "kill": ({"function"}, {"before_call", "after_call"}),
    "hang": ({"function"}, {"before_call", "after_call"}),
    "event": ({"source", "detail_type", "status"}, {"seconds"}),
    "task": ({"family"}, {"exit_code", "stop_code", "reason", "run", "container_reason"}),
}

_lock = threading.Lock()
_faults: list[Fault] = []


def add(form: dict) -> Fault:
    """Reads and arms a fault."""
    form = dict(form)
    kind = form.pop("kind", None)
    if kind not in _FIELDS:
        raise BadFault(f"kind is one of {', '.join(sorted(_FIELDS))}, not {kind!r}")
    effect = form.pop("effect", {"kill": "kill", "hang": "hang", "task": "end"}.get(kind))
    if effect not in EFFECTS[kind]:
        raise BadFault(f"effect of {kind} is one of {', '.join(sorted(EFFECTS[kind]))}, not {effect!r}")
    times, skip = form.pop("times", 1), form.pop("skip", 0)
    matching, details = _FIELDS[kind]
    unknown = set(form) - matching - details
    if unknown:
        raise BadFault(f"{kind} has no {', '.join(sorted(unknown))}")
    fault = Fault(kind, effect, {k: v for k, v in form.items() if k in matching}, int(times), int(skip),
                  {k: v for k, v in form.items() if k in details})
    with _lock:
        _faults.append(fault)
    return fault


def armed() -> list[dict]:
    """What is still to come."""
    with _lock:
        return [fault.as_json() for fault in _faults]


def clear() -> None:
    """Disarms all."""
    with _lock:
        _faults.clear()


def take(kind: str, **facts) -> Fault | None:
    """The first armed fault that matches, used up by one. `resource` matches as a part, the others whole."""
    with _lock:
        for fault in _faults:
            if fault.kind != kind or not all(_matches(name, wanted, facts.get(name))
                                             for name, wanted in fault.match.items()):
                continue
            if fault.kind in ("kill", "hang") and not _due(fault, facts):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                _faults.remove(fault)
            journal.FAULTS.add(kind=kind, effect=fault.effect, **{k: v for k, v in facts.items() if v is not None})
            return fault
    return None


def _due(fault: Fault, facts: dict) -> bool:
    return fault.detail.get(f"{facts['moment']}_call") == facts["number"]


def _matches(name: str, wanted, found) -> bool:
    if found is None:
        return False
    return wanted in found if name == "resource" else wanted == found
