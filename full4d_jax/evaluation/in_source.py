"""Clips whose truth is known, with cameras in the world of their source."""

from collections.abc import Callable

import numpy as np

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import DataConfig
from full4d_jax.grid import About, Grid, all_real
from full4d_jax.media.pictures import to_uint8
from full4d_jax.session.errors import input_errors
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.datasets.dataset import Records
from input_pipeline.plain_files import check_field
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START
from input_pipeline.selection import select
from input_pipeline.transforms import Clip, decode


def grid_in_source(
    clip: Clip,
    unit: float | None = None,
    *,
    usual_unit: float | None = None,
    note: str = "",
) -> Grid:
    """Return a clip as a grid in the world of its first view, the source, at the first instant.

    Args:
      clip: in any world.
      unit: of the grid in units of the clip's world; None is the median depth of the source there
        or, without depth, the distance to the point nearest to all optical axes.
      usual_unit: that where there is no depth and the cameras do not look at one place.
      note: what the grid is, for people.

    Raises:
      ValueError: the unit is unknown.
    """
    depth = clip.depth[0]
    poses = clip.world_to_camera.astype(np.float64)
    poses = relative_to(poses, poses[0, 0])
    if unit is None and depth[0].any():
        unit = float(np.median(depth[0][depth[0] > 0]))
    middle = nearest_to_axes(poses[:, 0]) if unit is None else None
    if middle is not None:
        unit = float(np.linalg.norm(middle))
    unit = unit or usual_unit
    if unit is None:
        raise ValueError(
            "cameras: found no depth, and no place that all look at, expected one of the two"
        )
    height, width = clip.frames.shape[2:4]
    return Grid(
        frames=clip.frames,
        origin=all_real(clip.frames),
        times=clip.timestamps[0],
        cameras=Cameras(
            clip.intrinsics, rescale(poses, unit).astype(np.float32), height, width
        ),
        depth=(depth / np.float32(unit))[None] if depth.any() else None,
        about=About(note=note),
    )


def held_out_grids(data: DataConfig) -> Callable[[int], Grid]:
    """Return what renders scenes beyond every training index, by number; targets within ±60°."""
    make = scene_program(data.views, data.frames, data.height, data.width, data.worlds)

    def grid_of(scene: int) -> Grid:
        clip = make(HELD_OUT_START + scene)
        frames = to_uint8(clip.frames)
        depth = np.asarray(clip.depth[:1])
        times = np.asarray(clip.timestamps)
        return Grid(frames, all_real(frames), times, cameras_of(clip), depth)

    return grid_of


def check_split(records: Records, data: DataConfig) -> None:
    """Refuse a split some clip of which could not be used.

    Raises:
      InputError: naming the clip, and what it has too few of.
    """
    least = {"views": data.views, "frames": (data.frames - 1) * data.strides[0] + 1}
    do = "give another --split, or lower --data.views or --data.frames"
    with input_errors("dataset", do):
        none = f"no clip in {records.split}"
        check_field(records.folder, len(records), none, "some")
        for number, clip in enumerate(records.clips):
            where = f"{records.folder}, {records.split} {number} ({clip['scene']})"
            for field, needed in least.items():
                found = f"{clip[field]} {field}"
                check_field(where, clip[field] >= needed, found, f"at least {needed}")


def split_grid(records: Records, data: DataConfig, number: int) -> Grid:
    """Return a clip of a split by its number, always the same.

    It has the first `data.frames` instants that are `data.strides[0]` apart; as the source the
    first view whose depth is known at all of them, else the first one without depth; and
    `data.views - 1` of the other views, evenly spaced in the record's order.

    Raises:
      InputError: it cannot be read, or its unit is unknown.
    """
    with input_errors("dataset", "make the dataset again, or import it with depth"):
        example = records[number]
        times = data.strides[0] * np.arange(data.frames)
        deep = [v for v in records.clips[number]["depth"] if all(example.depth16[v, times])]
        source = deep[0] if deep else 0
        others = np.delete(np.arange(len(example.frames)), source)
        spread = np.linspace(0, len(others) - 1, data.views - 1)
        targets = others[np.round(spread).astype(int)]
        chosen = select(example, np.array([source, *targets]), times)
        if not deep:  # not even at some instants
            chosen = chosen._replace(depth16=np.full_like(chosen.depth16, b""))
        return grid_in_source(decode(chosen, height=data.height, width=data.width))
