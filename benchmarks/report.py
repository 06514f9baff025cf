"""All benchmarks with one command, and one page of what they found.

    python benchmarks/report.py --minutes 30 --out out/report

Every row of `report_table` runs in a process of its own, in turn, from the repository's root. It is
run small, or large where the minutes of all rows together (as planned there, for two idle cores)
stay within --minutes; at the least all rows are run small. Rows that measure CPU time get one core
where jax runs on the CPU: of more it counts threads that only wait. What is finished is kept in the
folder, so that the same command goes on where it was stopped, and tries again what failed. One that
fails, or takes five times as long as planned, does not stop the others: the page and the exit code,
1, say so. What needs data or packages that are not there is listed with what is missing.

The folder gets report.md, report.html with pictures, and for each benchmark a log and its result.
Another machine or revision needs another folder: one page is about one.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import kept
from report_page import Line, Record, machine, write_page
from report_table import BENCHMARKS, Benchmark
from shared_folder import shared_folder

from full4d_jax.session.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE, GRACE = 5.0, 300.0  # times the plan, and seconds besides, until one is stopped
RECORD, HEAD = "record.json", "machine.json"


def plan(rows: Sequence[Benchmark], minutes: float) -> dict[str, bool]:
    """Whether each row is run large, in the order of the rows as long as the minutes last."""
    total, large = sum(row.minutes[0] for row in rows), {}
    for row in rows:
        more = row.minutes[1] - row.minutes[0]
        large[row.name] = total + more <= minutes
        total += more if large[row.name] else 0
    return large


def missing(row: Benchmark, data: Path) -> str:
    """What a row needs and has not, in words; nothing if all is there."""
    for need in row.needs:
        if "/" in need and not (data / need).exists():
            return f"no {data / need} (set FULL4D_DATA)"
        if "/" not in need and importlib.util.find_spec(need) is None:
            return f"no package {need} (pip install -e '.[parity]')"
    return ""


def command_of(row: Benchmark, is_large: bool, folder: Path) -> list[str]:
    """The words after `python`."""
    words = f"{row.command} {row.large if is_large else row.small}".split()
    return [str(folder) if word == "OUT" else word for word in words]


def run(row: Benchmark, is_large: bool, folder: Path, cores: set[int]) -> Record:
    """The row's record, kept from an earlier call or made now, on these cores."""
    command, path = command_of(row, is_large, folder), folder / RECORD
    if before := kept.read(path):
        record = Record(**before)
        if record.command == command and not record.problem:
            return record
    folder.mkdir(parents=True, exist_ok=True)
    limit, start = 60 * PATIENCE * row.minutes[is_large] + GRACE, time.perf_counter()
    problem, result, log = "", None, folder / "log.txt"
    with log.open("w") as file:
        # In a process group of its own, so that what it started stops with it.
        where = {"stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True}
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # which is inherited
        process = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, **where)
        os.sched_setaffinity(0, ours)
        try:
            code = process.wait(limit)
            problem = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"stopped after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not problem:
        try:
            text = (folder / row.result).read_text() if row.result else last_line(log)
            result = json.loads(text)
        except (OSError, ValueError) as error:
            problem = f"no result: {error}"
    seconds = round(time.perf_counter() - start, 1)
    record = Record(command, seconds, problem, result, len(cores))
    kept.write(path, record._asdict())
    return record


def last_line(log: Path) -> str:
    """What a benchmark printed last."""
    return log.read_text().strip().rpartition("\n")[2]


def open_report(folder: Path) -> dict[str, Any]:
    """What the page begins with; refuses a folder with another machine's or revision's results.

    Raises:
      InputError: naming what differs.
    """
    path, found = folder / HEAD, machine()
    folder.mkdir(parents=True, exist_ok=True)
    if before := kept.read(path):
        for name in found:
            if before.get(name) != found[name]:
                was, do = before.get(name), "give another folder as --out"
                raise InputError("report", path, f"{name} {was}", f"{found[name]}", do)
    kept.write(path, found)
    return found


def run_all(
    rows: Sequence[Benchmark], minutes: float, out: Path, data: Path, only: Sequence[str] = ()
) -> bool:
    """Run all or only some and write the page after each; whether none of them failed.

    The page keeps what earlier calls found of rows that are not asked for.
    """
    head, lines = open_report(out), {}
    chosen = [row for row in rows if row.name in only or not only]
    large = plan(chosen, minutes)
    cores = os.sched_getaffinity(0)
    one = {max(cores)} if "cpu" in head["devices of jax"].split() else cores
    for number, row in enumerate(rows, 1):
        if row not in chosen:
            if before := kept.read(out / row.name / RECORD):
                record = Record(**before)
                is_large = record.command == command_of(row, True, out / row.name)
                lines[row.name] = Line(row, "large" if is_large else "small", record, "")
            continue
        why = missing(row, data)
        size = "large" if large[row.name] else "small"
        print(f"{number}/{len(rows)} {row.name}, {size}: {row.command}", flush=True)
        where = one if row.one_core else cores
        record = None if why else run(row, large[row.name], out / row.name, where)
        problem = record.problem if record else ""
        print(f"  {f'not run: {why}' if why else problem or 'done'}", flush=True)
        lines[row.name] = Line(row, size, record, why)
        write_page(out, head, lines)
    records = {row.name: lines[row.name].record for row in chosen}
    failed = [name for name, record in records.items() if record and record.problem]
    print(f"{out / 'report.md'}, {out / 'report.html'}")
    if failed:
        print(f"failed: {', '.join(failed)}; the same command tries them again")
    return not failed


def main() -> None:
    """Run all benchmarks; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="0: all are run small")
    names = [row.name for row in BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, default=(), help="run these rows alone")
    parser.add_argument("--out", type=Path, default=Path("out/report"))
    given = parser.parse_args()
    for stop in (signal.SIGTERM, signal.SIGHUP):  # else what runs would go on without us
        signal.signal(stop, lambda number, _: sys.exit(128 + number))
    if given.minutes < 0:
        parser.error(f"--minutes: found {given.minutes}, expected 0 or more")
    try:
        out, data = given.out.resolve(), shared_folder()
        fine = run_all(BENCHMARKS, given.minutes, out, data, given.only)
    except InputError as error:
        raise SystemExit(str(error)) from None
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
