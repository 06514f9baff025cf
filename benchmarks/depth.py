"""How wrong is a depth network, against what is known? One JSON line comes last.

    python benchmarks/depth.py [--networks ours FILE ...] [--real]
                               [--first 64 --scenes 32 --rows 96]

Rows are networks as `full4d run --depth_network` takes them, and a plane of one depth. Sets are

    rich      held-out rich scenes from number `--first` on, square, `--rows` pixels, exact depth
    wide      held-out frames of wide scenes, 3 : 4, exact depth
    fox       photographs with cameras (`fox_photos`), depth by a plane sweep where it is sure
    redwood and others
              frames of RGB-D cameras (`rgbd`), a set for each scene, depth as measured
    rgbd      the mean over these sets

Depth is what `full4d` makes of a frame of that size: ours, and Tiefenrausch, of which it is
made, see it at 384 pixels of its long side, and what they tell is enlarged. Where a network
knows no depth, that of the farthest of the frame counts. With `--real` the procedural sets are left
out. Errors are means over frames of |z - z*| / z*: with the median of depth aligned, and with scale
and shift of disparity aligned (least squares, then no farther than the truth is); and the shares
within a factor of 1.25.

Edges are neighbours whose depths differ by more than a factor of 1.25, the occluding contours of
Depth Pro (arXiv 2410.02073), which need no alignment. Recall is the share of true ones with an
estimated one within 2 pixels, precision the reverse, where depth is known everywhere.

Order asks whether a person comes before the wall: of pairs of a person's pixel and one beside the
person that is truly farther by that factor, the share in which it is farther by 2 % or more.
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
from common import shared_folder
from jaxtyping import Float, Int
from numpy import ndarray

from full4d_jax.config.depth import DepthWorlds
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.clip_depth import AnyNetwork, as_far, source_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import TIEFENRAUSCH
from full4d_jax.source.depth.estimators import OURS, open_network
from full4d_jax.training.depth_training import procedural_frames
from input_pipeline.footage import read_picture
from input_pipeline.procedural.rich_world import PEOPLE
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene

FOX_ROWS = 240
RGBD_ROWS = 256
FACTOR = 1.25  # between the depths of neighbours that an edge parts
NEAR = 2.0  # pixels between an edge and its counterpart, at most
APART = 4  # pixels between the two of a pair
FARTHER = 1.02  # factor of depth by which the second must be behind
SCORES = (
    "median",
    "median_delta125",
    "affine",
    "affine_delta125",
    "edge_recall",
    "edge_precision",
    "order",
)


class Shot(NamedTuple):
    """A picture and what is known of it.

    Attributes:
      frame: [-1, 1].
      depth: the true one of some pixels, 0 elsewhere.
      people: numbers of people, 0 elsewhere; None where nobody knows.
    """

    frame: Float[ndarray, "h w 3"]
    depth: Float[ndarray, "h w"]
    people: Int[ndarray, "h w"] | None = None


def main() -> None:
    """Measure, print a table, then the JSON line."""
    options = parser().parse_args()
    networks: dict[str, AnyNetwork] = {}
    for name in options.networks:
        try:
            network = open_network(name)
        except InputError as error:
            raise SystemExit(str(error)) from None
        if isinstance(network, DepthFile):
            print(network.description)
        networks[name] = network
    sets = real_sets(shared_folder() / "data")
    if not options.real:
        square = (options.rows, options.rows)
        wide = (options.rows, options.rows * 4 // 3)
        sets["rich"] = list(rich(square, options.first, options.scenes))
        sets["wide"] = list(procedural("wide", wide, options.first, options.scenes))
    results: dict[str, dict[str, float | None]] = {}
    print(f"{'set':14} {'frames':>6} {'network':24}" + "".join(f"{x:>17}" for x in SCORES))
    for name, shots in sets.items():
        for who, network in {**networks, "plane": None}.items():
            every = [scores(estimate(network, shot.frame), shot) for shot in shots]
            results[f"{name}/{who}"] = means(every)
            print(line(name, len(shots), who, results[f"{name}/{who}"]), flush=True)
    scenes = [name for name in sets if name not in ("rich", "wide", "fox")]
    for who in [*networks, "plane"] if scenes else []:
        results[f"rgbd/{who}"] = means([results[f"{scene}/{who}"] for scene in scenes])
        print(line("rgbd", len(scenes), who, results[f"rgbd/{who}"]))
    print(json.dumps(results))


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description="Scores depth networks against known depth.")
    options.add_argument(
        "--networks", nargs="+", default=[OURS, str(TIEFENRAUSCH)], help="names or files"
    )
    options.add_argument("--real", action="store_true", help="real frames alone")
    options.add_argument("--first", type=int, default=64, help="first held-out scene")
    options.add_argument("--scenes", type=int, default=32, help="scenes of each kind")
    options.add_argument("--rows", type=int, default=96, help="rows of procedural frames")
    return options


def rich(size: tuple[int, int], first: int, count: int) -> Iterator[Shot]:
    """Yield frames of held-out rich scenes, in which people stand."""
    height, width = size
    shape = {"views": 1, "frames": 1, "height": height, "width": width}
    render = jax.jit(partial(procedural_scene, worlds="rich", **shape))
    for index in range(first, first + count):
        clip = render(jnp.uint32(HELD_OUT_START + index))
        numbers = np.asarray(clip.instances)[0, 0]
        people = np.where(numbers <= PEOPLE, numbers, 0)
        frame = np.asarray(clip.frames)[0, 0] * 2 - 1
        yield Shot(frame, np.asarray(clip.depth)[0, 0], people)


def procedural(
    worlds: DepthWorlds, size: tuple[int, int], first: int, count: int
) -> Iterator[Shot]:
    """Yield rendered frames of held-out scenes."""
    render = jax.jit(partial(procedural_frames, size=(size[0], *size), worlds=worlds))
    for index in range(first, first + count):
        frames, depth = render(jnp.array([HELD_OUT_START + index], jnp.uint32))
        yield Shot(np.asarray(frames[0]) * 2 - 1, np.asarray(depth[0]))


def real_sets(data: Path) -> dict[str, list[Shot]]:
    """Return the sets of photographs and films that are there."""
    sets = {}
    if (data / "fox_photos").is_dir():
        sets["fox"] = list(fox(data))
    for path in sorted((data / "rgbd").glob("*_color.jpg")):
        scene = path.name.rsplit("_", 2)[0]
        sets.setdefault(scene, []).append(rgbd(path))
    return sets


def fox(data: Path) -> Iterator[Shot]:
    """Yield the photographs of the fox and the depth that neighbours confirm."""
    capture = captures.photos(data, FOX_ROWS)
    for frame, depth in zip(capture.frames[:, 0], capture.depth[:, 0], strict=True):
        if depth.any():
            yield Shot(frame * 2 - 1, depth)


def rgbd(path: Path) -> Shot:
    """Return a frame of an RGB-D camera at `RGBD_ROWS` rows, and its measured depth.

    Raises:
      SystemExit: there is no depth of it.
    """
    measured = path.with_name(path.name.replace("_color.jpg", "_depth.png"))
    depth = cv2.imread(str(measured), cv2.IMREAD_UNCHANGED)
    if depth is None:
        raise SystemExit(f"{measured}: no picture")
    picture = read_picture(path)
    size = (round(picture.shape[1] * RGBD_ROWS / picture.shape[0]), RGBD_ROWS)
    frame = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) / 127.5 - 1
    depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST).astype(np.float64)
    return Shot(frame, depth)


def line(name: str, count: int, who: str, values: dict[str, float | None]) -> str:
    """Return a line of the table; a dash where there is no score."""
    cells = (f"{'-':>17}" if (x := values[score]) is None else f"{x:17.3f}" for score in SCORES)
    return f"{name:14} {count:6} {who[-24:]:24}{''.join(cells)}"


def means(every: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the means of what has a score."""
    result: dict[str, float | None] = {}
    for name in SCORES:
        values = [x for one in every if (x := one[name]) is not None]
        result[name] = round(float(np.mean(values)), 4) if values else None
    return result


def estimate(network: AnyNetwork | None, frame: ndarray) -> ndarray:
    """Return depth (h w) of the frame's size; no network stands for a plane.

    What a network does not know counts as far away.
    """
    if network is None:
        return np.ones(frame.shape[:2])
    return as_far(np.asarray(source_depth(network, jnp.asarray(frame, jnp.float32)[None])))[0]


def scores(estimated: ndarray, shot: Shot) -> dict[str, float | None]:
    """Return the errors of one frame, of the pixels whose depth is known; None for no edges."""
    known = shot.depth > 0
    result: dict[str, float | None] = dict.fromkeys(SCORES)
    if known.all():
        ours = edges(estimated)
        theirs = edges(shot.depth)
        result["edge_recall"] = share(theirs, ours)
        result["edge_precision"] = share(ours, theirs)
    if shot.people is not None:
        result["order"] = order(estimated, shot.depth, shot.people)
    depth = estimated[known].astype(np.float64)
    true = shot.depth[known].astype(np.float64)
    by_median = depth * np.median(true) / np.median(depth)
    by_line = affine(1 / depth, true)
    for name, aligned in (("median", by_median), ("affine", by_line)):
        result[name] = float((np.abs(aligned - true) / true).mean())
        ratio = np.maximum(aligned / true, true / aligned)
        result[f"{name}_delta125"] = float((ratio < FACTOR).mean())
    return result


def order(estimated: ndarray, true: ndarray, people: ndarray) -> float | None:
    """Return the share of pairs across people's outlines that are in order; None without any."""
    right = 0
    pairs = 0
    for down, across in ((0, APART), (0, -APART), (APART, 0), (-APART, 0)):
        second = np.roll(estimated, (down, across), (0, 1))
        true_second = np.roll(true, (down, across), (0, 1))
        second_person = np.roll(people, (down, across), (0, 1))
        inside = np.zeros(true.shape, bool)
        rows = slice(max(down, 0), true.shape[0] + min(down, 0))
        inside[rows, max(across, 0) : true.shape[1] + min(across, 0)] = True
        leaves = (people > 0) & (second_person != people)
        is_pair = inside & leaves & (true_second > FACTOR * true)
        pairs += is_pair.sum()
        right += (is_pair & (second > FARTHER * estimated)).sum()
    return float(right / pairs) if pairs else None


def edges(depth: ndarray) -> ndarray:
    """Return where (h w) depth differs by more than `FACTOR` to a neighbour."""
    log = np.log(depth)
    mask = np.zeros(depth.shape, bool)
    down, right = (np.abs(np.diff(log, axis=axis)) > np.log(FACTOR) for axis in (0, 1))
    mask[:-1] |= down
    mask[1:] |= down
    mask[:, :-1] |= right
    mask[:, 1:] |= right
    return mask


def share(wanted: ndarray, estimated: ndarray) -> float | None:
    """Return the share of the pixels of `wanted` with one of `estimated` near; None without any."""
    if not wanted.any():
        return None
    if not estimated.any():
        return 0.0
    distance = cv2.distanceTransform(
        (~estimated).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    return float((distance[wanted] <= NEAR).mean())


def affine(disparity: ndarray, true: ndarray) -> ndarray:
    """Return depth 1 / (a d + b), up to the truth's farthest, with least squares of disparity."""
    system = np.stack([disparity, np.ones_like(disparity)], 1)
    (scale, shift), *_ = np.linalg.lstsq(system, 1 / true, rcond=None)
    return 1 / np.maximum(scale * disparity + shift, 1 / true.max())


if __name__ == "__main__":
    main()
