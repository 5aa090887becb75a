#!/usr/bin/env python3
"""Takes into a committed corpus what a fuzzer needs of what it found: keep.py PROGRAM CORPUS FOUND...

The fuzzer itself says which inputs reach something that the others do not. Of those at most 200 are kept, from
the smallest to the largest, 40 KB together."""

import pathlib
import subprocess
import sys
import tempfile

MOST_FILES = 200
MOST_BYTES = 40 * 1024


def main() -> None:
    program, corpus, *found = map(pathlib.Path, sys.argv[1:])
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = [str(source) for source in [corpus, *found] if source.is_dir()]
        merge = [str(program), "-merge=1", "-rss_limit_mb=2048", "-timeout=120", folder, *sources]
        subprocess.run(merge, check=True, stderr=subprocess.DEVNULL)
        inputs = sorted(pathlib.Path(folder).iterdir(), key=lambda path: (path.stat().st_size, path.name))
        texts, left = {}, MOST_BYTES
        for path in inputs[:: -(-len(inputs) // MOST_FILES)]:
            if path.stat().st_size <= left:
                texts[path.name] = path.read_bytes()
                left -= len(texts[path.name])
    for stale in corpus.iterdir():
        stale.unlink()
    for name, text in texts.items():
        (corpus / name[:16]).write_bytes(text)
    print(f"{corpus}: {len(texts)} of {len(inputs)} inputs")


if __name__ == "__main__":
    main()
