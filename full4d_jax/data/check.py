"""Check the clips of a dataset one after the other, with a page for each and one report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from full4d_jax.media.pictures import save_picture
from full4d_jax.session.errors import InputError, input_errors, tell
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.checks.clip import ClipCheck, check_clip
from input_pipeline.checks.pictures import Pictures, decode_pictures, file_marks
from input_pipeline.datasets.dataset import damaged_files, open_dataset
from input_pipeline.schema import Example
from input_pipeline.selection import evenly
from input_pipeline.transforms import decode_mask
from input_pipeline.whole_files import whole_file

REPORT = "check.json"
CELL_HEIGHT = 240  # pixels, of a picture on the page
MAX_VIEWS = 12  # rows of pictures on the page
MAX_POINTS = 4000  # matched points among the frustums
MAX_POINT_DISTANCE = 5.0  # of a drawn point from the first camera, in the plot's unit
GREY = 128  # where a view has no picture


def check_page(
    example: Example,
    decoded: Pictures,
    check: ClipCheck,
    title: str,
) -> UInt8[ndarray, "H W 3"]:
    """Return a picture of all decoded instants of the clip's views, and of the frustums.

    Frames are dark outside of their masks. Of more than 12 views, 12 evenly spaced ones are shown.
    """
    shown_views = evenly(len(decoded.frames), MAX_VIEWS)
    shape = next((sizes[0] for sizes in decoded.shapes if sizes), (1, 1))
    width = round(CELL_HEIGHT * shape[1] / shape[0])
    rows = []
    for view in shown_views:
        masks = example.masks[view, decoded.instants]
        masked = map(_masked, decoded.frames[view], masks)
        rows.append(np.stack([_fit(frame, CELL_HEIGHT, width) for frame in masked]))
    return pictures.contact_sheet(
        np.stack(rows),
        rows=[f"view {view}" for view in shown_views],
        columns=[f"{example.timestamps[0, instant]:.2f} s" for instant in decoded.instants],
        title=f"{title}: {len(check.problems)} problems",
        aside=_frustums(example, check.points, shape),
        cell_height=CELL_HEIGHT,
    )


def clip_verdict(check: ClipCheck) -> str:
    """Return the result of a clip's check in a few words."""
    if check.problems:
        return f"{len(check.problems)} problems, {check.problems[0]}"
    return check.notes[0] if check.notes else "no problems"


def _frustums(
    example: Example, points: Float[ndarray, "n 3"], shape: tuple[int, int]
) -> UInt8[ndarray, "H W 3"]:
    """Draw the frustums in the first camera's world; its distance from the common middle is 1."""
    height, width = shape
    poses = example.world_to_camera.astype(np.float64)
    reference = poses[0, 0]
    poses = relative_to(poses, reference)
    places = points @ reference[:3, :3].T + reference[:3, 3]
    pivot = nearest_to_axes(poses[:, 0])
    depths = places[places[:, 2] > 0, 2]
    depth = float(np.median(depths)) if depths.size else 1.0
    unit = float(np.linalg.norm(pivot)) if pivot is not None else depth
    step = max(1, len(places) // MAX_POINTS)
    near = places[np.linalg.norm(places, axis=1) < MAX_POINT_DISTANCE * unit][::step]
    return pictures.frustums(
        Cameras(example.intrinsics.astype(np.float64), rescale(poses, unit), height, width),
        points=near / unit,
    )


def _masked(frame: UInt8[ndarray, "h w 3"] | None, file: bytes) -> UInt8[ndarray, "h w 3"] | None:
    """Darken a frame outside of its mask, if that fits; `check_masks` reports the others."""
    if frame is None or not file:
        return frame
    try:
        mask = decode_mask(file)
    except ValueError:
        return frame
    return pictures.dim_outside(frame, mask) if mask.shape == frame.shape[:2] else frame


def _fit(frame: UInt8[ndarray, "h w 3"] | None, height: int, width: int) -> UInt8[ndarray, "H W 3"]:
    """Return the whole frame in the middle of a cell of that size; a grey cell for None."""
    cell = np.full((height, width, 3), GREY, np.uint8)
    if frame is not None:
        scale = min(height / frame.shape[0], width / frame.shape[1])
        rows = max(1, min(height, round(frame.shape[0] * scale)))
        columns = max(1, min(width, round(frame.shape[1] * scale)))
        top = (height - rows) // 2
        left = (width - columns) // 2
        small = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
        cell[top : top + rows, left : left + columns] = small
    return cell


def check_dataset(
    dataset: Path,
    out: Path,
    *,
    split: str,
    clips: int,
    instants: int,
) -> None:
    """Check `clips` evenly spaced clips (0: all), print the problems, and write them into `out`.

    Raises:
      InputError: no such dataset, or problems in it.
    """
    with input_errors("dataset", "see full4d data check --help"):
        records = open_dataset(dataset, split)
    folder = hold_folder(out)
    problems = damaged_files(dataset)
    problems += check_records(records, folder, clips=clips, instants=instants)
    for line in problems:
        tell(f"problem: {line}")
    print(f"report: {out / REPORT}, pages: {out}/clip-*.png")
    if problems:
        found = f"{len(problems)} problems, the first: {problems[0]}"
        raise InputError("dataset", dataset, found, "none", f"see {out / REPORT}")
    print(f"next: look at {out}/clip-*.png: the cameras must stand where they were")


def check_records(
    records: Sequence[Example],
    out: Path,
    *,
    clips: int,
    instants: int,
) -> list[str]:
    """Check `clips` evenly spaced clips (0: all), write `check.json` and a PNG for each.

    Returns:
      The problems, each with the clip that has it.
    """
    total = len(records)
    chosen = evenly(total, clips or total)
    summaries = []
    problems = []
    owners = {}
    with Progress("check", len(chosen)) as report:
        for done, index in enumerate(chosen, 1):
            try:
                example = records[index]
            except ValueError as error:
                problems.append(f"clip {index}: {error}")
                summaries.append({"clip": index, "problems": [str(error)]})
                report(done)
                continue
            decoded = decode_pictures(example, instants)
            checked = check_clip(example, decoded)
            checked.problems.extend(_copies(example, owners))
            title = f"clip {index}, {example.scene_id}"
            page = out / f"clip-{index:05d}.png"
            save_picture(page, check_page(example, decoded, checked, title))
            tell(f"{title}: {clip_verdict(checked)}")
            summaries.append(_summary(index, example, checked) | {"page": page.name})
            problems += [f"{title}: {line}" for line in checked.problems]
            report(done)
    with whole_file(out / REPORT) as partial:
        partial.write_text(json.dumps({"clips": total, "checked": summaries}, indent=1))
    return problems


def _copies(example: Example, owners: dict[bytes, str]) -> list[str]:
    """Return a problem for each scene that shares pictures; `owners` gains those of this clip."""
    marks = {mark for row in file_marks(example) for mark in row}
    scenes = {owners.setdefault(mark, example.scene_id) for mark in marks} - {example.scene_id}
    return [
        f"frames: found pictures of scene {name} again, expected other ones (splits cut by scene)"
        for name in sorted(scenes)
    ]


def _summary(index: int, example: Example, checked: ClipCheck) -> dict:
    """Return the entry of a clip in the report; values that could not be measured are null."""
    views, frames = example.frames.shape
    return {
        "clip": index,
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "problems": checked.problems,
        "notes": checked.notes,
        "median_error_pixels": _known(checked.error),
        "pairs": [pair._asdict() | {"error": _known(pair.error)} for pair in checked.pairs],
        "drift_seconds": checked.drift,
        "exposure_stops": [_known(value) for value in checked.stops],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
