"""Points that stand still, before a camera at rest and before one that moves.

Before a camera at rest, a pixel rests at the instants at which it shows the farthest thing that it
ever shows (`shows_farthest`): something nearer was not there all the time.

Before one that moves, points stand still that keep their colour where they are seen. The point of a
pixel at its depth is looked up in other instants. It is still if at least half of the
instants that see it unoccluded show its colour there or between pixels beside it, as depth and
poses are never exact. Where an earlier instant shows it already, it needs no Gaussian of its own
again.
"""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from scipy.ndimage import maximum_filter, minimum_filter

# Of a view: its intrinsics, world-to-camera, and values of its pixels.
Lens = Float[ndarray, "3 3"]
Poses = Float[ndarray, "t 4 4"]
Maps = Float[ndarray, "t h w"]
Masks = Bool[ndarray, "t h w"]

# Of colours in [0, 1]: up to this difference a pixel shows what stands still there.
STILL_COLOR_DIFFERENCE = 0.08
# Share of a depth by which something is surely before another thing.
HIDING_DEPTH_SHARE = 0.1


def camera_moves(poses: Poses) -> bool:
    """Return whether a camera moves."""
    return bool(np.ptp(poses, axis=0).max() > 1e-6)


def shows_farthest(depth: Maps) -> Masks:
    """Return when each pixel of a camera at rest shows the farthest thing that it ever shows.

    Where that is seldom, and something else is hardly nearer, that depth is an outlier: all
    instants count whose depth is about as far.

    Args:
      depth: z, 0 where unknown.
    """
    # Share of the farthest depth up to which a pixel shows the farthest thing.
    same_depth_share = 0.03
    # Share of a pixel's instants below which its farthest depth may be an outlier.
    seldom_share = 0.15
    known = depth > 0
    farthest = depth.max(0)
    rests = known & (depth >= (1 - same_depth_share) * farthest)
    is_far = known & (depth >= (1 - HIDING_DEPTH_SHARE) * farthest)
    is_seldom = rests.sum(0) < seldom_share * known.sum(0)
    is_outlier = is_seldom & (is_far & ~rests).any(0)
    return np.where(is_outlier, is_far, rests)


def median_where(
    values: Float[ndarray, "t h w *c"], counts: Masks
) -> Float[ndarray, "h w *c"]:
    """Return the median over the instants that count, the lower of two; infinite for none."""
    counts = counts.reshape(*counts.shape, *(1,) * (values.ndim - 3))
    ordered = np.sort(np.where(counts, values, np.inf), axis=0)
    middle = np.maximum(counts.sum(0) - 1, 0) // 2
    places = np.broadcast_to(middle, ordered.shape[1:])[None]
    return np.take_along_axis(ordered, places, 0)[0]


def still_points(
    frames: Float[ndarray, "t h w 3"],
    depth: Maps,
    lens: Lens,
    poses: Poses,
    passing: Masks | None = None,
) -> tuple[Masks, Masks]:
    """Return the pixels that show something still, and those of them that were shown before.

    Args:
      frames: colours of one view in [0, 1].
      depth: z, 0 where unknown; nothing is said of such pixels.
      lens: intrinsics, pixels.
      poses: of each frame.
      passing: pixels that are known to show something else at other instants; None for none.
    """
    if passing is None:
        passing = np.zeros(depth.shape, bool)
    # Evenly spaced instants in which points are looked up.
    most_instants = 8
    count = len(frames)
    rests = not camera_moves(poses)
    # Of those that show something that may stand still.
    (telling,) = np.nonzero(~passing.all((1, 2)))
    places = np.linspace(0, len(telling) - 1, min(most_instants, len(telling)))
    instants = telling[np.unique(places.round().astype(int))]
    # Share of a depth up to which a picture shows the point itself.
    same_depth_share = 0.05
    # Pixels of each side within which a moving camera may see a point beside its place.
    window = (3, 3, 1)
    at_home = np.indices(depth.shape[1:])
    lowest = highest = frames
    if not rests:
        lowest, highest = np.empty((2, *frames.shape), frames.dtype)
        for other in instants:
            lowest[other] = minimum_filter(frames[other], window)
            highest[other] = maximum_filter(frames[other], window)
    still, before = np.zeros((2, *depth.shape), bool)
    for instant in range(count):
        agreeing = np.zeros(depth.shape[1:], int)
        seen = np.zeros(depth.shape[1:], int)
        for other in instants[instants != instant]:
            z = depth[instant]
            inside, row, column = z > 0, *at_home
            if not rests:
                motion = poses[other] @ np.linalg.inv(poses[instant])
                z, inside, row, column = _projected(z, lens, motion)
            there = depth[other][row, column]
            above = frames[instant] - highest[other][row, column]
            below = lowest[other][row, column] - frames[instant]
            difference = np.maximum(above, below).max(-1)
            near = (there <= 0) | (np.abs(there - z) < same_depth_share * z)
            same = inside & (difference < STILL_COLOR_DIFFERENCE) & near
            hides = (there > 0) & (there < (1 - same_depth_share) * z)
            hidden_there = passing[other][row, column]
            hides |= hidden_there
            same &= ~hidden_there
            seen += inside & ~hides
            agreeing += same
            if other < instant:
                before[instant] |= same
        agrees = (agreeing > 0) & (2 * agreeing >= seen)
        still[instant] = (depth[instant] > 0) & agrees & ~passing[instant]
    return still, still & before


def _projected(
    depth: Float[ndarray, "h w"], lens: Lens, motion: Float[ndarray, "4 4"]
) -> tuple[Shaped[ndarray, "h w"], ...]:
    """Return depth in another camera, which points it sees, and rows and columns of these."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(lens).T
    points = (rays * depth[..., None]) @ motion[:3, :3].T + motion[:3, 3]
    z = np.maximum(points[..., 2], 1e-6)
    u, v, _ = np.moveaxis(points @ lens.T / z[..., None], -1, 0)
    known = (depth > 0) & (points[..., 2] > 0)
    inside = known & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    row = np.where(inside, v, 0).astype(int)
    column = np.where(inside, u, 0).astype(int)
    return z, inside, row, column
