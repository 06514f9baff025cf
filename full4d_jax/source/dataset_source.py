"""Clips of datasets, in place of a video or of a capture.

For `run` and `sample` one view is the source, and the other cameras are the targets. What the real
cameras saw is not looked at: `full4d evaluate` compares it with what is generated. `lift` takes all
views, or those that it is told.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from full4d_jax.config import DataConfig
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import Arrays
from full4d_jax.session.options import Shot
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.schema import Example
from input_pipeline.selection import select
from input_pipeline.transforms import decode, to_source

FPS = 6.0  # at most, where --fps is left out, as with videos


def read_dataset_source(data: DataConfig, shot: Shot) -> Arrays:
    """The source stage of `run --dataset`.

    Returns:
      frames (t, h, w, 3) uint8 sRGB, fps (), intrinsics (3, 3) pixels, note and warning, text; and
      depth (t, h, w), 0 = unknown, lenses (v, 3, 3) in pixels and world_to_camera (v, t, 4, 4) of
      all views, the source first, in its frame at t=0 with its median depth there as unit; and what
      `taken_from` says.

    Raises:
      InputError: an unusable dataset, no such split, clip or view, fewer instants, or no depth.
    """
    records, example = _open_clip(str(shot.dataset), shot.split, shot.clip)
    views = len(example.frames)
    if shot.view >= views or views < 2:
        expected = f"0 to {views - 1}, of at least two views"
        raise InputError("option", "--view", shot.view, expected, "choose another view or dataset")
    order = np.array([shot.view, *(view for view in range(views) if view != shot.view)])
    instants = _instants(example, data.frames, shot)
    times = example.timestamps[shot.view, instants]
    example = select(example, order, instants)
    if not all(example.depth16[0]):
        do = f"full4d data depth {shot.dataset} --out NEW estimates it (docs/data.md)"
        where = f"{shot.dataset}, scene {example.scene_id}"
        raise InputError("dataset", where, f"no depth in view {shot.view}", "depth", do)
    with input_errors("dataset", "choose another clip, view or --start"):
        clip = decode(example, height=data.height, width=data.width)
        depth, poses = to_source(clip.depth[0], clip.world_to_camera)
    known = clip.depth[0, 0][clip.depth[0, 0] > 0]
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else FPS
    note = f"view {shot.view} of {views}, clip {shot.clip} of {shot.dataset}, {shot.split}"
    return {
        "frames": clip.frames[0],
        "fps": np.asarray(float(fps)),
        "intrinsics": clip.intrinsics[0],
        "depth": depth,
        "lenses": clip.intrinsics,
        "world_to_camera": poses,
        **taken_from(records, shot.clip, order, instants, float(np.median(known))),
        "note": np.asarray(f"{note}, {times[0]:.2f} to {times[-1]:.2f} s; other cameras: targets"),
        "warning": np.asarray(""),
    }


def read_clip(dataset: Path, split: str, clip: int, views: Sequence[int]) -> Arrays:
    """A clip as a capture (see `captures`), in the size and for the instants that it has.

    Args:
      dataset: its folder.
      split: of the dataset.
      clip: its number in the split.
      views: which; all for none.

    Returns:
      frames, intrinsics, world_to_camera and, where it is known, depth as in a capture; and what
      `taken_from` says.

    Raises:
      InputError: an unusable dataset, no such split, clip or view.
    """
    records, example = _open_clip(str(dataset), split, clip)
    known = len(example.frames)
    order = np.array(views or range(known))
    if len(set(order.tolist())) < len(order) or not (order >= 0).all() or order.max() >= known:
        listed = " ".join(map(str, order))
        expected = f"different numbers, 0 to {known - 1}"
        raise InputError("option", "--views", listed, expected, "choose other views")
    facts, instants = records.clips[clip], np.arange(example.timestamps.shape[1])
    with input_errors("dataset", "make the dataset again"):
        chosen = select(example, order, instants)
        read = decode(chosen, height=facts["height"], width=facts["width"])
    depth = {"depth": read.depth} if (read.depth > 0).any() else {}
    return depth | {
        "frames": read.frames,
        "intrinsics": read.intrinsics,
        "world_to_camera": read.world_to_camera,
        **taken_from(records, clip, order, instants),
    }


def taken_from(
    records: Records,
    clip: int,
    views: Int[np.ndarray, " v"],
    instants: Int[np.ndarray, " t"],
    unit: float = 1.0,
) -> Arrays:
    """Return the place in a data set that a run starts from, as the source stage records it.

    Args:
      records: the split of the data set.
      clip: number of the clip in the split.
      views: numbers of the views in the clip, the source first.
      instants: numbers of the instants in the clip.
      unit: world units of the data set in one of the run's.
    """
    return {
        "dataset": np.asarray(records.content),
        "split": np.asarray(records.split),
        "clip": np.asarray(clip),
        "view": np.asarray(views[0]),
        "views": views,
        "instants": instants,
        "unit": np.asarray(unit),
    }


def _open_clip(dataset: str, split: str, clip: int) -> tuple[Records, Example]:
    with input_errors("dataset", "give another --dataset or --split"):
        records = open_dataset(dataset, split)
    if not 0 <= clip < len(records):
        expected = f"0 to {len(records) - 1}"
        raise InputError("option", "--clip", clip, expected, "choose another clip")
    with input_errors("dataset", "make the dataset again"):
        return records, records[clip]


def _instants(example: Example, frames: int, shot: Shot) -> Int[np.ndarray, " t"]:
    """The record's instants nearest to `--start` and every 1 / `--fps` seconds from there."""
    times = example.timestamps[shot.view].astype(np.float64)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    wanted = shot.start + np.arange(frames) * (1 / shot.fps if shot.fps else max(1 / FPS, step))
    chosen = np.abs(times[:, None] - wanted).argmin(0)
    if len(set(chosen.tolist())) < frames or wanted[-1] > times[-1] + step:
        found = f"{len(times)} instants to {times[-1]:.2f} s"
        expected = f"{frames} from {wanted[0]:.2f} to {wanted[-1]:.2f} s"
        where = f"{shot.dataset}, scene {example.scene_id}"
        raise InputError("dataset", where, found, expected, "change --start, --fps or data.frames")
    return chosen
