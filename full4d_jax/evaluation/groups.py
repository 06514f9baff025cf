"""Scores candidates for frames whose truth is known, and writes the folder of an evaluation.

scores.jsonl     a line a clip (`results`); the same command goes on behind it
evaluation.md    tables (`table.markdown`)
evaluation.json  the same for programs
evaluation.png   the first clips of each group, drawn from what `.shown` holds of them

Evaluations differ in where the truth comes from and in what candidates they make: procedural scenes
(`known_clips`), clips of a data set (`split`), grids without poses
(`filled_grids`) and films (`film`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.evaluation.fidelity import Distances, Regions, fidelity_scores
from full4d_jax.evaluation.results import append_lines, missing, open_lines, write_results
from full4d_jax.evaluation.table import markdown, summary
from full4d_jax.media.pictures import contact_sheet, save_picture
from full4d_jax.session.files import read_arrays, save_arrays
from full4d_jax.session.progress import Progress
from input_pipeline.whole_files import make_own_folder

SHEET_CLIPS = 4  # of each group
CELL_ROWS = 128, 192  # of a picture in the sheet, at least and at most

Frames = Float[np.ndarray, "v t h w 3"]  # [0, 1]
Picture = UInt8[np.ndarray, "h w 3"]


class Candidates(NamedTuple):
    """The truth of one clip, and what is scored against it.

    Attributes:
      scene: number of the clip in its group.
      truth: the frames that a candidate stands for.
      regions: pixels of these frames that are scored apart.
      rows: the candidates, by name and by the depth that they use.
      details: further numbers of the clip, for its record.
      pictures: what the sheet shows of the clip, by column.
      changes: further scores of the candidates, `fidelity.CHANGES`.
    """

    scene: int
    truth: Frames
    regions: Regions
    rows: Mapping[tuple[str, str], Frames]
    details: Mapping[str, float | None]
    pictures: Mapping[str, Picture]
    changes: Mapping[tuple[str, str], Mapping[str, float | None]] = MappingProxyType({})


class Group(NamedTuple):
    """Clips that are evaluated alike.

    Attributes:
      name: of the group.
      scenes: numbers of its clips.
      candidates: makes those of the clips with some numbers, one clip after the other.
    """

    name: str
    scenes: Sequence[int]
    candidates: Callable[[Sequence[int]], Iterator[Candidates]]


def score(candidates: Candidates, group: str, distances: Distances) -> dict:
    """Return the record of a clip, in the form that `table` reads."""
    unseen = candidates.regions.unseen
    moving = candidates.regions.moving
    return {
        "group": group,
        "scene": candidates.scene,
        "hole_fraction": None if unseen is None else float(unseen.mean()),
        "moving_fraction": None if moving is None else float(moving.mean()),
        **candidates.details,
        "rows": [
            {"row": row, "depth": depth}
            | fidelity_scores(frames, candidates.truth, candidates.regions, distances)
            | dict(candidates.changes.get((row, depth), {}))
            for (row, depth), frames in candidates.rows.items()
        ],
    }


def evaluate_groups(
    folder: Path,
    groups: Sequence[Group],
    distances: Distances,
    *,
    mark: str,
    shipped: str,
    preface: str,
    caption: str,
) -> None:
    """Score the clips that have no record yet, and write the pages.

    Args:
      folder: for the results.
      groups: all clips.
      distances: compare pictures.
      mark: of everything that scores depend on.
      shipped: name of the row that the others are compared with.
      preface: head of the page, which says what was evaluated.
      caption: of the sheet.

    Raises:
      InputError: the folder holds another evaluation.
    """
    path = folder / "scores.jsonl"
    lines = open_lines(path, mark)
    for group in groups:
        left = missing(lines, group.name, group.scenes)
        if not left:
            continue
        with Progress(f"evaluate {group.name}", len(left)) as report:
            for done, candidates in enumerate(group.candidates(left), 1):
                if candidates.scene in group.scenes[:SHEET_CLIPS]:
                    make_own_folder(folder / ".shown")
                    file = _shown_file(folder, group.name, candidates.scene)
                    save_arrays(file, candidates.pictures)
                append_lines(path, [score(candidates, group.name, distances)])
                _draw(folder, groups, caption)
                report(done)
    asked = {group.name: set(group.scenes) for group in groups}
    # The file may hold scenes of other calls, such as those that weights were chosen by.
    lines = [x for x in open_lines(path, mark) if x["scene"] in asked.get(x["group"], ())]
    page = markdown(lines, shipped, f"{preface} Weights and settings: `{mark}`.")
    write_results(folder, "evaluation", summary(lines, shipped), page, caption)


def _shown_file(folder: Path, group: str, scene: int) -> Path:
    return folder / ".shown" / f"{group}-{scene:05d}.npz"


def _draw(folder: Path, groups: Sequence[Group], caption: str) -> None:
    """Draw the sheet of the groups' first clips, as far as they are done."""
    shown = {
        f"{group.name} {scene}": pictures
        for group in groups
        for scene in group.scenes[:SHEET_CLIPS]
        if (pictures := read_arrays(_shown_file(folder, group.name, scene)))
    }
    if not shown:
        return
    columns = list(dict.fromkeys(column for pictures in shown.values() for column in pictures))
    blank = np.full_like(next(iter(shown.values()))["truth"], 255)
    least, most = CELL_ROWS
    sheet = contact_sheet(
        np.array([[cells.get(column, blank) for column in columns] for cells in shown.values()]),
        rows=list(shown),
        columns=columns,
        title=caption,
        cell_height=min(max(least, len(blank)), most),
    )
    save_picture(folder / "evaluation.png", sheet)
