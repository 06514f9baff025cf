"""What is worth measuring first on a GPU or TPU, in one command that goes on where it stopped.

    python benchmarks/accelerator.py --minutes 40 --out out/accelerator
    python benchmarks/accelerator.py --only attention training --out out/accelerator

Rows run in order of worth, each in a process of its own: attention at the shapes of
`configs/wan22_5b.py`, the training step of `configs/wan21_1_3b.py`, sampling with the 5 B model,
the renderer, a fitted scene, the test suite. A row may take its share of the minutes that are left;
what it does not need goes to the later ones. Weights and clips are random and nothing is
downloaded. Compiled programs stay in OUT/compiled, so a row that is tried again starts sooner.

Each row leaves OUT/NAME/record.json (its numbers, or its problem as text) and log.txt as soon as it
ends; OUT/report.md shows all. The same command keeps what succeeded on this machine and revision
and tries the rest. With --minutes 0 rows run small, which shows on any machine that they work.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import report
from report import Row

GRID = "--data.views 2 --data.frames 5 --data.height 32 --data.width 32"
TINY = f"--model.layers 1 --model.width 48 --model.heads 2 --model.ffn 64 {GRID}"
PLATFORMS = {"gpu": "cuda,cpu", "tpu": "tpu,cpu"}  # of the test suite, by that of jax
FEWEST = 20.0  # seconds that are worth starting a row for
SMALL = 1800.0  # seconds of a row that runs small
# fmt: off
ROWS = (
    Row("attention", "benchmarks/attention.py",
        "--views 2 --frames 4 --tokens 4 --heads 1 --width 16 --repeats 1",
        "--views 6 --frames 42 --tokens 252 --heads 24 --width 128", (1, 4)),
    Row("training", "benchmarks/training.py --config wan21_1_3b --training.batch 1 "
        "--profile OUT/profile",
        f"--steps 1 --turns 1 --model.text_width 8 {TINY}", "--turns 3", (1, 8)),
    Row("sampling", "benchmarks/sampling.py --config wan22_5b --sampler.steps 4 --repeats 1",
        f"--codec_divide 16 --model.text_width 8 {TINY}", "", (1, 8)),
    Row("rasterizer", "benchmarks/rasterizer_gpu.py",
        "--gaussians 2000 --height 96 --width 128 --repeats 1", "", (1, 6)),
    Row("fit", "-m full4d_jax.cli run --scene 23 --out OUT --rows",
        "64 --seconds 0.5 --lift.steps 10 --lift.distillation none", "256", (1, 5),
        "seconds* peak_memory_gib", "report.json"),
    Row("tests", "-m pytest -q -p benchmarks.common --outcomes OUT/tests.json",
        "tests/full4d_jax/test_flow.py", "tests", (1, 9), result="tests.json"),
)
# fmt: on


def main() -> None:
    """Run the rows; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=40.0, help="of all rows; 0: small")
    names = [row.name for row in ROWS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="run these rows")
    parser.add_argument("--out", type=Path, default=Path("out/accelerator"))
    options = parser.parse_args()
    # Without this what runs would go on when we are stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    out = options.out.resolve()
    rows = [row for row in ROWS if row.name in options.only]
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out / "compiled"))
    failed = measure(rows, out, 60 * options.minutes)
    print(out / "report.md")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the same command tries them again")


def measure(rows: Sequence[Row], out: Path, seconds: float) -> list[str]:
    """Run rows within so many seconds, or small ones with 0; return the names of those that failed.

    Each may take its share of what is left, by the minutes planned for it and the later ones.
    """
    head = report.machine()
    failed = []
    end = time.monotonic() + seconds
    platform = head["devices of jax"].split()[2]
    os.environ["FULL4D_TEST_PLATFORMS"] = PLATFORMS.get(platform, "cpu")
    for number, row in enumerate(rows):
        share = row.minutes[1] / sum(later.minutes[1] for later in rows[number:])
        limit = share * (end - time.monotonic()) if seconds else SMALL
        print(f"{number + 1}/{len(rows)} {row.name}, at most {limit:.0f} s", flush=True)
        size = {"is_large": bool(seconds), "limit": max(limit, FEWEST)}
        record = report.run(row, **size, folder=out / row.name, head=head)
        failed += [row.name] if record["problem"] else []
        print(f"  {record['problem'] or 'done'} ({record['seconds']:.0f} s)", flush=True)
        (out / "report.md").write_text(report.page(out, head, ROWS))
    return failed


if __name__ == "__main__":
    main()
