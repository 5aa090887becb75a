#!/usr/bin/env python3
"""Prints PATCHES.md: `python list_patches.py > PATCHES.md`."""

import inspect
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    from cauce_emulator import patches, patching  # noqa: F401

    print("# What is replaced in ministack\n")
    print("Written by `list_patches.py`; a test holds it. Lines: of ministack's function, and of ours.\n")
    print("| function | lines | what differs |\n|---|---|---|")
    for patch in sorted(patching.PATCHES, key=lambda patch: patch.key):
        theirs = len(inspect.getsource(patching._originals.get(patch.key) or patching.locate(patch)[2]).splitlines())
        ours = len(inspect.getsource(patch.replacement).splitlines())
        print(f"| `{patch.key}` | {theirs} / {ours} | {patch.wrong} [AWS]({patch.docs}) |")


if __name__ == "__main__":
    main()
