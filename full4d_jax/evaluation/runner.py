"""Evaluations in one folder: clip after clip, each kept as soon as it is scored.

scores.jsonl     a line a clip (`score_lines`); the same command goes on behind it
evaluation.md    tables (`table.markdown`)
evaluation.json  the same for programs
GROUP.png        the first clips of each group, drawn from what `.shown` holds of them
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from full4d_jax.evaluation.clips import KnownClip, gltf_clips, gltf_views, held_out_clips
from full4d_jax.evaluation.held_out import (
    Judge,
    Result,
    generate_rows,
    identity,
    score_rows,
    shipped_row,
    shown,
)
from full4d_jax.evaluation.lift import clips_between, lift_rows
from full4d_jax.evaluation.score_lines import append_lines, missing, open_lines
from full4d_jax.evaluation.split import split_clips
from full4d_jax.evaluation.table import markdown, summary
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.session.files import read_arrays, save_arrays
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.estimators import OURS
from input_pipeline.datasets.dataset import Records
from input_pipeline.whole_files import write_text

SHEET_CLIPS = 4


class ClipGroup(NamedTuple):
    """Clips that are evaluated alike."""

    name: str
    numbers: Sequence[int]
    clips: Callable[[Sequence[int]], Iterator[KnownClip]]
    """Makes the clips of some numbers, one after the other."""
    rows: Callable[[Judge, KnownClip], Result] = generate_rows


def evaluate_held_out(
    judge: Judge, folder: Path, scenes: range, lifted: range, gltf: Path | None
) -> None:
    """Evaluate procedural scenes, clips of a glTF asset, and scenes that are lifted."""
    data = judge.config.data
    groups = [ClipGroup("held-out", scenes, partial(held_out_clips, data))]
    if gltf:
        numbers = range(len(gltf_views(gltf)))
        groups.append(ClipGroup("glTF", numbers, partial(gltf_clips, data, gltf)))
    if lifted:
        groups.append(ClipGroup("between", lifted, partial(clips_between, data), lift_rows))
    example = {"scene": to_uint8(next(held_out_clips(data, [0])).clip.frames), "gltf": gltf}
    where = "targets within ±60° of the source"
    _evaluate(judge, folder, groups, identity(judge, example), where)


def evaluate_split(judge: Judge, folder: Path, records: Records, lifted: range) -> None:
    """Evaluate all clips of a data set's split; those in `lifted` with a fit to the projection."""
    rows = partial(generate_rows, lifted=lifted)
    read = partial(split_clips, records, judge.config.data)
    group = ClipGroup(records.split, range(len(records)), read, rows)
    clip = [records.content, records.split, len(lifted)]
    where = (
        f"split `{records.split}` of the dataset `{records.content[:16]}`; `true` is the depth in "
        "its records"
    )
    _evaluate(judge, folder, [group], identity(judge, clip), where)


def _evaluate(
    judge: Judge, folder: Path, groups: Sequence[ClipGroup], mark: str, where: str
) -> None:
    path = folder / "scores.jsonl"
    shipped = shipped_row(judge.config)
    lines = open_lines(path, mark)
    for group in groups:
        left = missing(lines, group.name, group.numbers)
        with Progress(f"evaluate {group.name}", len(left)) as report:
            for done, known in enumerate(group.clips(left), 1):
                result = group.rows(judge, known)
                if known.scene in group.numbers[:SHEET_CLIPS]:
                    (folder / ".shown").mkdir(exist_ok=True)
                    cells = shown(known, result, shipped, judge.depth_name)
                    save_arrays(_shown_path(folder, group, known.scene), cells)
                append_lines(path, [score_rows(judge, known, result)])
                _draw(folder, group, judge.depth_name)
                report(done)
    asked = {group.name: set(group.numbers) for group in groups}
    # The file may hold scenes of other calls, such as those that weights were chosen by.
    lines = [x for x in open_lines(path, mark) if x["scene"] in asked.get(x["group"], ())]
    page = markdown(lines, shipped, _preface(judge, where, shipped, mark))
    write_text(folder / "evaluation.md", page)
    write_text(folder / "evaluation.json", json.dumps(summary(lines, shipped), indent=1))
    print(page)
    pictures = ", ".join(f"{group.name}.png" for group in groups)
    print(f"wrote {folder}/evaluation.md, evaluation.json; look at {pictures}")


def _shown_path(folder: Path, group: ClipGroup, scene: int) -> Path:
    return folder / ".shown" / f"{group.name}-{scene:05d}.npz"


def _draw(folder: Path, group: ClipGroup, depth_name: str) -> None:
    """Draw the sheet of a group's first clips, as far as they are done."""
    found = {
        f"{group.name} {scene}": cells
        for scene in group.numbers[:SHEET_CLIPS]
        if (cells := read_arrays(_shown_path(folder, group, scene)))
    }
    if not found:
        return
    columns = list(dict.fromkeys(label for cells in found.values() for label in cells))
    blank = np.full_like(next(iter(found.values()))["source"], 255)
    sheet = contact_sheet(
        np.array([[cells.get(label, blank) for label in columns] for cells in found.values()]),
        rows=list(found),
        columns=columns,
        title="The last instant, in the view with the largest holes; "
        f"'{depth_name}' is given that network's depth",
    )
    save_picture(folder / f"{group.name}.png", sheet)


def _preface(judge: Judge, where: str, shipped: str, mark: str) -> str:
    """Return the head of the page, which says what was evaluated."""
    data = judge.config.data
    name = judge.depth_name
    network = "our network" if name == OURS else f"the network {name}"
    return (
        f"# Evaluation of `{judge.config.name}`\n\n"
        f"{data.views} views (source included), {data.frames} frames of {data.width}x{data.height} "
        f"pixels, {where}. Shipped sampler setting: {shipped}. Pixels that the source does not see "
        "are those where the projection of the one source frame of the same instant, with true "
        "depth if it is known, has no point; those that move differ from their median over time. "
        "For SSIM its map is averaged over them, for LPIPS the truth is pasted over all others. "
        f"`{judge.depth_name}` is the depth of {network}. Weights and settings: `{mark}`."
    )
