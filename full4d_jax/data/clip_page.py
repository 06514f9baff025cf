"""A picture of a clip: some of its frames, and its camera frustums."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageOps

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.arrays import Picture
from full4d_jax.media import pictures
from input_pipeline import pinhole, transforms
from input_pipeline.schema import Example
from input_pipeline.selection import evenly

# Of any size; None where a file does not decode.
Frame = UInt8[ndarray, "_ _ 3"] | None
# Pixels, of a picture on the page.
CELL_HEIGHT = 240


def clip_page(
    example: Example,
    frames: Sequence[Sequence[Frame]],
    instants: Sequence[int],
    title: str,
    points: Float[ndarray, "n 3"] | None = None,
) -> Picture:
    """Return a picture of some instants of a clip, dark outside of masks, and of the frustums.

    Of more than 12 views, 12 evenly spaced ones are shown.

    Args:
      example: the clip.
      frames: the decoded frames of all views at these instants.
      instants: their numbers.
      title: stands above.
      points: places in the cameras' world, drawn among the frustums.
    """
    most_views = 12
    # Where a view has no picture.
    grey = 128
    shapes = [frame.shape[:2] for view in frames for frame in view if frame is not None]
    shape = shapes[0] if shapes else (1, 1)
    size = round(CELL_HEIGHT * shape[1] / shape[0]), CELL_HEIGHT
    views = evenly(len(frames), most_views)
    cells = np.full((len(views), len(instants), *size[::-1], 3), grey, np.uint8)
    for row, view in enumerate(views):
        for column, instant in enumerate(instants):
            frame = frames[view][column]
            if frame is not None:
                shown = Image.fromarray(_masked(frame, example.masks[view, instant]))
                padded = ImageOps.pad(shown, size, color=(grey, grey, grey))
                cells[row, column] = np.asarray(padded)
    return pictures.contact_sheet(
        cells,
        rows=[f"view {view}" for view in views],
        columns=[f"{example.timestamps[0, instant]:.2f} s" for instant in instants],
        title=title,
        aside=_frustums(example, shape, np.zeros((0, 3)) if points is None else points),
        cell_height=CELL_HEIGHT,
    )


def preview(example: Example) -> Picture:
    """Return a page of a clip whose files are whole; as `clip_page`, of four instants."""
    v, t = example.frames.shape
    instants = evenly(t, 4)
    decode = transforms.decode_frame
    frames = [[decode(view, i) for i in instants] for view in example.frames]
    title = f"{example.scene_id}: {v} views of {t} frames"
    return clip_page(example, frames, instants, title)


def _frustums(
    example: Example, shape: tuple[int, int], points: Float[ndarray, "n 3"]
) -> Picture:
    """Draw the frustums in the first camera's world; its distance from the common middle is 1."""
    most_points = 4000
    # From the first camera, in the plot's unit.
    farthest_point = 5.0
    poses = example.world_to_camera.astype(np.float64)
    reference = poses[0, 0]
    poses = pinhole.relative_to(poses, reference)
    places = points @ reference[:3, :3].T + reference[:3, 3]
    # Without a common middle, the unit is that of the points' depth, or of the camera's way.
    middle = pinhole.nearest_to_axes(poses[:, 0]) if len(poses) > 1 else None
    depths = places[places[:, 2] > 0, 2]
    if middle is not None:
        unit = float(np.linalg.norm(middle))
    elif depths.size:
        unit = float(np.median(depths))
    else:
        unit = float(np.linalg.norm(pinhole.centers(poses), axis=-1).max()) or 1.0
    step = max(1, len(places) // most_points)
    near = places[np.linalg.norm(places, axis=1) < farthest_point * unit][::step]
    lenses = example.intrinsics.astype(np.float64)
    rig = Cameras(lenses, pinhole.rescale(poses, unit), *shape)
    return pictures.frustums(rig, points=near / unit)


def _masked(frame: Picture, file: bytes) -> Picture:
    """Darken a frame outside of its mask, if that fits; `check_masks` reports the others."""
    if not file:
        return frame
    try:
        mask = transforms.decode_mask(file)
    except ValueError:
        return frame
    fits = mask.shape == frame.shape[:2]
    return np.where(mask[..., None] > 0, frame, frame // 4) if fits else frame
