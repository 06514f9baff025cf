"""What moves lies before what it hides: a fact that no estimate of depth may contradict.

With D = 1/z the disparity of a clip and D* that of what stands still at a pixel (the resting scene,
which has one depth for the whole clip), a subject S at instant t is brought forward as a whole,

    (1)  D <- f_S(t) D on S,  f_S(t) = smallest factor of at least 1 by which the share
                                       `share_before` of S has D >= (1 + SUBJECT_GAP) D*

and then each of its pixels that is still behind is set to (1 + SUBJECT_GAP) D*. Pixels that belong
to no subject rest: they have the depth of the resting scene at all instants. Where one of them does
not show the resting colour (a light, a leaf in the wind), it lies just before it, by `veneer_gap`.

Before a camera that moves, D* at an instant is what the resting pixels of the other instants show
from there, and resting pixels keep their own depth.
"""

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from full4d_jax.geometry.arrays import Labels, Lens, Map, Maps, Masks, Pictures, Poses, Values
from full4d_jax.geometry.motion import differs
from gaussians.fitting.stillness import camera_moves, median_where
from input_pipeline.cameras import unproject

# Of disparity, between a subject and what it hides.
SUBJECT_GAP = 0.04


def set_before(
    depth: Maps,
    frames: Pictures,
    labels: Labels,
    lens: Lens,
    world_to_camera: Poses,
    behind: Map | None = None,
) -> Maps:
    """Return depth in which every subject lies before what stands still behind it.

    Args:
      depth: z-depth, world units, 0 where unknown.
      frames: sRGB.
      labels: number of the subject at each pixel, 0 for what rests.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      behind: depth of what a camera at rest never sees at rest, 0 where unknown.
    """
    # Of disparity: a light on a wall lies so far before the wall.
    veneer_gap = 0.015
    # Of 255 levels, from the resting colour.
    changed_levels = 20
    rests = labels == 0
    result = inverse(depth)
    if camera_moves(world_to_camera):
        resting = resting_disparity_along(depth, rests, lens, world_to_camera)
    else:
        still = resting_disparity(result, rests)
        if behind is not None:
            still = np.where(still == 0, inverse(behind), still)
        resting = np.broadcast_to(still, result.shape)
        # What rests but has another colour than usual lies a little nearer.
        unseen = np.broadcast_to(~rests[..., None], frames.shape)
        usual = np.ma.median(np.ma.masked_array(frames, unseen), axis=0).filled(0)
        changed = differs(frames, usual, changed_levels)
        result = np.where(rests, resting * np.where(changed, 1 + veneer_gap, 1.0), result)
    for subject in range(1, int(labels.max()) + 1):
        result = _bring_forward(result, resting, labels == subject)
    return inverse(result).astype(np.float32)


def inverse(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return disparity of depth or depth of disparity, 0 where unknown."""
    return np.where(values > 0, 1 / np.maximum(values, 1e-6), 0.0)


def resting_disparity(disparity: Maps, rests: Masks) -> Map:
    """Return the median disparity of the instants at which a pixel rests; 0 where it never does."""
    median = median_where(disparity, rests & (disparity > 0))
    return np.where(np.isfinite(median), median, 0.0)


def resting_disparity_along(depth: Maps, rests: Masks, lens: Lens, world_to_camera: Poses) -> Maps:
    """Return the disparity of what rests, as other instants show it; 0 where none does.

    Where several resting points fall on one pixel, the nearest counts.
    """
    # Instants, evenly spaced, whose resting pixels show what a moving camera would see.
    most_instants = 8
    count, height, width = depth.shape
    instants = np.linspace(0, count - 1, min(most_instants, count)).round().astype(int)
    points = []
    for other in instants:
        counts = rests[other] & (depth[other] > 0)
        points.append(unproject(depth[other], lens, world_to_camera[other])[counts])
    cloud = np.concatenate(points)
    result = np.zeros((count, height, width))
    for time, pose in enumerate(world_to_camera):
        u, v, w = ((cloud @ pose[:3, :3].T + pose[:3, 3]) @ lens.T).T
        z = np.maximum(w, 1e-6)
        column = np.floor(u / z).astype(int)
        row = np.floor(v / z).astype(int)
        inside = (w > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        np.maximum.at(result[time], (row[inside], column[inside]), 1 / z[inside])
    return result


def _bring_forward(disparity: Maps, resting: Maps, subject: Masks) -> Maps:
    """Return disparity with one subject before what rests behind it, by equation 1."""
    # The largest factor.
    farthest_pull = 1.6
    # Share of a subject that equation 1 brings before the resting scene.
    share_before = 0.8
    inside = subject & (disparity > 0)
    least = (1 + SUBJECT_GAP) * resting
    present = np.flatnonzero(inside.any((1, 2)))
    if not len(present):
        return disparity
    # Where nothing was ever seen to rest, resting is 0: whatever hides it lies before it.
    ratios = [least[t][inside[t]] / disparity[t][inside[t]] for t in present]
    needed = np.array([np.quantile(x, share_before) for x in ratios])
    # A factor that jumps from instant to instant would make the subject swing.
    largest = _of_three(np.clip(needed, 1.0, farthest_pull)).max(1)
    result = disparity.copy()
    for t, factor in zip(present, _of_three(largest).mean(1), strict=True):
        nearer = np.maximum(disparity[t] * factor, least[t])
        result[t] = np.where(inside[t], nearer, result[t])
    return result


def _of_three(factors: Values) -> Float[np.ndarray, "n 3"]:
    """Return each factor between its neighbours."""
    return sliding_window_view(np.pad(factors, 1, mode="edge"), 3)
