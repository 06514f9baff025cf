"""Clips with known truth that no model here was trained on: procedural, and of a split.

From each record of a split come the first `data.frames` instants that are `data.strides[0]` apart;
as the source the first view whose depth is known at all of them; and `data.views - 1` of the other
views, evenly spaced in the record's order. Nothing is random, so a clip is always evaluated alike.
Where no view has depth the first view is the source, the unit is its distance to the point nearest
to all optical axes (as in `captures`), and all rows get our depth.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from full4d_jax.config import DataConfig
from full4d_jax.session.errors import InputError, as_input_error, input_errors
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.datasets.dataset import Records
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip
from input_pipeline.schema import Example
from input_pipeline.selection import select
from input_pipeline.transforms import Clip, decode, to_source


class KnownClip(NamedTuple):
    """A clip and its number in its group.

    It is no `Grid`: its pictures are not rounded to bytes, nor is the truth that scores count on.
    """

    scene: int
    clip: ProceduralClip


def held_out_clips(data: DataConfig, scenes: Sequence[int]) -> Iterator[KnownClip]:
    """Yield procedural scenes beyond every training index; targets within ±60°."""
    make = scene_program(data.views, data.frames, data.height, data.width, data.worlds)
    for scene in scenes:
        yield KnownClip(scene, make(HELD_OUT_START + scene))


def check_split(records: Records, data: DataConfig) -> None:
    """Refuse a split some clip of which could not be used.

    Raises:
      InputError: naming the clip, and what it has too few of.
    """
    if not len(records):
        do = "give another --split"
        raise InputError("dataset", records.folder, f"no clip in {records.split}", "some", do)
    least = {"views": data.views, "frames": (data.frames - 1) * data.strides[0] + 1}
    for number, clip in enumerate(records.clips):
        where = f"{records.folder}, {records.split} {number} ({clip['scene']})"
        for field, needed in least.items():
            if clip[field] < needed:
                found = f"{clip[field]} {field}"
                do = f"lower --data.{field}"
                raise InputError("dataset", where, found, f"at least {needed}", do)


def split_clips(records: Records, data: DataConfig, numbers: Sequence[int]) -> Iterator[KnownClip]:
    """Yield clips of a split by their numbers, read one after the other."""
    for number in numbers:
        yield KnownClip(number, _known_clip(records, number, data))


def _known_clip(records: Records, number: int, data: DataConfig) -> ProceduralClip:
    with input_errors("dataset", "make the dataset again"):
        example = records[number]
    times = data.strides[0] * np.arange(data.frames)
    views = example.frames.shape[0]
    count = data.views - 1
    deep = [v for v in records.clips[number]["depth"] if all(example.depth16[v, times])]
    source = deep[0] if deep else 0
    candidates = np.delete(np.arange(views), source)
    targets = candidates[np.round(np.linspace(0, len(candidates) - 1, count)).astype(int)]
    chosen = select(example, np.array([source, *targets]), times)
    if not deep:  # not even at some instants
        chosen = chosen._replace(depth16=np.full_like(chosen.depth16, b""))
    try:
        clip = decode(chosen, height=data.height, width=data.width)
        depth, poses = _in_source(chosen, clip)
    except ValueError as error:
        where = f"{records.folder}, {records.split} {number}: {error}"
        raise as_input_error("dataset", ValueError(where), "import it with depth") from None
    return ProceduralClip(
        frames=jnp.asarray(clip.frames, jnp.float32) / 255,
        depth=jnp.asarray(np.concatenate([depth[None], np.zeros_like(clip.depth[1:])])),
        intrinsics=jnp.asarray(clip.intrinsics),
        world_to_camera=jnp.asarray(poses, jnp.float32),
        timestamps=jnp.asarray(clip.timestamps[0]),
    )


def _in_source(example: Example, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Return the source's depth (0 where there is none) and the cameras, in its frame and unit.

    Raises:
      ValueError: there is no depth, and the cameras do not look at one place.
    """
    if clip.depth[0].any():
        return to_source(clip.depth[0], clip.world_to_camera)
    poses = relative_to(clip.world_to_camera.astype(np.float64), clip.world_to_camera[0, 0])
    middle = nearest_to_axes(poses[:, 0])
    if middle is None:
        raise ValueError(
            f"scene {example.scene_id}: found no depth, and cameras that do not look at one place, "
            "expected one of the two"
        )
    return clip.depth[0], rescale(poses, float(np.linalg.norm(middle)))
