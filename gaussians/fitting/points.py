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
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from gaussians.fitting.initialization import PERMANENT_GATE, on_device, round_gaussians
from gaussians.motion import DynamicGaussians

# Positions of n points in world units, or their colours.
Triples = Float[ndarray, "n 3"]

# Distances of strewn points from a camera, relative to that of the middle.
NEAREST_SHARE = 0.4
FARTHEST_SHARE = 3.0


class Views(NamedTuple):
    """Cameras at one instant; OpenCV axes, pixels.

    Attributes:
      lenses: intrinsics of each view.
      poses: of each view, from the world to the camera.
      height: rows of the pictures.
      width: columns of the pictures.
    """

    lenses: Float[ndarray, "v 3 3"]
    poses: Float[ndarray, "v 4 4"]
    height: int
    width: int

    @property
    def eyes(self) -> Float[ndarray, "v 3"]:
        """Return where the cameras stand, world units."""
        return -np.einsum("vji,vj->vi", self.poses[:, :3, :3], self.poses[:, :3, 3])

    def pixels(
        self, points: Triples
    ) -> tuple[Bool[ndarray, "v n"], Int[ndarray, "v n"], Int[ndarray, "v n"]]:
        """Return whether each view has each point in its picture, and in which row and column."""
        projections = self.lenses @ self.poses[:, :3]
        x, y, z = projections[:, :, :3].swapaxes(0, 1) @ points.T
        x, y, z = (a + projections[:, i, 3:] for i, a in enumerate((x, y, z)))
        before = z > 1e-6
        z = np.where(before, z, 1.0)
        column = np.floor(x / z)
        row = np.floor(y / z)
        across = (column >= 0) & (column < self.width)
        inside = before & across & (row >= 0) & (row < self.height)
        row, column = (np.where(inside, a, 0).astype(int) for a in (row, column))
        return inside, row, column


def strew(
    views: Views, middle: Float[ndarray, "3"], count: int, rng: np.random.Generator
) -> Triples:
    """Draw at most `count` points that at least two cameras see, none close to any camera.

    Points lie along the rays of random pixels, evenly in the logarithm of depth, as far as cameras
    resolve them.

    Args:
      views: the cameras.
      middle: what they look at, world units.
      count: how many points.
      rng: draws them.
    """
    batch = 20_000  # points drawn at a time
    most_batches = 50
    reach = np.linalg.norm(views.eyes - middle, axis=1)
    parts = []
    for _ in range(most_batches):
        view = rng.integers(len(reach), size=batch)
        spots = rng.uniform(size=(batch, 2)) * [views.width, views.height]
        pixels = np.append(spots, np.ones((batch, 1)), 1)
        rays = np.linalg.inv(views.lenses)[view] @ pixels[..., None]
        low, high = np.log(NEAREST_SHARE), np.log(FARTHEST_SHARE)
        z = reach[view] * np.exp(rng.uniform(low, high, batch))
        back = views.poses[view, :3, :3].swapaxes(1, 2)
        points = (back @ rays)[..., 0] * z[:, None] + views.eyes[view]
        distances = np.linalg.norm(points[:, None] - views.eyes, axis=-1)
        is_away = (distances >= NEAREST_SHARE * reach).all(1)
        parts.append(points[(views.pixels(points)[0].sum(0) >= 2) & is_away])
        if sum(map(len, parts)) >= count:
            break
    return np.concatenate(parts)[:count]


def carve(
    masks: Bool[ndarray, "v h w"], views: Views, middle: Float[ndarray, "3"]
) -> Triples:
    """Return points on the visual hull of what the masks mark.

    A point belongs to the hull where nearly all cameras that see it find it inside of their mask,
    and half as many see it as see any point, at least two. The points at its surface are returned.
    """
    # Cells along an edge: first of the whole box, then of what is inside.
    box_cells = 48, 72
    # Share of the cameras that may see the background at a point of the hull.
    missing_share = 0.05
    # Share of the most cameras that see any point, which must see one of the hull.
    seeing_share = 0.5
    size = 0.9 * float(np.median(np.linalg.norm(views.eyes - middle, axis=1)))
    low = middle - size
    high = middle + size
    for cells in box_cells:
        steps = (high - low) / cells
        axes = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        # How many cameras see each point, and how many of them inside of their mask.
        planes = []
        for plane in grid:
            sees, row, column = views.pixels(plane.reshape(-1, 3))
            marks = masks[np.arange(len(masks))[:, None], row, column] & sees
            planes.append([sees.sum(0), marks.sum(0)])
        seen, marked = np.stack(planes, 1).reshape(2, *grid.shape[:3])
        enough = seen >= max(2, seeing_share * seen.max())
        inside = enough & (marked >= np.ceil((1 - missing_share) * seen))
        if not inside.any():
            return np.zeros((0, 3))
        inner_points = grid[inside]
        low = inner_points.min(0) - steps
        high = inner_points.max(0) + steps
    return grid[inside & ~binary_erosion(inside)]


def seen_colors(
    points: Triples, pictures: Float[ndarray, "v h w 3"], views: Views
) -> Triples:
    """Return the mean colour of the pixels in which the views see each point; grey where none."""
    seen, row, column = views.pixels(points)
    colors = pictures[np.arange(len(pictures))[:, None], row, column] * seen[..., None]
    count = seen.sum(0)[:, None]
    return np.where(count > 0, colors.sum(0) / np.maximum(count, 1), 0.5)


def at_points(
    points: Triples,
    colors: Triples,
    moments: Float[ndarray, "n"] | None,
    duration: float,
    sh_degree: int,
) -> DynamicGaussians:
    """Return a Gaussian at each point, as large as half of the distance to the next ones.

    Args:
      points: world units.
      colors: in [0, 1].
      moments: time at which each is visible, in clips; None for those that always are.
      duration: how long those with a moment are visible, in clips.
      sh_degree: degree of the harmonics; all but the mean colour are 0.
    """
    opacity = 0.1
    # Standard deviation, relative to the distance to the next points.
    spread = 0.5
    count = len(points)
    near = KDTree(points).query(points, min(4, count))[0].reshape(count, -1)[:, 1:]
    spacing = (
        np.sqrt(np.maximum((near**2).mean(1), 1e-12)) if near.size else np.ones(count)
    )
    least = 1e-4 * max(float(np.median(spacing)), 1e-9)
    log_scales = np.log(spread * np.maximum(spacing, least))
    gate = PERMANENT_GATE if moments is None else -PERMANENT_GATE
    return DynamicGaussians(
        round_gaussians(points, log_scales, opacity, colors, sh_degree),
        velocities=jnp.zeros((count, 3)),
        moments=on_device(np.full(count, 0.5) if moments is None else moments),
        log_durations=jnp.full(count, np.float32(np.log(duration))),
        logit_gates=jnp.full(count, gate),
    )
