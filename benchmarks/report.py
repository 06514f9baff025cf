"""Run the benchmarks and lay their JSON side by side.

    python benchmarks/report.py --minutes 215 --out out/report
    python benchmarks/report.py --only rasterizer attention --out out/report

Each row of ROWS runs in a process of its own, one after the other, from the repository's root. Rows
run small, which shows only that they work; --minutes lets rows run large, from the first row on, as
long as the minutes planned for all rows (on two idle cores) stay within it. Rows that measure CPU
time get one core where jax runs on the CPU: on more it counts threads that only wait.

OUT/report.md shows the machine, how each row ended, and its numbers. OUT/NAME holds the row's log,
its own files and record.json. The same command on the same machine and revision goes on where it
stopped and tries again what failed. A row that lacks data (FULL4D_DATA) or packages, or takes five
times as long as planned, fails, and the others go on. The exit code is 1 if a row failed.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from common import keep_results, read_results

from full4d_jax.evaluation.table import text_table
from full4d_jax.training.checkpoints.provenance import git_revision

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 5.0  # a row may take so many times its minutes,
GRACE = 300.0  # and so many seconds more
TAIL = 15  # lines shown of a failed row's log
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "opencv-python-headless", "torch", "diffusers")
DEVICES = "import jax; x = jax.devices(); print(len(x), 'x', x[0].platform, x[0].device_kind)"


class Row(NamedTuple):
    """One benchmark: the words after `python`, in which OUT begins the row's own folder."""

    name: str
    command: str
    small: str  # further words of a quick run
    large: str  # further words of a run whose numbers are worth showing
    minutes: tuple[float, float]  # planned for small and large
    shown: str = "*"  # patterns of the numbers to show, by their place such as sizes/64x64/ratio
    result: str = ""  # JSON file in OUT; empty: the last line that is printed
    one_core: bool = False  # measures CPU time


EVALUATE = "-m full4d_jax.cli evaluate"
RESULT = "evaluation.json"
FIT = "benchmarks/fitting.py"
TINY_FIT = "--steps 60 --height 44 --gaussians 1500 --instants 6 --out OUT --ways"
STATIC_FIT = "--height 128 --out OUT --ways plain relocation"
MOVING_FIT = "--out OUT --ways freetime deformation static"
QUICK = "--sizes 64x64 --seconds 0.5 --turns 1"
# fmt: off
ROWS = (
    Row("demo", "-m full4d_jax.cli run --out OUT",
        "--lift.steps 100", "", (1, 2), "seconds* peak_memory_gib", "report.json"),
    Row("quality", f"{EVALUATE} --config demo --first 64 --out OUT",
        "--scenes 4", "--scenes 64", (1, 30), "", RESULT),
    Row("grids", f"{EVALUATE} --config four_real --first 64 --out OUT",
        "--scenes 4", "--scenes 64", (1, 2.5), "", RESULT),
    Row("from_noise", "benchmarks/from_noise.py --out OUT",
        "--scenes 2 --steps 1 4 --no-fvd", "", (1, 15)),
    Row("cascade", "benchmarks/cascade.py --out OUT",
        "--scenes 1 --rows 64 --lifted 0", "--scenes 64", (1, 23)),
    Row("cascade_near", "benchmarks/cascade.py --angle 20 --out OUT",
        "--scenes 1 --rows 64 --lifted 0", "--scenes 64 --lifted 0", (1, 15)),
    Row("real_videos", "benchmarks/real_videos.py --out OUT",
        "--clips sleap_small_robot --options --rows 96 --seconds 1 --quality draft", "", (2, 30)),
    # Needs the row above.
    Row("aside", "benchmarks/aside.py OUT/../real_videos --out OUT",
        "", "", (1.5, 2)),
    Row("generated_grids", "benchmarks/generated_grids.py --out OUT",
        "--rows 32 --steps 20", "", (1, 25)),
    Row("films_without_cameras", "benchmarks/films_without_cameras.py --out OUT",
        "--steps 20", "", (2, 8)),
    Row("depth", "benchmarks/depth.py", "--scenes 2", "", (1.5, 3)),
    Row("lens", "benchmarks/lens.py", "--scenes 2", "", (2, 6)),
    Row("tilt", "benchmarks/tilt.py", "--scenes 2", "--scenes 24", (2, 15)),
    Row("reprojection", "benchmarks/reprojection.py --out OUT",
        "--moments 1 --rows 64", "", (1.5, 4)),
    Row("parts", "benchmarks/parts.py --out OUT",
        "--rows 64 --no-distilled", "", (2, 12)),
    Row("unseen", "benchmarks/unseen.py --out OUT",
        "--clips 1", "", (1.5, 5)),
    Row("distillation", "benchmarks/distillation.py --out OUT",
        "--scenes 1", "--scenes 16", (2, 30)),
    Row("few_steps", "benchmarks/few_steps.py --out OUT",
        "--steps 2 --scenes 1", "", (1, 6)),
    Row("exact_flow", "benchmarks/exact_flow.py", "", "", (0.3, 0.3)),
    Row("viewer", "benchmarks/viewer.py", "--count 2000 --seconds 2", "--count 60000", (1, 2)),
    Row("sampling", "benchmarks/sampling.py", "--repeats 1", "", (0.5, 0.5), one_core=True),
    Row("training", "benchmarks/training.py --config demo",
        "--steps 1 --turns 1", "", (1, 2), one_core=True),
    Row("training_against_torch", "benchmarks/training.py",
        "--width 64 --layers 1 --heads 2 --ffn 128 --tokens 16 --repeats 1", "", (0.5, 1.5),
        one_core=True),
    Row("attention", "benchmarks/attention.py",
        "--views 3 --frames 8 --tokens 4 --repeats 2", "", (0.5, 1), one_core=True),
    Row("rasterizer", "benchmarks/rasterizer.py",
        "--scenes 10k --repeats 1", "--scenes 10k 100k garden", (1, 4), one_core=True),
    Row("rasterizer_gpu", "benchmarks/rasterizer_gpu.py",
        "--gaussians 2000 --height 96 --width 128 --repeats 1", "", (0.5, 2)),
    Row("compiled", "benchmarks/compiled.py", "--only attention", "--gpus h100 a100", (0.5, 1)),
    Row("compiled_tpu", "benchmarks/compiled_tpu.py", "", "", (5, 5)),
    Row("input", "benchmarks/input.py", QUICK, "", (0.5, 3)),
    Row("input_films", "benchmarks/input.py --film", QUICK, "", (0.5, 3.5)),
    Row("leak", "benchmarks/input.py", "--leak 200", "--leak 20000", (0.5, 1)),
    Row("photos", f"{FIT} photos", f"{TINY_FIT} plain",
        f"--gaussians 20000 --steps 2000 {STATIC_FIT}", (1, 5)),
    Row("splat", f"{FIT} splat", f"{TINY_FIT} plain",
        f"--gaussians 12000 --steps 1500 {STATIC_FIT}", (1, 4)),
    Row("fox", f"{FIT} fox", f"{TINY_FIT} freetime",
        f"--gaussians 6000 --height 64 --steps 1500 {MOVING_FIT}", (0.5, 4)),
    Row("walker", f"{FIT} pose2sim", f"{TINY_FIT} freetime",
        f"--gaussians 8000 --height 72 --steps 1000 {MOVING_FIT}", (0.5, 1.5)),
    Row("ablations", "benchmarks/ablations.py --out OUT", "--groups checkpoint --scenes 2",
        "--scenes 64", (1, 60), "", "ablations.json"),
)
# fmt: on


def plan(rows: Sequence[Row], minutes: float) -> dict[str, bool]:
    """Say whether each row runs large: from the first on, as long as the minutes last."""
    total = sum(row.minutes[0] for row in rows)
    large = {}
    for row in rows:
        more = row.minutes[1] - row.minutes[0]
        large[row.name] = total + more <= minutes
        total += more if large[row.name] else 0
    return large


def machine() -> dict[str, Any]:
    """Return hardware, versions and revision; a process that then ends asks jax for its devices."""
    asked = [sys.executable, "-c", DEVICES]
    devices = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=300).stdout
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    facts = {"processor": (names or [platform.machine()])[0], "devices of jax": devices.strip()}
    facts |= {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            facts[name] = version(name)
    return facts | (git_revision(REPOSITORY) or {})


def run(
    row: Row, *, is_large: bool, folder: Path, head: dict[str, Any], limit: float | None = None
) -> dict[str, Any]:
    """Return the row's record, kept from an earlier call or made now.

    Args:
      row: what runs.
      is_large: whether it runs large.
      folder: of the row.
      head: the machine; a record of another is not kept.
      limit: seconds; None is by the minutes planned.
    """
    limit = limit or 60 * PATIENCE * row.minutes[is_large] + GRACE
    words = f"{row.command} {row.large if is_large else row.small}".split()
    start = time.perf_counter()
    size = "large" if is_large else "small"
    record = {"command": " ".join(words), "size": size, "machine": head, "problem": ""}
    before = read_results(folder / "record.json")
    if not before.get("problem", "none") and all(before[k] == record[k] for k in record):
        return before
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{folder}{x[3:]}" if x.split("/")[0] == "OUT" else x for x in words]
    cores = os.sched_getaffinity(0)
    with (folder / "log.txt").open("w") as log:
        # A process group of its own lets us stop whatever the benchmark started.
        where = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen([sys.executable, *words], cwd=REPOSITORY, **where)
        try:
            if row.one_core and " cpu " in head["devices of jax"]:
                os.sched_setaffinity(process.pid, {max(cores)})  # before jax starts its threads
            code = process.wait(limit)
            record["problem"] = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            record["problem"] = f"stopped after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        text = (folder / (row.result or "log.txt")).read_text().strip()
        record["result"] = json.loads(text if row.result else text.rpartition("\n")[2])
    except (OSError, ValueError) as error:
        record["problem"] = record["problem"] or f"no result: {error}"
    record["seconds"] = round(time.perf_counter() - start, 1)
    keep_results(folder / "record.json", record)
    return record


def flatten(value: Any, place: str = "") -> dict[str, Any]:
    """Return all values of nested mappings by their place, such as sizes/64x64/ratio."""
    if not isinstance(value, Mapping):
        return {place: value}
    inner = (flatten(x, f"{place}/{key}".lstrip("/")) for key, x in value.items())
    return {key: x for part in inner for key, x in part.items()}


def page(out: Path, head: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the Markdown of those rows that ran on this machine and revision."""
    kept_rows = ((row, read_results(out / row.name / "record.json")) for row in rows)
    records = [(row, record) for row, record in kept_rows if record.get("machine") == head]
    ended = [[r.name, x["size"], f"{x['seconds']:.0f}", x["problem"] or "done"] for r, x in records]
    parts = ["# Report", text_table(["benchmark", "size", "seconds", "ended"], ended)]
    parts.append(text_table(["machine", ""], [[name, str(x)] for name, x in head.items()]))
    for row, record in records:
        folder = out / row.name
        parts += [f"## {row.name}", f"`python {record['command']}`"]
        if record["problem"]:
            tail = (folder / "log.txt").read_text().splitlines()[-TAIL:]
            parts.append("\n".join(["```", record["problem"], *tail, "```"]))
            continue
        numbers = [
            [place, f"{x:.4g}" if isinstance(x, float) else json.dumps(x)]
            for place, x in flatten(record["result"]).items()
            if any(fnmatch(place, pattern) for pattern in row.shown.split())
        ]
        parts += [text_table(["number", ""], numbers)] if numbers else []
        files = sorted(x for x in folder.iterdir() if x.suffix in (".md", ".png"))
        parts += [f"[{x.name}]({row.name}/{x.name})" for x in files]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run the rows; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="0: all rows run small")
    names = [row.name for row in ROWS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="run these rows")
    parser.add_argument("--out", type=Path, default=Path("out/report"))
    options = parser.parse_args()
    # Without this what runs would go on when we are stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows = [row for row in ROWS if row.name in options.only]
    out = options.out.resolve()
    head = machine()
    large = plan(rows, options.minutes)
    failed = []
    for number, row in enumerate(rows, 1):
        print(f"{number}/{len(rows)} {row.name}: {row.command}", flush=True)
        record = run(row, is_large=large[row.name], folder=out / row.name, head=head)
        failed += [row.name] if record["problem"] else []
        print(f"  {record['problem'] or 'done'} ({record['seconds']:.0f} s)", flush=True)
        (out / "report.md").write_text(page(out, head, ROWS))
    print(out / "report.md")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the same command tries them again")


if __name__ == "__main__":
    main()
