"""The page of a checked clip: its pictures, a floor in every view, and where the cameras stand."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.data.floor_grid import draw_floor, floor_grid
from full4d_jax.media import pictures
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.checks.clip import ClipCheck
from input_pipeline.checks.pictures import Pictures
from input_pipeline.schema import Example
from input_pipeline.selection import evenly
from input_pipeline.transforms import decode_mask

CELL = 240  # rows of a picture on the page
MOST_VIEWS = 12  # rows of the page
MOST_POINTS = 4000
UNKNOWN = "no floor: up is unknown, give --up"


def check_page(
    example: Example,
    decoded: Pictures,
    check: ClipCheck,
    title: str,
    up: Float[ndarray, "3"] | None = None,
) -> UInt8[ndarray, "H W 3"]:
    """All instants that were looked at, the first again with a floor, and the frustums.

    There is no floor where up is not given and nothing tells it. Frames are dark outside of their
    masks. Of more than 12 views, 12 evenly spaced ones are shown.
    """
    v = len(decoded.frames)
    shown = evenly(v, MOST_VIEWS)
    first = decoded.instants[0]
    poses = example.world_to_camera.astype(np.float64)
    grid = floor_grid(poses[:, first], check.points, up)
    label = UNKNOWN if grid is None else grid.label
    shape = next((sizes[0] for sizes in decoded.shapes if sizes), (1, 1))
    width = round(CELL * shape[1] / shape[0])
    rows = []
    for view in shown:
        frames = decoded.frames[view]
        lens = example.intrinsics[view], poses[view, first], example.distortion[view]
        floor = frames[0]
        if floor is not None and grid is not None:
            floor = draw_floor(floor, grid, *lens)
        masked = map(_masked, frames, example.masks[view, decoded.instants])
        rows.append(np.stack([_fit(frame, CELL, width) for frame in [*masked, floor]]))
    times = [f"{example.timestamps[0, instant]:.2f} s" for instant in decoded.instants]
    return pictures.contact_sheet(
        np.stack(rows),
        rows=[f"view {view}" for view in shown],
        columns=[*times, label if width > 200 else "floor" if grid else "no floor"],
        title=f"{title}: {len(check.problems)} problems",
        aside=_frustums(example, check.points, shape),
        cell_height=CELL,
    )


def verdict(check: ClipCheck) -> str:
    """The clip in a few words."""
    if check.problems:
        return f"{len(check.problems)} problems, {check.problems[0]}"
    return check.notes[0] if check.notes else "no problems"


def _frustums(
    example: Example, points: Float[ndarray, "n 3"], shape: tuple[int, int]
) -> UInt8[ndarray, "H W 3"]:
    """Draw the frustums in the first camera's world; its distance from the common middle is 1."""
    poses = example.world_to_camera.astype(np.float64)
    reference = poses[0, 0]
    poses = relative_to(poses, reference)
    places = points @ reference[:3, :3].T + reference[:3, 3]
    pivot = nearest_to_axes(poses[:, 0])
    known = places[places[:, 2] > 0, 2]
    depth = float(np.median(known)) if known.size else 1.0
    unit = float(np.linalg.norm(pivot)) if pivot is not None else depth
    step = max(1, len(places) // MOST_POINTS)
    near = places[np.linalg.norm(places, axis=1) < 5 * unit][::step]
    return pictures.frustums(
        Cameras(example.intrinsics.astype(np.float64), rescale(poses, unit), *shape),
        points=near / unit,
    )


def _masked(frame: UInt8[ndarray, "h w 3"] | None, file: bytes) -> UInt8[ndarray, "h w 3"] | None:
    """Dark outside of a mask that fits; of others `check_masks` speaks."""
    if frame is None or not file:
        return frame
    try:
        mask = decode_mask(file)
    except ValueError:
        return frame
    return pictures.dim_outside(frame, mask) if mask.shape == frame.shape[:2] else frame


def _fit(frame: UInt8[ndarray, "h w 3"] | None, height: int, width: int) -> UInt8[ndarray, "H W 3"]:
    """The whole frame in the middle of a page of that size; grey where there is none."""
    page = np.full((height, width, 3), 128, np.uint8)
    if frame is not None:
        scale = min(height / frame.shape[0], width / frame.shape[1])
        size = [
            max(1, min(n, round(m * scale)))
            for n, m in zip((height, width), frame.shape[:2], strict=True)
        ]
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        page[top : top + size[0], left : left + size[1]] = small
    return page
