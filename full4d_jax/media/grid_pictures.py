"""Pictures and videos of a grid of views, for people to look at."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from full4d_jax.grid import Grid, Origin
from full4d_jax.media.pictures import contact_sheet, frustums, save_picture
from full4d_jax.media.video import write_video

REAL_BORDER = (240, 130, 20)  # border of frames that were not generated
MIN_SECONDS = 3.0  # seconds that grid.mp4 lasts at least, there and back


def write_grid(folder: Path, grid: Grid, projection: UInt8[ndarray, "n t h w 3"] | None) -> None:
    """Write `grid.mp4`, all views side by side, and `grid.png`, a sheet of what made them."""
    write_side_by_side(folder / "grid.mp4", grid.frames, grid.fps)
    sheet = filled_sheet(grid) if projection is None else projected_sheet(grid, projection)
    save_picture(folder / "grid.png", sheet)


def projected_sheet(grid: Grid, projection: UInt8[ndarray, "n t h w 3"]) -> UInt8[ndarray, "H W 3"]:
    """Return a sheet of a grid's real views, and of the others with their projection."""
    assert grid.cameras is not None, "a projection needs cameras"
    frames = grid.frames
    real = grid.real_rows
    rows = ["source", *(f"view {view}: real" for view in range(1, real))]
    pictures = list(frames[:real])
    for view in range(real, len(frames)):
        rows += [f"view {view}: projected", f"view {view}: generated"]
        pictures += [projection[view - 1], frames[view]]
    return contact_sheet(
        np.stack(pictures),
        rows=rows,
        columns=_seconds(grid),
        title="the source, its projection into each target camera, and what the prior made of it",
        aside=frustums(grid.cameras),
    )


def filled_sheet(grid: Grid) -> UInt8[ndarray, "H W 3"]:
    """Return a sheet of a grid's frames, in which real ones have a border."""
    pictures = np.stack([[enlarge(x, 2) for x in row] for row in grid.frames])
    for view, time in np.argwhere(grid.origin == Origin.REAL):
        height, width = pictures.shape[2:4]
        cv2.rectangle(
            pictures[view, time], (0, 0), (width - 1, height - 1), REAL_BORDER, thickness=6
        )
    return contact_sheet(
        pictures,
        rows=[f"view {view}" for view in range(len(grid.frames))],
        columns=_seconds(grid),
        title="real frames have an orange border, the others were generated",
    )


def _seconds(grid: Grid) -> list[str]:
    """Return labels with the seconds of a grid's instants from its first on."""
    return [f"{time - grid.times[0]:.2f} s" for time in grid.times]


def write_side_by_side(path: Path, frames: UInt8[ndarray, "v t h w 3"], fps: float) -> None:
    """Write a video of all views beside each other, there and back."""
    joined = np.concatenate(list(frames), axis=2)
    scale = max(1, round(256 / frames.shape[2]))
    large = [enlarge(picture, scale) for picture in joined]
    turn = large + large[-2:0:-1]
    repeats = max(1, round(MIN_SECONDS * fps / len(turn)))
    write_video(path, np.stack(turn * repeats), fps)


def enlarge(picture: UInt8[ndarray, "h w 3"], scale: int) -> UInt8[ndarray, "H W 3"]:
    """Enlarge a picture by a whole factor, smooth between the pixels."""
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
