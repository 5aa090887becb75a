#!/usr/bin/env python3
"""Packages the Lambda functions: one zip each, holding the program as `bootstrap`.

    package.py --bin-dir target/release --out target/functions [--strip] begin-task finish-task ...

The same programs give the same bytes (fixed dates and order), so that Terraform sees a change only
where there is one. A program that needs a newer C library than `provided.al2023` has is refused
here, not at its first invocation.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import zipfile

# Amazon Linux 2023 has glibc 2.34.
# https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html
GLIBC_MAX = (2, 34)

# Lambda takes at most 50 MB zipped by direct upload.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ZIP_BYTES_MAX = 50 * 1024 * 1024

# The earliest date that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def glibc_needed(program: pathlib.Path) -> tuple[int, int]:
    """The newest symbol version of the C library that a program cannot start without."""
    listed = subprocess.run(
        ["objdump", "-T", str(program)], capture_output=True, text=True, check=True
    ).stdout
    # A weak symbol (flag w) that is missing stops nothing.
    needed = [
        (int(major), int(minor))
        for line in listed.splitlines()
        if not re.match(r"^\S+\s+w\s", line)
        for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", line)
    ]
    return max(needed, default=(0, 0))


def package(program: pathlib.Path, out: pathlib.Path, strip: bool) -> int:
    """Writes the zip and returns its size in bytes."""
    needed = glibc_needed(program)
    if needed > GLIBC_MAX:
        sys.exit(
            f"{program}: needs glibc {needed[0]}.{needed[1]}, and provided.al2023 has "
            f"{GLIBC_MAX[0]}.{GLIBC_MAX[1]}: build it on an older system or with cargo lambda"
        )
    content = program.read_bytes()
    if strip:
        stripped = out.with_suffix(".bootstrap")
        subprocess.run(["strip", "-o", str(stripped), str(program)], check=True)
        content = stripped.read_bytes()
        stripped.unlink()
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    part = out.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr(entry, content, compresslevel=6)
    # Whole or not at all: a deployment may be reading it.
    part.replace(out)
    return out.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", type=pathlib.Path, required=True, help="where the programs are")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the zips go")
    parser.add_argument("--strip", action="store_true", help="leave symbols out (a dev build)")
    parser.add_argument("functions", nargs="+", help="names of functions")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for function in given.functions:
        program = given.bin_dir / function
        if not program.is_file():
            sys.exit(f"there is no {program}: build it first")
        size = package(program, given.out / f"{function}.zip", given.strip)
        print(f"{function:12} {size / 1024 / 1024:6.2f} MB")
        if size > ZIP_BYTES_MAX:
            sys.exit(f"{function}: {size} bytes, and Lambda takes {ZIP_BYTES_MAX} by direct upload")


if __name__ == "__main__":
    main()
