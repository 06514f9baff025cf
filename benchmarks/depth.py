"""How wrong is a depth network, against what is known? One JSON line comes last.

    python benchmarks/depth.py [--weights FILE.safetensors ...] [--first 64 --scenes 32]

Rows are the shipped weights, each of `--weights`, and a plane of one depth. Sets are

    rich   held-out rich scenes from number `--first` on, square, 96 pixels, exact depth
    wide   held-out frames of wide scenes, 96 x 128 pixels, exact depth
    fox    photographs with cameras (`fox_photos`), depth by a plane sweep where it is sure

Networks see the whole frame at 96 pixels of its short side. Errors are means over frames of
|z - z*| / z*: with the median of depth aligned, and with scale and shift of disparity aligned
(least squares, then no farther than the truth is); and the shares within a factor of 1.25.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import captures
import cv2
import jax
import jax.numpy as jnp
import numpy as np
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.cameras import sides
from full4d_jax.config.depth import DepthWorlds
from full4d_jax.models.depth_net import MULTIPLE
from full4d_jax.source.depth.estimate import DepthNetwork, load_depth, predict_depth
from full4d_jax.training.depth_training import procedural_frames
from input_pipeline.procedural.scene import HELD_OUT_START

ROWS = 96
FOX_ROWS = 240
SCORES = ("median", "median_delta125", "affine", "affine_delta125")


class Shot(NamedTuple):
    """A picture (h w 3) in [-1, 1] and the true depth (h w) of some pixels, 0 elsewhere."""

    frame: ndarray
    depth: ndarray


def main() -> None:
    """Measure, print a table, then the JSON line."""
    options = parser().parse_args()
    networks = {"shipped": load_depth()}
    networks |= {str(path): load_depth(path) for path in options.weights}
    sets = {
        "rich": procedural("rich", (ROWS, ROWS), options.first, options.scenes),
        "wide": procedural("wide", (ROWS, 128), options.first, options.scenes),
        **real_sets(shared_folder() / "data"),
    }
    results = {}
    print(f"{'set':8} {'frames':>6} {'network':32}" + "".join(f"{name:>17}" for name in SCORES))
    for name, shots in sets.items():
        kept = [*shots]
        for who, network in {**networks, "plane": None}.items():
            scores = mean_scores(network, kept)
            results[f"{name}/{who}"] = scores
            values = "".join(f"{scores[score]:17.3f}" for score in SCORES)
            print(f"{name:8} {len(kept):6} {who[-32:]:32}{values}", flush=True)
    print(json.dumps(results))


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description="Scores depth networks against known depth.")
    options.add_argument("--weights", nargs="*", type=Path, default=[], help="files to compare")
    options.add_argument("--first", type=int, default=64, help="first held-out scene")
    options.add_argument("--scenes", type=int, default=32, help="scenes of each kind")
    return options


def procedural(
    worlds: DepthWorlds, size: tuple[int, int], first: int, count: int
) -> Iterator[Shot]:
    """Yield rendered frames of held-out scenes."""
    render = jax.jit(partial(procedural_frames, size=(size[0], *size), worlds=worlds))
    for index in range(first, first + count):
        frames, depth = render(jnp.array([HELD_OUT_START + index], jnp.uint32))
        yield Shot(np.asarray(frames[0]) * 2 - 1, np.asarray(depth[0]))


def real_sets(data: Path) -> dict[str, Iterator[Shot]]:
    """Return the sets of photographs and films that are there."""
    return {"fox": fox(data)} if (data / "fox_photos").is_dir() else {}


def fox(data: Path) -> Iterator[Shot]:
    """Yield the photographs of the fox and the depth that neighbours confirm."""
    capture = captures.photos(data, FOX_ROWS)
    for frame, depth in zip(capture.frames[:, 0], capture.depth[:, 0], strict=True):
        if depth.any():
            yield Shot(frame * 2 - 1, depth)


def mean_scores(network: DepthNetwork | None, shots: list[Shot]) -> dict[str, float]:
    """Return the means over frames; None stands for a plane."""
    every = [scores(estimate(network, shot.frame), shot.depth) for shot in shots]
    return {name: round(float(np.mean([one[name] for one in every])), 4) for name in SCORES}


def estimate(network: DepthNetwork | None, frame: ndarray) -> ndarray:
    """Return depth (h w) of the frame's size."""
    height, width = frame.shape[:2]
    if network is None:
        return np.ones((height, width))
    size = sides(height, width, min(ROWS, height, width), MULTIPLE)
    small = jax.image.resize(jnp.asarray(frame, jnp.float32), (*size, 3), "linear")
    depth = np.asarray(predict_depth(network, small[None])[0])
    return 1 / cv2.resize(1 / depth, (width, height), interpolation=cv2.INTER_LINEAR)


def scores(estimated: ndarray, true: ndarray) -> dict[str, float]:
    """Return the errors of one frame, of the pixels whose depth is known."""
    known = true > 0
    found, true = estimated[known].astype(np.float64), true[known].astype(np.float64)
    by_median = found * np.median(true) / np.median(found)
    by_line = affine(1 / found, true)
    result = {}
    for name, depth in (("median", by_median), ("affine", by_line)):
        result[name] = float((np.abs(depth - true) / true).mean())
        ratio = np.maximum(depth / true, true / depth)
        result[f"{name}_delta125"] = float((ratio < 1.25).mean())
    return result


def affine(disparity: ndarray, true: ndarray) -> ndarray:
    """Return depth 1 / (a d + b), up to the truth's farthest, with least squares of disparity."""
    system = np.stack([disparity, np.ones_like(disparity)], 1)
    (scale, shift), *_ = np.linalg.lstsq(system, 1 / true, rcond=None)
    return 1 / np.maximum(scale * disparity + shift, 1 / true.max())


if __name__ == "__main__":
    main()
