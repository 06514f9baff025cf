"""Times `full4d run` as people start it, and each of its stages.

    python benchmarks/stages.py [VIDEO ...] --out OUT [--times N] [--code DIR] [--options WORD ...]

Without a video it is the demo. A run is a process of its own that finds no compiled programs, and a
second one after it, into another folder, finds those of the first. Printed are seconds of the
processor and of the clock, the clock at the first look, the largest memory, and the clock of each
stage, all medians over N runs; then the same as one line of JSON. `--code` runs another checkout of
this repository, so that two revisions can be compared on one machine, where nothing else runs.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FIRST_LOOK = re.compile(r"first look after (\d+) s")


def main() -> None:
    """Run each video, and print its times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--times", type=int, default=3, help="runs of each video")
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--code", type=Path, default=here, help="whose `full4d` runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[])
    options = parser.parse_args()
    tables = {}
    for video in options.videos or [None]:
        name = video.stem if video else "demo"
        words = [str(video.resolve())] if video else []
        reports = []
        for number in range(options.times):
            folder = options.out.resolve() / f"{name}_{number}"
            shutil.rmtree(folder, ignore_errors=True)
            first = timed_run([*words, *options.options], folder, "first", options.code)
            again = timed_run([*words, *options.options], folder, "again", options.code)
            reports.append(first | {"processor_again": again["processor"]})
        tables[name] = {
            key: round(statistics.median(x[key] for x in reports), 2)
            for key in reports[0]
        }
        print(f"{name}: {tables[name]}", flush=True)
    print(json.dumps(tables))


def timed_run(
    words: Sequence[str], folder: Path, name: str, code: Path
) -> dict[str, float]:
    """Return the seconds and GiB of one run, which leaves its files in `folder` / `name`.

    Raises:
      SystemExit: It failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / name
    log = folder / f"{name}.log"
    # Revisions before the one with `__main__` start it themselves.
    module = "full4d_jax"
    if not (code / module / "__main__.py").exists():
        module = "full4d_jax.cli"
    command = [sys.executable, "-m", module, "run", *words, "--out", str(out)]
    # What XLA and Numba keep between runs.
    caches = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
        "NUMBA_CACHE_DIR": str(folder / "programs"),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with log.open("w") as output:
        run = subprocess.run(
            command,
            stdout=output,
            stderr=output,
            check=False,
            # Where Python looks first.
            cwd=code,
            env=os.environ | caches,
        )
    elapsed = time.perf_counter() - start
    if run.returncode != 0:
        raise SystemExit(f"{log}: full4d run left with {run.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads((out / "report.json").read_text())
    look = FIRST_LOOK.search(log.read_text())
    bytes_per_kib = 1024
    return {
        "processor": after.ru_utime
        + after.ru_stime
        - before.ru_utime
        - before.ru_stime,
        "clock": elapsed,
        "first_look": float(look.group(1)) if look else float("nan"),
        "memory_gib": after.ru_maxrss * bytes_per_kib / 2**30,
        **report["seconds"],
    }


if __name__ == "__main__":
    main()
