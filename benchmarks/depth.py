"""How wrong is a depth network, against what is known? One JSON line comes last.

    python benchmarks/depth.py [--network NAME or FILE ...] [--first 64 --scenes 32 --rows 96]
                               [--real]

Rows are the shipped weights, each of `--network`, which is what `--depth_network` of `full4d run`
takes, and a plane of one depth. Sets are

    rich   held-out rich scenes from number `--first` on, square, `--rows` pixels, exact depth
    wide   held-out frames of wide scenes, 3 : 4, exact depth
    fox    photographs with cameras (`fox_photos`), depth by a plane sweep where it is sure
    rgbd   frames of RGB-D cameras in four indoor scenes (`rgbd`), depth as measured

Depth is what `full4d` makes of a frame of that size: ours sees it at 96 pixels of its short side,
`--network tiefenrausch` at 384 of its long one, and what they tell is enlarged. Where a network
knows no depth, that of the farthest of the frame counts. With `--real` the procedural sets are left
out. Errors are means over frames of |z - z*| / z*: with the median of depth aligned, and with scale
and shift of disparity aligned (least squares, then no farther than the truth is); and the shares
within a factor of 1.25.

Edges are neighbours whose depths differ by more than a factor of 1.25, the occluding contours of
Depth Pro (arXiv 2410.02073), which need no alignment. Recall is the share of true ones with an
estimated one within 2 pixels, precision the reverse, where depth is known everywhere.
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

from full4d_jax.config.depth import DepthWorlds
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.clip_depth import AnyNetwork, as_far, source_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import load_depth
from full4d_jax.source.depth.estimators import load_network
from full4d_jax.training.depth_training import procedural_frames
from input_pipeline.footage import read_picture
from input_pipeline.procedural.scene import HELD_OUT_START

FOX_ROWS, RGBD_ROWS = 240, 256
FACTOR = 1.25  # between the depths of neighbours that an edge parts
NEAR = 2.0  # pixels between an edge and its counterpart, at most
SCORES = ("median", "median_delta125", "affine", "affine_delta125", "edge_recall", "edge_precision")


class Shot(NamedTuple):
    """A picture (h w 3) in [-1, 1] and the true depth (h w) of some pixels, 0 elsewhere."""

    frame: ndarray
    depth: ndarray


def main() -> None:
    """Measure, print a table, then the JSON line."""
    options = parser().parse_args()
    networks: dict[str, AnyNetwork] = {"shipped": load_depth()}
    for name in options.network:
        try:
            network = load_network(name)
        except InputError as error:
            raise SystemExit(str(error)) from None
        if isinstance(network, DepthFile):
            print(network.told)
        networks[name] = network
    sets = real_sets(shared_folder() / "data")
    if not options.real:
        square, wide = (options.rows, options.rows), (options.rows, options.rows * 4 // 3)
        sets["rich"] = procedural("rich", square, options.first, options.scenes)
        sets["wide"] = procedural("wide", wide, options.first, options.scenes)
    results = {}
    print(f"{'set':8} {'frames':>6} {'network':32}" + "".join(f"{name:>17}" for name in SCORES))
    for name, shots in sets.items():
        kept = [*shots]
        for who, network in {**networks, "plane": None}.items():
            scores = mean_scores(network, kept)
            results[f"{name}/{who}"] = scores
            values = "".join(cell(scores[score]) for score in SCORES)
            print(f"{name:8} {len(kept):6} {who[-32:]:32}{values}", flush=True)
    print(json.dumps(results))


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description="Scores depth networks against known depth.")
    options.add_argument("--network", nargs="*", default=[], help="names and files to compare")
    options.add_argument("--real", action="store_true", help="real frames alone")
    options.add_argument("--first", type=int, default=64, help="first held-out scene")
    options.add_argument("--scenes", type=int, default=32, help="scenes of each kind")
    options.add_argument("--rows", type=int, default=96, help="rows of procedural frames")
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
    sets = {"fox_photos": ("fox", fox), "rgbd": ("rgbd", rgbd)}
    return {name: read(data) for folder, (name, read) in sets.items() if (data / folder).is_dir()}


def fox(data: Path) -> Iterator[Shot]:
    """Yield the photographs of the fox and the depth that neighbours confirm."""
    capture = captures.photos(data, FOX_ROWS)
    for frame, depth in zip(capture.frames[:, 0], capture.depth[:, 0], strict=True):
        if depth.any():
            yield Shot(frame * 2 - 1, depth)


def rgbd(data: Path) -> Iterator[Shot]:
    """Yield the frames of RGB-D cameras at `RGBD_ROWS` rows, and their measured depth."""
    for path in sorted((data / "rgbd").glob("*_color.jpg")):
        measured = path.with_name(path.name.replace("_color.jpg", "_depth.png"))
        depth = cv2.imread(str(measured), cv2.IMREAD_UNCHANGED)
        if depth is None:
            raise SystemExit(f"{measured}: no picture")
        picture = read_picture(path)
        size = (round(picture.shape[1] * RGBD_ROWS / picture.shape[0]), RGBD_ROWS)
        frame = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) / 127.5 - 1
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).astype(np.float64)
        yield Shot(frame, depth)


def cell(value: float | None) -> str:
    """Return a number of the table, or a dash."""
    return f"{'-':>17}" if value is None else f"{value:17.3f}"


def mean_scores(network: AnyNetwork | None, shots: list[Shot]) -> dict[str, float | None]:
    """Return the means over the frames that have a score; no network stands for a plane."""
    every = [scores(estimate(network, shot.frame), shot.depth) for shot in shots]
    found = {name: [x for one in every if (x := one[name]) is not None] for name in SCORES}
    return {name: round(float(np.mean(x)), 4) if x else None for name, x in found.items()}


def estimate(network: AnyNetwork | None, frame: ndarray) -> ndarray:
    """Return depth (h w) of the frame's size; what a network does not know counts as far away."""
    if network is None:
        return np.ones(frame.shape[:2])
    return as_far(np.asarray(source_depth(network, jnp.asarray(frame, jnp.float32)[None])))[0]


def scores(estimated: ndarray, true: ndarray) -> dict[str, float | None]:
    """Return the errors of one frame, of the pixels whose depth is known; None for no edges."""
    known = true > 0
    result: dict[str, float | None] = dict.fromkeys(SCORES)
    if known.all():
        ours, theirs = edges(estimated), edges(true)
        result["edge_recall"], result["edge_precision"] = share(theirs, ours), share(ours, theirs)
    found, true = estimated[known].astype(np.float64), true[known].astype(np.float64)
    by_median = found * np.median(true) / np.median(found)
    by_line = affine(1 / found, true)
    for name, depth in (("median", by_median), ("affine", by_line)):
        result[name] = float((np.abs(depth - true) / true).mean())
        ratio = np.maximum(depth / true, true / depth)
        result[f"{name}_delta125"] = float((ratio < 1.25).mean())
    return result


def edges(depth: ndarray) -> ndarray:
    """Return where (h w) depth differs by more than `FACTOR` to a neighbour."""
    log, found = np.log(depth), np.zeros(depth.shape, bool)
    down, right = (np.abs(np.diff(log, axis=axis)) > np.log(FACTOR) for axis in (0, 1))
    found[:-1] |= down
    found[1:] |= down
    found[:, :-1] |= right
    found[:, 1:] |= right
    return found


def share(wanted: ndarray, given: ndarray) -> float | None:
    """Return the share of the pixels of `wanted` with one of `given` near; None without any."""
    if not wanted.any():
        return None
    if not given.any():
        return 0.0
    distance = cv2.distanceTransform((~given).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[wanted] <= NEAR).mean())


def affine(disparity: ndarray, true: ndarray) -> ndarray:
    """Return depth 1 / (a d + b), up to the truth's farthest, with least squares of disparity."""
    system = np.stack([disparity, np.ones_like(disparity)], 1)
    (scale, shift), *_ = np.linalg.lstsq(system, 1 / true, rcond=None)
    return 1 / np.maximum(scale * disparity + shift, 1 / true.max())


if __name__ == "__main__":
    main()
