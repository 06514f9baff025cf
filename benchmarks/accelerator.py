"""Measures first on a GPU or TPU what is worth most; run the same command again to resume.

    python benchmarks/accelerator.py --minutes 40 --out out/accelerator
    python benchmarks/accelerator.py --only attention training --out out/accelerator

Rows run in order of worth, each in a process of its own: attention at the shapes of
`configs/wan22_5b.py`, the training step of `configs/wan21_1_3b.py`, the renderer, a fitted scene,
the test suite. A row may take its share of the minutes that are left; what it does not need goes to
the later ones. Weights and clips are random and nothing is downloaded. Compiled programs stay in
OUT/compiled, so a row that is tried again starts sooner.

Each row leaves OUT/NAME/record.json (its numbers, or its problem as text) and log.txt as soon as it
ends; OUT/report.md shows all. The same command keeps what succeeded on this machine and revision
and tries the rest. With --minutes 0 rows run small, which shows on any machine that they work.
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

from full4d_jax.evaluation.table import text_table
from full4d_jax.training.checkpoints.resume import git_revision

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "diffusers")
DEVICES = (
    "import jax; x = jax.devices(); print(len(x), 'x', x[0].platform, x[0].device_kind)"
)
# Of the test suite, by that of jax.
TEST_PLATFORMS = {
    "gpu": "cuda,cpu",
    "tpu": "tpu,cpu",
}


class Row(NamedTuple):
    """One measurement: the words after `python`, in which OUT begins the row's own folder."""

    name: str
    command: str
    small: str  # further words of a dry run
    large: str  # further words of a run whose numbers are worth showing
    share: float  # of the minutes, beside the other rows' shares
    # Patterns of the numbers to show, by their place such as sizes/64x64/ratio.
    shown: str = "*"
    result: str = ""  # JSON file in OUT; empty: the last line that is printed


GRID = "--data.views 2 --data.frames 5 --data.height 32 --data.width 32"
TINY = f"--model.layers 1 --model.width 48 --model.heads 2 --model.ffn 64 {GRID}"
# fmt: off
ROWS = (
    Row("attention", "benchmarks/attention.py",
        "--views 2 --frames 4 --tokens 4 --heads 1 --width 16 --repeats 1",
        "--views 6 --frames 42 --tokens 252 --heads 24 --width 128", 4),
    Row("training", "benchmarks/training.py --config wan21_1_3b --training.batch 1 "
        "--profile OUT/profile",
        f"--steps 1 --turns 1 --model.text_width 8 {TINY}", "--turns 3", 8),
    Row("rasterizer", "benchmarks/rasterizer.py",
        "--scenes 10k --repeats 1", "--scenes hd_100k hd_500k hd_2m", 6),
    Row("fit", "-m full4d_jax run --scene 23 --out OUT --rows",
        "64 --seconds 0.5 --lift.steps 10 --lift.distillation none", "256", 5,
        "seconds* peak_memory_gib", "report.json"),
    Row("tests", "-m pytest -q",
        "tests/full4d_jax/test_flow.py", "tests", 9),
)
# fmt: on


def main() -> None:
    """Run the rows; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=40.0, help="of all rows; 0: small"
    )
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="run these rows"
    )
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
        raise SystemExit(
            f"failed: {', '.join(failed)}; the same command tries them again"
        )


def measure(rows: Sequence[Row], out: Path, seconds: float) -> list[str]:
    """Run rows within so many seconds, or small ones with 0; return the names of those that failed.

    Each may take its share of what is left, by its own share and those of the later rows.
    """
    fewest_seconds = 20.0  # that are worth starting a row for
    most_seconds_small = 1800.0
    head = machine()
    failed = []
    end = time.monotonic() + seconds
    jax_platform = head["devices of jax"].split()[2]
    os.environ["FULL4D_TEST_PLATFORMS"] = TEST_PLATFORMS.get(jax_platform, "cpu")
    for number, row in enumerate(rows):
        share = row.share / sum(later.share for later in rows[number:])
        limit = share * (end - time.monotonic()) if seconds else most_seconds_small
        print(f"{number + 1}/{len(rows)} {row.name}, at most {limit:.0f} s", flush=True)
        words = f"{row.command} {row.large if seconds else row.small}".split()
        record = run(row, words, out / row.name, head, max(limit, fewest_seconds))
        failed += [row.name] if record["problem"] else []
        print(
            f"  {record['problem'] or 'done'} ({record['seconds']:.0f} s)", flush=True
        )
        (out / "report.md").write_text(page(out, head))
    return failed


def machine() -> dict[str, Any]:
    """Return hardware, versions and revision; a process that then ends asks jax for its devices."""
    asked = [sys.executable, "-c", DEVICES]
    devices = subprocess.run(
        asked, capture_output=True, text=True, check=True, timeout=300
    ).stdout
    facts = {"processor": platform.machine(), "devices of jax": devices.strip()}
    facts |= {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            facts[name] = version(name)
    return facts | (git_revision(REPOSITORY) or {})


def run(
    row: Row, words: list[str], folder: Path, head: dict[str, Any], limit: float
) -> dict[str, Any]:
    """Return the row's record, kept from an earlier call or made now, within `limit` seconds."""
    start = time.perf_counter()
    record: dict[str, Any] = {
        "command": " ".join(words),
        "machine": head,
        "problem": "",
    }
    before = read_record(folder)
    if not before.get("problem", "none") and all(
        before[k] == record[k] for k in record
    ):
        return before
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"{folder}{x[3:]}" if x.split("/")[0] == "OUT" else x for x in words]
    with (folder / "log.txt").open("w") as log:
        # A process group of its own lets us stop whatever the row started.
        where = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen([sys.executable, *words], cwd=REPOSITORY, **where)
        try:
            code = process.wait(limit)
            record["problem"] = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            record["problem"] = f"stopped after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    record["result"] = read_result(folder, row.result)
    record["seconds"] = round(time.perf_counter() - start, 1)
    # Under another name first, so that a kill leaves no half of a file.
    part = folder / "record.part"
    part.write_text(json.dumps(record, indent=1))
    part.replace(folder / "record.json")
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """Return what a row kept; empty if there is nothing."""
    path = folder / "record.json"
    return json.loads(path.read_text()) if path.exists() else {}


def read_result(folder: Path, file: str) -> dict[str, Any]:
    """Return the numbers of a file, or of a log's last line; the line itself where it has none."""
    path = folder / (file or "log.txt")
    text = path.read_text().strip() if path.exists() else ""
    last = text if file else text.rpartition("\n")[2]
    try:
        return json.loads(last)
    except ValueError:
        return {"last line": last}


def flatten(value: Any, place: str = "") -> dict[str, Any]:
    """Return all values of nested mappings by their place, such as sizes/64x64/ratio."""
    if not isinstance(value, Mapping):
        return {place: value}
    inner = (flatten(x, f"{place}/{key}".lstrip("/")) for key, x in value.items())
    return {key: x for part in inner for key, x in part.items()}


def page(out: Path, head: dict[str, Any]) -> str:
    """Return the Markdown of those rows that ran on this machine and revision."""
    kept = ((row, read_record(out / row.name)) for row in ROWS)
    records = [(row, record) for row, record in kept if record.get("machine") == head]
    ended = [
        [r.name, f"{x['seconds']:.0f}", x["problem"] or "done"] for r, x in records
    ]
    parts = ["# Report", text_table([["benchmark", "seconds", "ended"], *ended])]
    machine = [[name, str(x)] for name, x in head.items()]
    parts.append(text_table([["machine", ""], *machine]))
    for row, record in records:
        parts += [f"## {row.name}", f"`python {record['command']}`"]
        if record["problem"]:
            tail = (out / row.name / "log.txt").read_text().splitlines()[-15:]
            parts.append("\n".join(["```", record["problem"], *tail, "```"]))
            continue
        numbers = [
            [place, f"{x:.4g}" if isinstance(x, float) else json.dumps(x)]
            for place, x in flatten(record["result"]).items()
            if any(fnmatch(place, pattern) for pattern in row.shown.split())
        ]
        parts += [text_table([["number", ""], *numbers])] if numbers else []
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
