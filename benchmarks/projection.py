"""Should loaders project the source into the targets, or the device? One JSON line comes last.

    python benchmarks/projection.py [--sizes 256x256 384x672 --seconds 4 --turns 3 --threads 0]

Target frames a second, on the CPU time of `--threads` threads (0: as many as cores): projected and
filled as training does, by jax on its default device, and decoded from JPEG files by OpenCV. On a
machine without accelerator the ratio says how many times as long a loader that projects would
take for each target frame.
"""

import json
from collections.abc import Iterator
from typing import Any

import cv2
import jax
import numpy as np
from input import INSTANTS, VIEWS, rate, raw
from noise_clips import NoiseClips
from sizes import at_each_size, size_options

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import fill_holes, project
from input_pipeline.transforms import decode_frames


def main() -> None:
    """Measure, print progress, then the JSON line."""
    options = size_options("Times projection against decoding.").parse_args()
    threads, sizes = at_each_size(options, measure)
    print(json.dumps({"device": jax.devices()[0].device_kind, "threads": threads, "sizes": sizes}))


def measure(height: int, width: int, threads: int, seconds: float, turns: int) -> dict[str, Any]:
    """Target frames a second, projected and decoded."""
    clip = NoiseClips(1, VIEWS + 1, INSTANTS, height, width)[0]
    frames = np.empty((VIEWS + 1, INSTANTS, height, width, 3), np.uint8)
    intrinsics = decode_frames(clip, frames)
    depth = np.random.default_rng(0).uniform(0.5, 2, (INSTANTS, 6, 8)).astype(np.float32)
    depth = np.stack([cv2.resize(one, (width, height)) for one in depth])
    poses = clip.world_to_camera.copy()
    poses[1:] += 0.2 * np.eye(4, k=3, dtype=np.float32)  # moved along x
    cameras = Cameras(intrinsics, poses, height, width)
    source = frames[0] / np.float32(127.5) - 1, depth, cameras

    @jax.jit
    def run(*source):
        return fill_holes(project(*source))

    def projected() -> Iterator[int]:
        on_device = jax.device_put(source)
        while True:
            jax.block_until_ready(run(*on_device))
            yield VIEWS * INSTANTS

    best = {"projected": 0.0, "decoded": 0.0}
    for _ in range(turns):
        best["projected"] = max(best["projected"], rate(projected(), seconds, threads))
        views = list(clip.frames[:, None])
        best["decoded"] = max(best["decoded"], rate(raw(views, threads), seconds, threads))
    return {
        **{f"{name}_frames_per_second": round(value, 1) for name, value in best.items()},
        "decoded_over_projected": round(best["decoded"] / best["projected"], 1),
    }


if __name__ == "__main__":
    main()
