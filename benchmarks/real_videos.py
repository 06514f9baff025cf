"""Draws real videos seen from -20 to 20 degrees, before and after what is meant to help.

    python benchmarks/real_videos.py [--better DEPTH.safetensors] --out OUT

Nothing is scored: nobody filmed these angles. `OUT/real_CLIP.jpg` shows the last instant of a clip
in the folder that FULL4D_DATA names, as the cascade generates it. Rows compare our depth network
with `--better`; for a camera that stands still, single frames with what stays known of others
(`generation.seen_before`); for one that moves, a camera that is taken to stand still with the path
that is found (which needs the extra `colmap`).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.config import DEFAULT
from full4d_jax.generation.cascade import (
    Upsampler,
    enlarge_grid,
    generate_small,
    in_parts,
    load_upsampler,
)
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.seen_before import seen_before
from full4d_jax.generation.several_views import RealViews
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import Progress
from full4d_jax.source.aiming import aim
from full4d_jax.source.camera_paths import TargetCameras, beside, still_camera
from full4d_jax.source.depth.clip_depth import AnyNetwork
from full4d_jax.source.depth.estimators import load_network
from full4d_jax.source.handheld.measured_depth import measure_depth
from full4d_jax.source.handheld.path_scale import in_unit, source_moves
from full4d_jax.source.options import PathOptions, SizeOptions, VideoOptions
from full4d_jax.source.size import size_of_result
from full4d_jax.source.source import Source
from full4d_jax.source.video_source import open_video
from input_pipeline.cameras import orbit

ANGLES = (-20, -10, 0, 10, 20)
SHAPE = 180, 240  # of a cell, pixels


class Clip(NamedTuple):
    """A clip of the folder: where it starts, how long it is taken, and how many frames a second."""

    name: str
    path: str
    start: float
    seconds: float
    fps: float


class Models(NamedTuple):
    """The networks but for those of depth."""

    prior: Prior
    upsampler: Upsampler


CLIPS = (
    Clip("person", "real_videos/intel_one-by-one-person-detection_0.mp4", 1.0, 2.5, 4.0),
    Clip("moving_camera", "videos/bikes.mp4", 7.7, 1.0, 8.0),
    Clip("flower", "real_videos/mdn_flower.mp4", 2.0, 2.0, 4.0),
)


def main() -> None:
    """Generate the views, draw them, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--better", help="another depth network, .safetensors or .onnx")
    parser.add_argument("--clips", type=int, default=len(CLIPS), help="how many of the clips")
    parser.add_argument("--rows", type=int, default=256, help="short side, pixels")
    parser.add_argument("--out", type=Path, default=Path("out/real_videos"), help="folder")
    options = parser.parse_args()
    if options.clips < 1:
        raise SystemExit(f"--clips: found {options.clips}, expected at least 1")
    data = shared_folder() / "data"
    clips = [clip for clip in CLIPS[: options.clips] if (data / clip.path).is_file()]
    if not clips:
        names = ", ".join(clip.path for clip in CLIPS)
        raise SystemExit(f"FULL4D_DATA: found no clip in {data}, expected {names}")
    models = Models(in_parts(open_prior(DEFAULT), DEFAULT.data), load_upsampler())
    if options.rows <= models.upsampler.prior_rows:
        least = models.upsampler.prior_rows + 1
        raise SystemExit(f"--rows: found {options.rows}, expected at least {least}")
    networks = {"our depth": load_network(None)}
    try:
        if options.better is not None:
            networks["better depth"] = load_network(options.better)
    except InputError as error:
        raise SystemExit(str(error)) from None
    options.out.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        source = opened(clip, data, options.rows)
        path = options.out / f"real_{clip.name}.jpg"
        save_picture(path, drawn(clip, source, models, networks))
        print(f"picture: {path}")
    print(json.dumps({"clips": len(clips), "networks": len(networks)}))


def opened(clip: Clip, data: Path, rows: int) -> Source:
    """Return a clip with the path of its camera."""
    size = SizeOptions(rows=rows, seconds=clip.seconds)
    way = VideoOptions(data / clip.path, start=clip.start, fps=clip.fps, size=size)
    source = open_video(size_of_result(DEFAULT, way, enlarged=True), way)
    print(f"{clip.name}: {source.note}{'; ' * bool(source.warning)}{source.warning}")
    return source


def drawn(
    clip: Clip, source: Source, models: Models, networks: dict[str, AnyNetwork]
) -> UInt8[ndarray, "H W 3"]:
    """Return the picture of a clip: a row for each depth network, without and with what helps."""
    rows = {}
    frames, moves = source.frames[0], source_moves(source)
    with Progress(clip.name, 2 * len(networks)) as report:
        for name, network in networks.items():
            if moves:
                ways = {"taken to stand still": stood_still(source), "with its path": source}
                views = {way: generated(models, network, x) for way, x in ways.items()}
            else:
                ways = {"single frames": False, "what was seen": True}
                views = {way: generated(models, network, source, x) for way, x in ways.items()}
            for way, pictures in views.items():
                rows[f"{name}, {way}"] = [frames[0], frames[-1], *pictures]
                report(len(rows))
    cells = np.stack([np.stack([_cell(picture) for picture in row]) for row in rows.values()])
    columns = ["first frame", "last frame", *(f"{angle}°" for angle in ANGLES)]
    return contact_sheet(cells, rows=list(rows), columns=columns, cell_height=SHAPE[0])


def stood_still(source: Source) -> Source:
    """Return a source whose camera is taken to stand still."""
    cameras = source.cameras
    assert cameras is not None, "a video has a camera"
    size = {"frames": len(source.times), "height": cameras.height, "width": cameras.width}
    still = still_camera(np.asarray(cameras.intrinsics[0]), **size)
    return replace(source, cameras=still, points=None)


def generated(
    models: Models, network: AnyNetwork, source: Source, with_hidden: bool = True
) -> UInt8[ndarray, "angles h w 3"]:
    """Return the last instant from all angles, as `full4d sample` makes it.

    Args:
      models: the prior and what enlarges its frames.
      network: estimates depth.
      source: the clip, with its camera.
      with_hidden: whether points that were seen at other instants are used.
    """
    frames = jnp.asarray(source.frames[0], jnp.float32) / 127.5 - 1
    depth, unit, *_ = measure_depth(source, network)
    source = in_unit(source, unit)
    assert source.cameras is not None, "a video has a camera"
    poses = orbit(np.array(ANGLES, np.float64), np.zeros(len(ANGLES)))
    targets = TargetCameras(None, poses[:, None].repeat(len(frames), 1).astype(np.float32))
    targets, _ = aim(targets, PathOptions(), source, depth)
    depth = jnp.asarray(depth)
    cameras = beside(source.cameras, targets)
    key, rows = jax.random.key(DEFAULT.seed), models.upsampler.prior_rows
    small = generate_small(models.prior, frames, depth, cameras, key, rows)
    known = seen_before(frames, depth, cameras.intrinsics[0], cameras.world_to_camera[0])
    if not with_hidden:
        known = known._replace(hidden=jnp.zeros_like(known.hidden))
    real = RealViews(frames[None], depth[None])
    made, _ = enlarge_grid(models.upsampler, small[1:], real, (known,), cameras)
    return to_uint8(to_unit(made[:, -1]))


def _cell(picture: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "r q 3"]:
    """Cut the middle of a picture to the shape of a cell."""
    height, width = picture.shape[:2]
    shape = SHAPE[1] / SHAPE[0]
    r, q = min(height, round(width / shape)), min(width, round(height * shape))
    top, left = (height - r) // 2, (width - q) // 2
    cut = np.ascontiguousarray(picture[top : top + r, left : left + q])
    return cv2.resize(cut, SHAPE[::-1], interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
