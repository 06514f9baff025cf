"""Pictures for people: labelled contact sheets, coloured depth, camera frustums."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Shaped, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from full4d_jax.cameras import Cameras
from full4d_jax.grid import Grid, Origin
from full4d_jax.media.video_io import write_video
from input_pipeline import pinhole, whole_files

Sheet = UInt8[ndarray, "H W 3"]
Picture = UInt8[ndarray, "h w 3"]
# Colours of a drawing, RGB.
PAPER = (255, 255, 255)
INK = (30, 30, 30)
FAINT = (205, 205, 205)
SOURCE_INK = (200, 40, 40)
TARGET_INK = (40, 90, 200)
# Around each picture.
MARGIN_PIXELS = 8
# The height of letters.
FONT_PIXELS = 14
# The border of frames that were not generated.
REAL_BORDER = (240, 130, 20)


def to_uint8(frames: Float[ArrayLike, "..."]) -> UInt8[ndarray, "..."]:
    """Return pictures in [0, 1] as bytes, clipped."""
    return np.round(np.clip(np.asarray(frames, np.float32), 0, 1) * 255).astype(
        np.uint8
    )


def to_model(pictures: Shaped[ndarray | Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return sRGB pictures of 256 levels as the models take them, float32 in [-1, 1]."""
    return jnp.asarray(pictures, jnp.float32) / 127.5 - 1


def to_unit(frames: Float[ArrayLike, "..."]) -> Float[ndarray, "..."]:
    """Map [-1, 1] to [0, 1], clipped."""
    return np.clip(np.asarray(frames, np.float32) / 2 + 0.5, 0, 1)


def color_depth(depth: Float[ndarray, "... h w"]) -> UInt8[ndarray, "... h w 3"]:
    """Draw disparity in Turbo's colours: near is red, far is blue, unknown depth (0) is black."""
    is_known = depth > 0
    disparity = np.where(is_known, 1 / np.where(is_known, depth, 1), 0)
    nearest = np.quantile(disparity[is_known], 0.98) if is_known.any() else 1.0
    bytes_ = to_uint8(disparity / nearest).reshape(-1, depth.shape[-1])
    colors = cv2.applyColorMap(bytes_, cv2.COLORMAP_TURBO)[..., ::-1]
    return colors.reshape(*depth.shape, 3) * is_known[..., None]


def contact_sheet(
    pictures: UInt8[ndarray, "v t h w 3"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
    aside: UInt8[ndarray, "_ _ 3"] | None = None,
    cell_height: int = 128,
) -> Sheet:
    """Draw a labelled grid of pictures, with another picture to its right.

    Args:
      pictures: one row of the sheet per first index; scaled to `cell_height`.
      rows: a label for each row.
      columns: a label for each column.
      title: written above the grid.
      aside: put beside the grid as it is.
      cell_height: pixels.
    """
    v, t, h, w = pictures.shape[:4]
    cell_width = round(cell_height * w / h)
    font = ImageFont.load_default(FONT_PIXELS)
    left = 2 * MARGIN_PIXELS + int(max(font.getlength(label) for label in rows))
    # Pixels, about.
    widest_word = 80
    pitch = MARGIN_PIXELS + max(cell_width, widest_word)
    letters = int((pitch - MARGIN_PIXELS) / font.getlength("n"))
    columns = [
        textwrap.fill(label, letters, break_long_words=False) for label in columns
    ]
    lines = 1 + max(label.count("\n") for label in columns)
    title_height = FONT_PIXELS + MARGIN_PIXELS if title else 0
    top = 2 * MARGIN_PIXELS + lines * FONT_PIXELS + title_height
    size = left + t * pitch, top + v * (cell_height + MARGIN_PIXELS)
    across = 0 if aside is None else aside.shape[1] + MARGIN_PIXELS
    down = 0 if aside is None else aside.shape[0] + 2 * MARGIN_PIXELS
    page = Image.new("RGB", (size[0] + across, max(size[1], down)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN_PIXELS, MARGIN_PIXELS), title, INK, font)
    for j, label in enumerate(columns):
        place = left + j * pitch + cell_width // 2, top - MARGIN_PIXELS // 2
        draw.text(place, label, INK, font, anchor="md", align="center", spacing=0)
    for i, label in enumerate(rows):
        y = top + i * (cell_height + MARGIN_PIXELS)
        draw.text((MARGIN_PIXELS, y + cell_height // 2), label, INK, font, anchor="lm")
        for j in range(t):
            cell = Image.fromarray(pictures[i, j]).resize((cell_width, cell_height))
            page.paste(cell, (left + j * pitch, y))
    if aside is not None:
        page.paste(Image.fromarray(aside), (size[0], MARGIN_PIXELS))
    return np.asarray(page)


def frustums(
    views: Cameras, *, points: Float[ndarray, "n 3"] | None = None, side: int = 320
) -> UInt8[ndarray, "{2*side} {side} 3"]:
    """Draw the cameras from above (z up the page) and, below, from the right (z to the right).

    Every camera is drawn at its first instant, its path as a line; view 0, the source, is red. The
    cross is the pivot at depth 1 on the source's axis.

    Args:
      views: the cameras, the source first.
      points: scene points to show behind the cameras, world units.
      side: pixels of each of the two drawings.
    """
    poses = np.asarray(views.world_to_camera)
    height, width = views.height, views.width
    # The corners of each picture, a step before its camera, and the paths of the centres.
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
    # World units.
    frustum_length = 0.3
    lenses = np.linalg.inv(np.asarray(views.intrinsics))
    rays = corners @ np.swapaxes(lenses, -1, -2) * frustum_length
    pose = pinhole.invert(poses[:, 0])
    tips = rays @ np.swapaxes(pose[:, :3, :3], -1, -2) + pose[:, None, :3, 3]
    paths = pinhole.centers(poses)
    pivot = np.array([0.0, 0.0, 1.0])
    # Every line, the source's last, on top.
    lines = [(np.stack([pivot - arm, pivot + arm]), INK) for arm in 0.05 * np.eye(3)]
    for i in reversed(range(len(paths))):
        ink = TARGET_INK if i else SOURCE_INK
        eyes = np.tile(paths[i, 0], (4, 1))
        sides = np.stack([eyes, tips[i], np.roll(tips[i], -1, 0)], 1)
        lines += [(paths[i], ink), *((triangle, ink) for triangle in sides)]
    # Both panels show the same cube, which holds all of it.
    shown = np.concatenate(
        [tips.reshape(-1, 3), paths.reshape(-1, 3), [pivot, 2 * pivot]]
    )
    low = shown.min(0)
    high = shown.max(0)
    span = (high - low).max() * 1.1
    # OpenCV takes places in eighths of a pixel.
    eighths = 8

    def place(where, to_page):
        flat = (where - (low + high) / 2) @ to_page + 0.5
        return np.round(flat * side * eighths).astype(np.int32)

    panels = []
    x, y, z = np.eye(3)
    for title, right, up in (("from above", x, z), ("from the right", z, -y)):
        page = np.full((side, side, 3), PAPER, np.uint8)
        to_page = np.stack([right, -up], 1) / span

        if points is not None:
            columns, rows = (place(points, to_page) // eighths).clip(0, side - 1).T
            page[rows, columns] = FAINT
        for line, ink in lines:
            cv2.polylines(
                page, [place(line, to_page)], False, ink, 1, cv2.LINE_AA, shift=3
            )
        cv2.rectangle(page, (0, 0), (side - 1, side - 1), FAINT)
        drawn = Image.fromarray(page)
        font = ImageFont.load_default(FONT_PIXELS)
        ImageDraw.Draw(drawn).text((MARGIN_PIXELS, MARGIN_PIXELS), title, INK, font)
        panels.append(np.asarray(drawn))
    return np.concatenate(panels)


def save_picture(path: str | Path, picture: Picture) -> None:
    """Write a picture in the format of the name's ending."""
    with whole_files.whole_file(Path(path)) as partial:
        Image.fromarray(picture).save(partial)


def write_grid(
    folder: Path, grid: Grid, projection: UInt8[ndarray, "n t h w 3"] | None
) -> None:
    """Write `grid.mp4`, all views side by side, and `grid.png`, a sheet of sources and results."""
    credit = grid.about.credit
    write_side_by_side(folder / "grid.mp4", grid.frames, grid.fps, credit)
    sheet = (
        filled_sheet(grid) if projection is None else projected_sheet(grid, projection)
    )
    save_picture(folder / "grid.png", sheet)


def projected_sheet(grid: Grid, projection: UInt8[ndarray, "n t h w 3"]) -> Sheet:
    """Return a sheet of a grid's real views, and of the others with their projection."""
    assert grid.cameras is not None, "a projection needs cameras"
    frames = grid.frames
    real = grid.real_rows
    rows = ["source", *(f"view {view}: real" for view in range(1, real))]
    pictures = list(frames[:real])
    for view in range(real, len(frames)):
        rows += [f"view {view}: projected", f"view {view}: completed"]
        pictures += [projection[view - 1], frames[view]]
    return contact_sheet(
        np.stack(pictures),
        rows=rows,
        columns=_seconds(grid),
        title="the source, its projection into each target camera, and the completed views",
        aside=frustums(grid.cameras),
    )


def filled_sheet(grid: Grid) -> Sheet:
    """Return a sheet of a grid's frames, in which real ones have a border."""
    pictures = np.stack([[enlarge(x, 2) for x in row] for row in grid.frames])
    height, width = pictures.shape[2:4]
    corners = (0, 0), (width - 1, height - 1)
    for view, time in np.argwhere(grid.origin == Origin.REAL):
        cv2.rectangle(pictures[view, time], *corners, REAL_BORDER, thickness=6)
    return contact_sheet(
        pictures,
        rows=[f"view {view}" for view in range(len(grid.frames))],
        columns=_seconds(grid),
        title="real frames have an orange border, the others were generated",
    )


def _seconds(grid: Grid) -> list[str]:
    """Return labels with the seconds of a grid's instants from its first on."""
    return [f"{time - grid.times[0]:.2f} s" for time in grid.times]


def write_side_by_side(
    path: Path, frames: UInt8[ndarray, "v t h w 3"], fps: float, credit: str = ""
) -> None:
    """Write a video of all views beside each other, there and back, for three seconds at least."""
    # Encoders refuse twice as many, and players know no more.
    most_columns = 8192
    least_seconds = 3.0
    joined = np.concatenate(list(frames), axis=2)
    height, width = joined.shape[1:3]
    scale = (
        min(max(1, round(256 / height)), most_columns // width) or most_columns / width
    )
    large = [enlarge(picture, scale) for picture in joined]
    turn = large + large[-2:0:-1]
    repeats = max(1, round(least_seconds * fps / len(turn)))
    write_video(path, np.stack(turn * repeats), fps, credit=credit)


def enlarge(picture: Picture, scale: float) -> Sheet:
    """Scale a picture by a factor, smooth between the pixels."""
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
