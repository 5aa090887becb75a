"""How a function of ministack is replaced, so that an upgrade of ministack cannot pass unnoticed.

Every replacement names the fingerprint of the source it was written against. A function that changed, or that is gone,
stops the emulator at its start (and fails `tests/test_guards.py`): then somebody looks whether the replacement is still
needed and still fits.
"""

import hashlib
import importlib
import inspect
import sys
import textwrap
from dataclasses import dataclass
from typing import Any, Callable


class Mismatch(Exception):
    """A function of ministack is not the one that a replacement was written for."""


@dataclass(frozen=True)
class Patch:
    """One replaced function."""

    module: str
    """Module below `ministack`, such as `services.ecs`."""
    name: str
    """The function, or `Class.method`."""
    fingerprint: str
    """First 16 hexadecimal digits of the sha256 of the source that is replaced."""
    wrong: str
    """What ministack does, and what AWS does."""
    docs: str
    """AWS's documentation of the behaviour."""
    replacement: Callable

    @property
    def key(self) -> str:
        return f"{self.module}.{self.name}"


PATCHES: list[Patch] = []
_originals: dict[str, Any] = {}


def replaces(module: str, name: str, fingerprint: str, wrong: str, docs: str):
    """Registers the decorated function as the replacement of `ministack.<module>.<name>`."""

    def register(function):
        PATCHES.append(Patch(module, name, fingerprint, " ".join(wrong.split()), docs, function))
        return function

    return register


def original(key: str) -> Callable:
    """The replaced function, for replacements that only add to it."""
    return _originals[key]


def locate(patch: Patch) -> tuple[Any, str, Callable]:
    """Where the function of a patch lives: holder, attribute, the function itself."""
    holder = importlib.import_module(f"ministack.{patch.module}")
    *path, attribute = patch.name.split(".")
    for part in path:
        holder = getattr(holder, part)
    try:
        return holder, attribute, getattr(holder, attribute)
    except AttributeError as error:
        raise Mismatch(f"ministack has no {patch.key} any more; see {patch.docs}") from error


def fingerprint(function: Callable) -> str:
    """The fingerprint of a function's source: its text without the indentation."""
    source = textwrap.dedent(inspect.getsource(function))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def check(patch: Patch) -> None:
    """Raises `Mismatch` when the function is not the one that the patch was written for."""
    function = _originals.get(patch.key) or locate(patch)[2]
    found = fingerprint(function)
    if found != patch.fingerprint:
        raise Mismatch(
            f"ministack's {patch.key} changed (fingerprint {found}, written for {patch.fingerprint}): "
            f"look whether the replacement still fits, then write the new fingerprint down. It is about: {patch.wrong}"
        )


def apply() -> None:
    """Checks all patches, then installs them, also where other modules or tables hold the function by value."""
    for patch in PATCHES:
        check(patch)
    swapped = {}
    for patch in PATCHES:
        holder, attribute, function = locate(patch)
        _originals[patch.key] = function
        setattr(holder, attribute, patch.replacement)
        swapped[id(function)] = (function, patch.replacement)
    for name, module in list(sys.modules.items()):
        if not name.startswith("ministack"):
            continue
        for attribute, value in list(vars(module).items()):
            if id(value) in swapped and swapped[id(value)][0] is value:
                setattr(module, attribute, swapped[id(value)][1])
            elif isinstance(value, dict) and attribute.isupper():
                for key, entry in value.items():
                    if id(entry) in swapped and swapped[id(entry)][0] is entry:
                        value[key] = swapped[id(entry)][1]
