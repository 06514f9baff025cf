"""Draws real videos seen from -21 to 21 degrees, with one or several depth networks.

    python benchmarks/real_videos.py [--networks ours OTHER.safetensors ...] --out OUT

Nothing is scored: nobody filmed these angles. Each row of `OUT/real_videos.png` is the last instant
of half a second of a clip in the folder that FULL4D_DATA names, as the cascade generates it.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax import pipeline
from full4d_jax.config import DEFAULT
from full4d_jax.media.pictures import contact_sheet, save_picture
from full4d_jax.source.options import DepthOptions, PathOptions, SizeOptions, VideoOptions

ANGLES = (-21, -7, 0, 7, 21)
SHAPE = 216, 288  # of a cell, pixels


class Clip(NamedTuple):
    """A clip of the folder, and where it starts in seconds."""

    name: str
    path: str
    start: float


CLIPS = (
    Clip("a person", "real_videos/intel_asl_gestures_walk.mp4", 0.0),
    Clip("a walker", "real_videos/intel_one-by-one-person-detection_0.mp4", 0.0),
    Clip("a flower", "real_videos/mdn_flower.mp4", 0.0),
    Clip("a moving camera", "videos/bikes.mp4", 7.7),
)


def main() -> None:
    """Generate the grids, draw them, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["ours"], help="ours, or files")
    parser.add_argument("--clips", type=int, default=len(CLIPS), help="how many of the clips")
    parser.add_argument("--rows", type=int, default=256, help="short side, pixels")
    parser.add_argument("--out", type=Path, default=Path("out/real_videos"), help="folder")
    options = parser.parse_args()
    data = shared_folder() / "data"
    clips = [clip for clip in CLIPS[: options.clips] if (data / clip.path).is_file()]
    if not clips:
        names = ", ".join(clip.path for clip in CLIPS)
        raise SystemExit(f"FULL4D_DATA: found no clip in {data}, expected {names}")
    rows, labels = [], []
    for clip in clips:
        for number, network in enumerate(options.networks):
            folder = options.out / f"{Path(clip.path).stem}_{number}"
            rows.append(generated(clip, data, network, options.rows, folder))
            labels.append(
                clip.name if len(options.networks) == 1 else f"{clip.name} ({number + 1})"
            )
    sheet = contact_sheet(
        np.stack(rows), rows=labels, columns=[f"{a}°" for a in ANGLES], cell_height=SHAPE[0]
    )
    path = options.out / "real_videos.png"
    save_picture(path, sheet)
    print(f"pictures: {path}")
    print(json.dumps({"clips": len(clips), "networks": len(options.networks)}))


def generated(
    clip: Clip, data: Path, network: str, rows: int, folder: Path
) -> UInt8[ndarray, "angles h w 3"]:
    """Return the last instant of a clip from all angles."""
    source = VideoOptions(
        data / clip.path,
        start=clip.start,
        size=SizeOptions(rows=rows, seconds=0.5),
        cameras=PathOptions(azimuth=float(ANGLES[-1])),
        measured=DepthOptions(depth_network=network),
    )
    pipeline.sample(DEFAULT, folder, source)
    with np.load(folder / "grid.npz") as grid:
        frames = grid["frames"][:, -1]
    order = [1, 2, 0, 3, 4]  # the source is view 0
    return np.stack([_cell(frames[view]) for view in order])


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
