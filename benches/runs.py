"""Times whole cold processes of `cauce` on graphs of /bin/true tasks; prints, asserts nothing.

    python3 benches/runs.py --cauce PATH [--rounds N] [--only NAME]

Each figure is seconds from start to exit, durable, on a state folder that exists: minimum, median and
maximum of the rounds. `spawn floor` is the same number of /bin/true processes started one after the
other by this script, for scale.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

TASK = "container: {image: x, command: [/bin/true]}"


def chain(n):
    lines = [f"  t0: {{{TASK}}}"]
    lines += [f"  t{i}: {{needs: [t{i - 1}], {TASK}}}" for i in range(1, n)]
    return lines


def fan(n):
    lines = [f"  t{i}: {{{TASK}}}" for i in range(n)]
    needs = ", ".join(f"t{i}" for i in range(n))
    return lines + [f"  join: {{needs: [{needs}], {TASK}}}"]


def lattice(rows, columns):
    lines = []
    for r in range(rows):
        for c in range(columns):
            needs = [f"t{r - 1}_{c}"] * (r > 0) + [f"t{r}_{c - 1}"] * (c > 0)
            lines.append(f"  t{r}_{c}: {{needs: [{', '.join(needs)}], {TASK}}}")
    return lines


def layered(n, width=100):
    """Layers of `width` tasks, each task below two of the layer before."""
    lines = []
    for i in range(n):
        layer, place = divmod(i, width)
        needs = sorted({(layer - 1) * width + place, (layer - 1) * width + (place + 1) % width}) if layer else []
        lines.append(f"  t{i}: {{needs: [{', '.join(f't{u}' for u in needs)}], {TASK}}}")
    return lines


GRAPHS = {
    "chain of 40": lambda: chain(40),
    "fan of 100 and a join": lambda: fan(100),
    "10x10 lattice": lambda: lattice(10, 10),
    "1,000-task lattice": lambda: lattice(25, 40),
}


def timed(argv, cwd):
    before = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    took = time.perf_counter() - before
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} failed with {done.returncode}: {done.stderr.decode()[-500:]}")
    return took


def figures(name, times, note=""):
    low, middle, high = min(times), statistics.median(times), max(times)
    print(f"{name:36} {low:8.3f} {middle:8.3f} {high:8.3f}  {note}")


def write(folder, name, lines):
    path = os.path.join(folder, f"{name}.yaml")
    with open(path, "w", encoding="ascii") as out:
        out.write(f"pipeline: {name}\ntasks:\n" + "\n".join(lines) + "\n")
    return path


def peak_kib(argv, cwd):
    """Peak resident memory of one run, children's own memory apart."""
    script = "import resource,subprocess,sys;subprocess.run(sys.argv[1:],stdout=-3,stderr=-3);"
    script += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", script, *argv], cwd=cwd, capture_output=True, check=True)
    return int(out.stdout)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cauce", required=True)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--only")
    options = arguments.parse_args()
    cauce = os.path.abspath(options.cauce)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    print(f"{'':36} {'min':>8} {'median':>8} {'max':>8}")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "cauce.yaml"), "w", encoding="ascii") as out:
            out.write("images: {x: {local: []}}\n")
        figures("cauce --help", [timed([cauce, "--help"], folder) for _ in range(options.rounds)])
        floor = []
        for _ in range(options.rounds):
            before = time.perf_counter()
            for _ in range(40):
                subprocess.run(["/bin/true"], check=True)
            floor.append(time.perf_counter() - before)
        figures("spawn floor (40 processes)", floor)
        for number, (name, graph) in enumerate(GRAPHS.items()):
            if options.only and options.only not in name:
                continue
            path = write(folder, f"g{number}", graph())
            timed([cauce, "run", path], folder)
            times = [timed([cauce, "run", path], folder) for _ in range(options.rounds)]
            figures(f"run: {name}", times, f"peak {peak_kib([cauce, 'run', path], folder) / 1024:.0f} MiB")
            figures(f"check: {name}", [timed([cauce, "check", path], folder) for _ in range(options.rounds)])
            out = os.path.join(folder, "out")
            figures(f"build: {name}", [timed([cauce, "build", path, "--out", out], folder) for _ in range(options.rounds)])
        for n in (10, 100, 1000, 10000):
            if options.only and options.only != "growth":
                continue
            path = write(folder, f"growth{n}", layered(n))
            rounds = 1 if n == 10000 else 3
            figures(f"run: {n} tasks in layers", [timed([cauce, "run", path], folder) for _ in range(rounds)])


if __name__ == "__main__":
    main()
