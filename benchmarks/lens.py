"""How well do straight lines tell the field of view? One JSON line comes last.

    python benchmarks/lens.py [--first 286 --scenes 74 --photos FOLDER]

`full4d_jax.source.vanishing_points` looks at pictures, 256 pixels on the short side, of sets whose
field of view along the long side is known:

    rich       held-out rich scenes from number `--first` on, of 40 to 100 degrees, at two instants
    pose2sim   four calibrated cameras in one hall, at four instants
    rgbd       frames of four indoor scenes, of which two are rendered
    fox        photographs of a fox (`fox_photos`), with few lines along three directions
    photos     those of a folder whose metadata tell the focal length as on 35 mm film

All but the first are also seen through their middle, `ZOOMS` of each side, as by digital zoom. A
row tells how many pictures there are and of how many lines tell a field of view, the median and
worst error of these in degrees, and the errors of the 65 degrees that are assumed otherwise, on the
same pictures. Then comes what is told of each clip in `real_videos`, whose lenses nobody knows.

Thresholds were chosen on rich scenes below 286, on pose2sim, rgbd and fox.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from common import shared_folder
from jaxtyping import Array, Float, Integer, UInt8
from numpy import ndarray
from PIL import Image, ImageOps

from full4d_jax.cameras import sides
from full4d_jax.source.camera_paths import cropped_fov
from full4d_jax.source.lens import DEFAULT_FOV, focal_length, fov_of
from full4d_jax.source.vanishing_points import field_of_view
from input_pipeline.footage import PICTURES, VIDEOS, listed, read_picture
from input_pipeline.procedural.scene import HELD_OUT_START, picture, sample_filmed_world

ROWS = 256  # of rich scenes
COLUMNS = 344
MULTIPLE = 8  # of the sides, pixels
WIDE = 40.0, 100.0  # degrees, of rich scenes
INSTANTS = 4  # of a video
ZOOMS = 1.0, 0.75, 0.55  # shares of the sides that are seen
WALKER_WIDTH = 1080  # of the cameras of pose2sim, two have eight more columns on the right
PRIME_SENSE = 525.0  # pixels of 640, as Open3D takes it
SENSORS = {  # pixels of 640, as the authors of the frames take it
    "redwood": PRIME_SENSE,
    "tum": PRIME_SENSE,
    "slambook2_ch5": 518.0,
    "slambook2_ch12": 481.2,
}


class View(NamedTuple):
    """Frames (t h w 3) of one camera, and its field of view along the long side, degrees."""

    frames: UInt8[ndarray, "t h w 3"]
    fov: float


def main() -> None:
    """Measure, print a table, then the JSON line."""
    options = parser().parse_args()
    data = shared_folder() / "data"
    sets = {
        "rich": rich(options.first, options.scenes),
        "pose2sim": zoomed(pose2sim(data / "pose2sim")),
        "rgbd": zoomed(rgbd(data / "rgbd")),
        "fox": zoomed(fox(data / "fox_photos")),
        "photos": zoomed(photographs(options.photos)),
    }
    results = {}
    print("set       pictures  answered   median    worst   median of 65   worst of 65")
    for name, views in sets.items():
        fields_of_view = [(view.fov, field_of_view(view.frames)) for view in views]
        if fields_of_view:
            results[name] = errors(fields_of_view)
            print(row(name, results[name]), flush=True)
    clips = {file.stem: clip_field_of_view(file) for file in listed(data / "real_videos", VIDEOS)}
    for name, fov in clips.items():
        print(f"{'-' if fov is None else f'{fov:.1f}':>6}  {name}")
    results["clips"] = {name: fov for name, fov in clips.items() if fov is not None}
    print(json.dumps(results))


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("--first", type=int, default=286, help="first held-out scene")
    options.add_argument("--scenes", type=int, default=74)
    options.add_argument("--photos", type=Path, help="folder of photographs with metadata")
    return options


def errors(fields_of_view: list[tuple[float, float | None]]) -> dict[str, float | None]:
    """Return the scores of pairs of a true field of view and its estimate, degrees.

    Pictures whose lines tell nothing have no estimate, and count for `pictures` alone.
    """
    answered = [(true, estimate) for true, estimate in fields_of_view if estimate is not None]
    away = [abs(estimate - true) for true, estimate in answered]
    assumed = [abs(DEFAULT_FOV - true) for true, _ in answered]
    return {
        "pictures": len(fields_of_view),
        "answered": len(answered),
        "median": round(float(np.median(away)), 2) if away else None,
        "worst": round(max(away), 2) if away else None,
        "assumed_median": round(float(np.median(assumed)), 2) if away else None,
        "assumed_worst": round(max(assumed), 2) if away else None,
    }


def row(name: str, scores: dict[str, float | None]) -> str:
    """Return a line of the table."""
    degrees = [scores[key] for key in ("median", "worst", "assumed_median", "assumed_worst")]
    cells = ["-" if x is None else f"{x:.2f}" for x in degrees]
    widths = (9, 9, 15, 14)
    aligned = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{name:10}{scores['pictures']:8}{scores['answered']:10}{aligned}"


def clip_field_of_view(file: Path) -> float | None:
    """Return a clip's field of view along the long side, degrees; None where no lines tell it."""
    fov = field_of_view(read_frames(file, ROWS, INSTANTS))
    return None if fov is None else round(fov, 1)


def read_frames(file: Path, rows: int, count: int) -> UInt8[ndarray, "t h w 3"]:
    """Return frames spread over a video, whose short side is `rows`."""
    film = cv2.VideoCapture(str(file))
    length = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = []
    for number in np.linspace(0, 0.9 * (length - 1), count).astype(int):
        film.set(cv2.CAP_PROP_POS_FRAMES, int(number))
        _, frame = film.read()
        height, width = sides(frame.shape[0], frame.shape[1], rows, MULTIPLE)
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def rich(first: int, count: int) -> Iterator[View]:
    """Yield rendered scenes, whose lens is replaced."""
    for index in range(first, first + count):
        fov = np.random.default_rng(index).uniform(*WIDE)
        frames = rich_frames(jnp.uint32(HELD_OUT_START + index), jnp.float32(fov))
        yield View(np.asarray(jnp.round(frames * 255)).astype(np.uint8), fov)


@jax.jit
def rich_frames(index: Integer[Array, ""], fov: Float[Array, ""]) -> Float[Array, "t h w 3"]:
    """Return pictures in [0, 1] of a scene from its source camera, with this field of view."""
    filmed = sample_filmed_world(
        index, views=1, frames=2, height=ROWS, width=COLUMNS, worlds="rich"
    )
    focal_length = 0.5 * COLUMNS / jnp.tan(jnp.deg2rad(fov) / 2)
    lens = filmed.intrinsics.at[0, 0].set(focal_length).at[1, 1].set(focal_length)
    filmed = filmed._replace(intrinsics=lens)
    frames = []
    for t in range(2):
        pose = filmed.camera_to_world[0, t]
        colors, _, _ = picture(filmed, ROWS, COLUMNS, None, filmed.timestamps[t], pose)
        frames.append(colors.T.reshape(ROWS, COLUMNS, 3))
    return jnp.stack(frames)


def pose2sim(folder: Path) -> Iterator[View]:
    """Yield instants of the four cameras."""
    if not folder.is_dir():
        return
    for camera in json.loads((folder / "cameras_opencv.json").read_text())["cameras"]:
        film = cv2.VideoCapture(str(folder / f"{camera['name']}.mp4"))
        frames = []
        for number in range(0, 100, 100 // INSTANTS):
            film.set(cv2.CAP_PROP_POS_FRAMES, number)
            _, frame = film.read()
            frames.append(cv2.cvtColor(frame[:, :WALKER_WIDTH], cv2.COLOR_BGR2RGB))
        yield View(np.stack(frames), angle(camera["height"], camera["K"][1][1]))


def rgbd(folder: Path) -> Iterator[View]:
    """Yield the frames of RGB-D cameras."""
    for file in sorted(folder.glob("*_color.jpg")):
        pixels = next(focal for name, focal in SENSORS.items() if file.name.startswith(name))
        frame = read_picture(file)
        yield View(frame[None], angle(frame.shape[1], pixels))


def fox(folder: Path) -> Iterator[View]:
    """Yield the photographs of the fox."""
    if not folder.is_dir():
        return
    lens = json.loads((folder / "transforms.json").read_text())
    for file in listed(folder / "images", PICTURES):
        yield View(read_picture(file)[None], angle(lens["h"], lens["fl_y"]))


def photographs(folder: Path | None) -> Iterator[View]:
    """Yield the upright photographs of a folder that tell their focal length."""
    for file in listed(folder, PICTURES) if folder else []:
        equivalent = focal_length(file)
        if equivalent is None:
            continue
        with Image.open(file) as stored:
            frame = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
        short, long = sorted(frame.shape[:2])
        yield View(frame[None], fov_of(equivalent, short, long))


def angle(side: float, focal_length: float) -> float:
    """Return the field of view along a side, degrees; both in pixels."""
    return float(np.degrees(2 * np.arctan(side / 2 / focal_length)))


def zoomed(views: Iterator[View]) -> Iterator[View]:
    """Yield the middle of views, `ZOOMS` of their sides, at `ROWS` pixels of the short side."""
    for view in views:
        height, width = view.frames.shape[1:3]
        for zoom in ZOOMS:
            top = round((1 - zoom) / 2 * height)
            left = round((1 - zoom) / 2 * width)
            middle = view.frames[:, top : height - top, left : width - left]
            small = [resized(frame) for frame in middle]
            yield View(np.stack(small), cropped_fov(view.fov, zoom))


def resized(frame: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "r q 3"]:
    """Return a picture whose short side is `ROWS`."""
    rows, columns = sides(frame.shape[0], frame.shape[1], ROWS, MULTIPLE)
    interpolation = cv2.INTER_AREA if rows < len(frame) else cv2.INTER_CUBIC
    return cv2.resize(frame, (columns, rows), interpolation=interpolation)


if __name__ == "__main__":
    main()
