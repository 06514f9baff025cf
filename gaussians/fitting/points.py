"""A first scene without depth: points in space, coloured by the pictures that see them.

Points fill the hull of a subject whose outline is known, or are strewn over the space that several
cameras see. They are small and faint, so that no view hides what it does not explain from the
others; `fit` makes them grow, fade and move.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import KDTree

from gaussians import harmonics
from gaussians.fitting.initialization import ALWAYS
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

# Distances of strewn points from a camera, relative to that of the middle.
NEAREST = 0.4
FARTHEST = 3.0
FAINT = 0.1  # opacity at first
SPREAD = 0.5  # standard deviation of a Gaussian, relative to the distance to the next one
# Cells along an edge of the box that is carved.
COARSE_CELLS = 48
FINE_CELLS = 72
MISSES = 0.05  # share of the cameras that may see the background where the hull has a point
SHARED = 0.5  # of the most cameras that see any point, how many must see one of the hull
BATCH = 20_000  # points drawn at a time
DRAWS = 50  # batches, at most


class Views(NamedTuple):
    """Cameras at one instant; OpenCV axes, pixels.

    Attributes:
      intrinsics: of each view.
      world_to_camera: of each view.
      height: rows of the pictures.
      width: columns of the pictures.
    """

    intrinsics: Float[ndarray, "v 3 3"]
    world_to_camera: Float[ndarray, "v 4 4"]
    height: int
    width: int

    @property
    def eyes(self) -> Float[ndarray, "v 3"]:
        """Return where the cameras stand, world units."""
        rotation = self.world_to_camera[:, :3, :3]
        shift = self.world_to_camera[:, :3, 3]
        return -np.einsum("vji,vj->vi", rotation, shift)

    def pixels(
        self, points: Float[ndarray, "n 3"]
    ) -> tuple[Bool[ndarray, "v n"], Int[ndarray, "v n"], Int[ndarray, "v n"]]:
        """Return whether each view has each point in its picture, and in which row and column."""
        projections = self.intrinsics @ self.world_to_camera[:, :3]
        x, y, z = projections[:, :, :3].swapaxes(0, 1) @ points.T
        x, y, z = (a + projections[:, i, 3:] for i, a in enumerate((x, y, z)))
        before = z > 1e-6
        z = np.where(before, z, 1.0)
        column = np.floor(x / z)
        row = np.floor(y / z)
        inside = before & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        row, column = (np.where(inside, a, 0).astype(int) for a in (row, column))
        return inside, row, column


def strew(
    views: Views, middle: Float[ndarray, "3"], count: int, rng: np.random.Generator
) -> Float[ndarray, "n 3"]:
    """Draw at most `count` points that at least two cameras see, none close to any camera.

    Points lie along the rays of random pixels, evenly in the logarithm of depth, as far as cameras
    resolve them.

    Args:
      views: the cameras.
      middle: what they look at, world units.
      count: how many points.
      rng: draws them.
    """
    reach = np.linalg.norm(views.eyes - middle, axis=1)
    parts: list[ndarray] = []
    for _ in range(DRAWS):
        view = rng.integers(len(reach), size=BATCH)
        spots = rng.uniform(size=(BATCH, 2)) * [views.width, views.height]
        rays = (
            np.linalg.inv(views.intrinsics)[view]
            @ np.append(spots, np.ones((BATCH, 1)), 1)[..., None]
        )
        z = reach[view] * np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST), BATCH))
        back = views.world_to_camera[view, :3, :3].swapaxes(1, 2)
        points = (back @ rays)[..., 0] * z[:, None] + views.eyes[view]
        away = np.linalg.norm(points[:, None] - views.eyes, axis=-1) >= NEAREST * reach
        parts.append(points[(views.pixels(points)[0].sum(0) >= 2) & away.all(1)])
        if sum(map(len, parts)) >= count:
            break
    return np.concatenate(parts)[:count]


def carve(
    masks: Bool[ndarray, "v h w"], views: Views, middle: Float[ndarray, "3"]
) -> Float[ndarray, "n 3"]:
    """Return points on the visual hull of what the masks mark.

    A point belongs to the hull where nearly all cameras that see it find it inside of their mask,
    and half as many see it as see any point, at least two. The points at its surface are returned.
    """
    size = 0.9 * float(np.median(np.linalg.norm(views.eyes - middle, axis=1)))
    low = middle - size
    high = middle + size
    for cells in (COARSE_CELLS, FINE_CELLS):
        steps = (high - low) / cells
        axes = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        planes = [_counts(masks, views, plane.reshape(-1, 3)) for plane in grid]
        seen, marked = np.stack(planes, 1).reshape(2, *grid.shape[:3])
        enough = seen >= max(2, SHARED * seen.max())
        inside = enough & (marked >= np.ceil((1 - MISSES) * seen))
        if not inside.any():
            return np.zeros((0, 3))
        inner_points = grid[inside]
        low = inner_points.min(0) - steps
        high = inner_points.max(0) + steps
    surface = inside & ~_all_around(inside)
    return grid[surface]


def _counts(
    masks: Bool[ndarray, "v h w"], views: Views, points: Float[ndarray, "n 3"]
) -> Int[ndarray, "2 n"]:
    """Return how many cameras see each point, and how many of them inside of their mask."""
    seen, row, column = views.pixels(points)
    marked = masks[np.arange(len(masks))[:, None], row, column] & seen
    return np.stack([seen.sum(0), marked.sum(0)])


def _all_around(inside: Bool[ndarray, "x y z"]) -> Bool[ndarray, "x y z"]:
    """Return which cells have their six neighbours inside."""
    padded = np.pad(inside, 1)
    middle = (slice(1, -1),) * 3
    shifts = [np.roll(padded, step, axis)[middle] for axis in range(3) for step in (-1, 1)]
    return np.logical_and.reduce(shifts)


def seen_colors(
    points: Float[ndarray, "n 3"], pictures: Float[ndarray, "v h w 3"], views: Views
) -> Float[ndarray, "n 3"]:
    """Return the mean colour of the pixels in which the views see each point; grey where none."""
    seen, row, column = views.pixels(points)
    colors = pictures[np.arange(len(pictures))[:, None], row, column] * seen[..., None]
    count = seen.sum(0)[:, None]
    return np.where(count > 0, colors.sum(0) / np.maximum(count, 1), 0.5)


def at_points(
    points: Float[ndarray, "n 3"],
    colors: Float[ndarray, "n 3"],
    *,
    moments: Float[ndarray, "n"] | None = None,
    duration: float = 1.0,
    opacity: float = FAINT,
    sh_degree: int = 0,
) -> DynamicGaussians:
    """Return a Gaussian at each point, as large as half of the distance to the next ones.

    Args:
      points: world units.
      colors: in [0, 1].
      moments: time at which each is visible, in clips; None for those that always are.
      duration: how long those with a moment are visible, in clips.
      opacity: of all.
      sh_degree: degree of the harmonics; all but the mean colour are 0.
    """
    count = len(points)
    near = KDTree(points).query(points, min(4, count))[0].reshape(count, -1)[:, 1:]
    spacing = np.sqrt(np.maximum((near**2).mean(1), 1e-12)) if near.size else np.ones(count)
    log_scales = np.log(SPREAD * np.maximum(spacing, 1e-4 * max(float(np.median(spacing)), 1e-9)))
    always = moments is None
    return DynamicGaussians(
        gaussians=Gaussians(
            means=jnp.asarray(points, jnp.float32),
            quaternions=jnp.tile(jnp.array([[1.0, 0.0, 0.0, 0.0]]), (count, 1)),
            log_scales=jnp.asarray(np.repeat(log_scales[:, None], 3, 1), jnp.float32),
            logit_opacities=jnp.full(count, np.float32(np.log(opacity / (1 - opacity)))),
            harmonics=jnp.asarray(harmonics.from_rgb(np.asarray(colors, np.float32), sh_degree)),
        ),
        velocities=jnp.zeros((count, 3)),
        moments=jnp.full(count, 0.5) if moments is None else jnp.asarray(moments, jnp.float32),
        log_durations=jnp.full(count, np.float32(np.log(duration))),
        logit_gates=jnp.full(count, ALWAYS if always else -ALWAYS),
    )
