"""How straight is what is straight in real videos, before and after planes are made flat?

    python benchmarks/straightness.py [--depth_network FILE --rows 256 --instants 2]

Depth alone is measured, of instants spread over each clip of the folder that FULL4D_DATA names:
the network's, and the same after `full4d_jax.source.depth.planes`, each instant for itself and
without silhouettes. A line tells the clip's `straightness`, the median deviation of segments from a
line at +-15 degrees, in percent of their length, and how many segments were measured; a JSON line
of the medians over clips comes last. The lens is taken to be 65 degrees wide along the long side.

Planes are fitted to the segments that are measured, so that `after` says what remains of known
faults, not how well unknown lines are guessed.
"""

import argparse
import json
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.cameras import sides
from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.clip_depth import source_depth
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.depth.planes import flatten_planes
from full4d_jax.source.depth.straightness import straightness
from input_pipeline.footage import VIDEOS, listed

WIDE = 65.0  # degrees of the long side
MULTIPLE = 8  # of the sides, pixels


def main() -> None:
    """Measure clip after clip, print its line, then the JSON line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--depth_network", help="ours, or a .safetensors or .onnx file")
    parser.add_argument("--rows", type=int, default=256, help="short side, pixels")
    parser.add_argument("--instants", type=int, default=2, help="of each clip")
    parser.add_argument("--clips", nargs="+", help="names; left out, all")
    options = parser.parse_args()
    try:
        network = open_network(options.depth_network)
    except InputError as error:
        raise SystemExit(str(error)) from None
    files = listed(shared_folder() / "data" / "real_videos", VIDEOS)
    files = [file for file in files if not options.clips or file.stem in options.clips]
    if not files:
        raise SystemExit("FULL4D_DATA: found no such clip, expected some in data/real_videos")

    print("  before %   after %   segments before, after")
    medians = []
    for file in files:
        frames = read_frames(file, options.rows, options.instants)
        depth = np.asarray(source_depth(network, jnp.asarray(to_model(frames)), still=False))
        keep = np.zeros(depth.shape, bool)
        flat = flatten_planes(depth, frames, still=False, keep=keep)
        lens = assumed_lens(depth.shape[1], depth.shape[2])
        before = straightness(frames, depth, lens)
        after = straightness(frames, flat, lens)
        if before.median is None or after.median is None:
            print(f"         -         -   no segments: {file.stem}", flush=True)
            continue
        medians.append((100 * before.median, 100 * after.median))
        cells = "".join(f"{value:10.2f}" for value in medians[-1])
        print(f"{cells}   {before.segments}, {after.segments}  {file.stem}", flush=True)
    result = {"clips": len(medians)}
    if medians:
        before, after = np.median(medians, 0).round(3).tolist()
        result |= {"before_percent": before, "after_percent": after}
    print(json.dumps(result))


def assumed_lens(height: int, width: int) -> Float[ndarray, "3 3"]:
    """Return the intrinsics of a lens of `WIDE` degrees, pixels."""
    focal = max(height, width) / 2 / np.tan(np.radians(WIDE) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


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


if __name__ == "__main__":
    main()
