"""The page of a checked clip: its pictures, and where the cameras stand."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.checks.clip import ClipCheck
from input_pipeline.checks.pictures import Pictures
from input_pipeline.schema import Example
from input_pipeline.selection import evenly
from input_pipeline.transforms import decode_mask

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
