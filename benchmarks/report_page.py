"""The page of `report.py`: what it ran on, what was found, pictures; as Markdown and as HTML."""

import html
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from report_table import Benchmark

from full4d_jax.evaluation.table import text_table
from full4d_jax.training.checkpoints.provenance import git_revision

PACKAGES = (
    "full4d-jax jax jaxlib flax optax grain numpy opencv-python-headless torch diffusers gsplat"
)
DEVICES = "import jax; x = jax.devices(); print(len(x), 'x', x[0].platform, x[0].device_kind)"
PICTURES = 4  # of a benchmark
TAIL = 15  # lines of the log of one that failed
STYLE = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
    "img{max-width:100%}pre{overflow:auto;background:#f5f5f5;padding:.8em}"
)


class Record(NamedTuple):
    """What a benchmark left when it ended."""

    command: list[str]  # after `python`
    seconds: float
    problem: str  # why it failed, or nothing
    result: Any
    cores: int  # it was run on


class Line(NamedTuple):
    """One benchmark on the page."""

    row: Benchmark
    size: str
    record: Record | None  # None: not run
    missing: str


class Part(NamedTuple):
    """A piece of a page: a table, or text as it is, or pictures."""

    lines: list[list[str]] = []  # noqa: RUF012, the first are headings
    text: str = ""
    pictures: tuple[str, ...] = ()


def machine() -> dict[str, Any]:
    """Hardware, versions, revision. The accelerator is asked for by a process that then ends."""
    asked = subprocess.run(
        [sys.executable, "-c", DEVICES], capture_output=True, text=True, check=True, timeout=300
    )
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "devices of jax": asked.stdout.strip(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES.split()},
        "revision": git_revision(Path(__file__).parent),
    }


def processor() -> str:
    """The model's name where Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version_of(package: str) -> str:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def look_up(result: Any, place: str) -> dict[str, Any]:
    """Values by their whole place, for one such as `sizes/*/ratio`; none where there is none."""
    found = {"": result}
    for key in place.split("/"):
        inner = {
            f"{before}/{name}".lstrip("/"): value[name]
            for before, value in found.items()
            if isinstance(value, Mapping)
            for name in (value if key == "*" else [key] if key in value else [])
        }
        found = inner
    return found


def write_page(folder: Path, head: dict[str, Any], lines: Mapping[str, Line]) -> None:
    """report.md and report.html."""
    sections = [("Benchmarks", [overview(lines)]), ("Machine", [described(head)])]
    sections += [(name, parts(folder, name, line)) for name, line in lines.items()]
    (folder / "report.md").write_text(as_markdown(sections))
    (folder / "report.html").write_text(as_html(sections))


def overview(lines: Mapping[str, Line]) -> Part:
    """Every benchmark and how it ended."""
    rows = [["benchmark", "size", "cores", "seconds", ""]]
    for name, line in lines.items():
        if line.record is None:
            rows.append([name, line.size, "", "", f"not run: {line.missing}"])
        else:
            said = f"FAILED: {line.record.problem}" if line.record.problem else "done"
            cores, seconds = f"{line.record.cores}", f"{line.record.seconds:.0f}"
            rows.append([name, line.size, cores, seconds, said])
    return Part(rows)


def described(head: dict[str, Any]) -> Part:
    """The machine, one line each."""
    flat = {k: v for k, v in head.items() if not isinstance(v, dict)}
    flat |= head["versions"] | (head["revision"] or {})
    return Part([["", ""], *([name, str(value)] for name, value in flat.items())])


def parts(folder: Path, name: str, line: Line) -> list[Part]:
    """What is shown of one benchmark."""
    if line.record is None:
        return [Part(text=f"not run: {line.missing}")]
    command = " ".join(line.record.command).replace(str(folder / name), "OUT")
    found = [Part(text=f"python {command}")]
    if line.record.problem:
        log = folder / name / "log.txt"
        tail = log.read_text().splitlines()[-TAIL:] if log.exists() else []
        return [*found, Part(text="\n".join([line.record.problem, *tail]))]
    values = {
        k: v for place in line.row.numbers for k, v in look_up(line.record.result, place).items()
    }
    if values:
        found.append(Part([["", ""], *([k, number(v)] for k, v in values.items())]))
    if line.row.page:
        found.append(Part(text=(folder / name / line.row.page).read_text().strip()))
    pictures = sorted((folder / name).glob("*.png"))[:PICTURES]
    return [*found, Part(pictures=tuple(f"{name}/{path.name}" for path in pictures))]


def number(value: Any) -> str:
    """Short, and a dash for what does not exist."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def as_markdown(sections: list[tuple[str, list[Part]]]) -> str:
    """Text between fences, so that it stays as it is."""
    blocks = ["# Report"]
    for title, found in sections:
        blocks.append(f"## {title}")
        for part in found:
            if part.lines:
                blocks.append(text_table(part.lines[0], part.lines[1:]))
            if part.text:
                blocks.append(f"```\n{part.text}\n```")
            blocks += [f"![{path}]({path})" for path in part.pictures]
    return "\n\n".join(blocks) + "\n"


def as_html(sections: list[tuple[str, list[Part]]]) -> str:
    """One file beside the benchmarks' folders, where its pictures are."""
    blocks = ["<h1>Report</h1>"]
    for title, found in sections:
        blocks.append(f"<h2>{html.escape(title)}</h2>")
        for part in found:
            for i, row in enumerate(part.lines):
                cell = "td" if i else "th"
                cells = "".join(f"<{cell}>{html.escape(x)}</{cell}>" for x in row)
                blocks.append(f"{'' if i else '<table>'}<tr>{cells}</tr>")
            blocks += ["</table>"] if part.lines else []
            blocks += [f"<pre>{html.escape(part.text)}</pre>"] if part.text else []
            blocks += [f'<img src="{html.escape(path)}" alt="">' for path in part.pictures]
    meta = '<meta charset="utf-8"><title>Report</title>'
    return f"<!doctype html><html><head>{meta}<style>{STYLE}</style></head><body>" + (
        "\n".join(blocks) + "</body></html>\n"
    )
