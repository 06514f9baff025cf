"""Depth of posed photographs by plane sweep: a start for fits to pictures that come without depth.

Every view is compared with its nearest neighbours on planes parallel to its own image, evenly
spaced in inverse depth. The score of a pixel on a plane is the zero-mean normalised
cross-correlation of a window of grey values, averaged over the better half of the neighbours, so
that an occluded one does no harm. A pixel keeps its best plane if that correlates well and is
confirmed: the depth that a neighbour found where the point falls must be nearly the same.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

PLANES = 96
WINDOW = 7  # pixels
NEIGHBOURS = 6
CORRELATED = 0.6  # least score of a pixel that is kept
AGREE = 0.05  # largest relative difference of inverse depths that confirm each other
CONFIRMED = 2  # neighbours


def sweep(
    frames: Float[np.ndarray, "v h w 3"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    world_to_camera: Float[np.ndarray, "v 4 4"],
    near: float,
    far: float,
) -> Float[np.ndarray, "v h w"]:
    """Depth z in world units where it is sure, else 0; hypotheses lie from `near` to `far`."""
    eyes = -np.einsum("vji,vj->vi", world_to_camera[:, :3, :3], world_to_camera[:, :3, 3])
    distance = np.linalg.norm(eyes[:, None] - eyes, axis=-1)
    turned = np.einsum("vi,ui->vu", world_to_camera[:, 2, :3], world_to_camera[:, 2, :3])
    distance = np.where(turned > np.cos(np.radians(50)), distance, np.inf)
    enough = np.isfinite(distance).sum(1) > CONFIRMED
    if not enough.all():  # cameras too far apart, or too few
        return np.zeros(frames.shape[:3], np.float32)
    most = int(np.isfinite(distance).sum(1).min()) - 1
    near_by = np.argsort(distance, axis=1)[:, 1 : 1 + min(NEIGHBOURS, most)]
    grey = jnp.asarray(frames.mean(-1), jnp.float32)
    lens, pose = jnp.asarray(intrinsics), jnp.asarray(world_to_camera)
    inverse = jnp.linspace(1 / far, 1 / near, PLANES)
    found = [
        _best_plane(grey[v], grey[n], lens[v], lens[n], _relative(pose[n], pose[v]), inverse)
        for v, n in enumerate(near_by)
    ]
    depth, score = (jnp.stack(x) for x in zip(*found, strict=True))
    kept = []
    for v, n in enumerate(near_by):
        to_neighbours = _relative(pose[n], pose[v])
        votes = _agreement(depth[v], depth[n], lens[v], lens[n], to_neighbours)
        sure = (score[v] > CORRELATED) & (votes >= min(CONFIRMED, len(n)))
        kept.append(jnp.where(sure, depth[v], 0.0))
    return np.asarray(jnp.stack(kept))


def _relative(to: Float[Array, "n 4 4"], origin: Float[Array, "4 4"]) -> Float[Array, "n 4 4"]:
    """From the camera `origin` into the cameras `to`."""
    return to @ jnp.linalg.inv(origin)[None]


def _rays(lens: Float[Array, "3 3"], h: int, w: int) -> Float[Array, "h w 3"]:
    x, y = jnp.meshgrid(jnp.arange(w) + 0.5, jnp.arange(h) + 0.5)
    pixels = jnp.stack([x, y, jnp.ones_like(x)], -1)
    return pixels @ jnp.linalg.inv(lens).T


def _landing(points, lens, pose) -> tuple[Float[Array, "h w"], Float[Array, "2 h w"]]:
    """Depth in another camera, and row and column there, as `map_coordinates` counts."""
    moved = points @ pose[:3, :3].T + pose[None, None, :3, 3]
    z = moved[..., 2]
    x, y, _ = jnp.moveaxis(moved @ lens.T / jnp.maximum(z, 1e-6)[..., None], -1, 0)
    return z, jnp.stack([jnp.where(z > 0, y, -1e6), jnp.where(z > 0, x, -1e6)]) - 0.5


@jax.jit
def _best_plane(grey, others, lens, lenses, poses, inverse):
    """Depth and score of the best plane of every pixel of one view."""
    rays = _rays(lens, *grey.shape)
    mean, spread = _statistics(grey)

    def plane(one):
        def neighbour(other, lens, pose):
            _, spot = _landing(rays / one, lens, pose)
            seen = map_coordinates(other, list(spot), 1, cval=jnp.nan)
            their_mean, their_spread = _statistics(seen)
            product = _blur(grey * seen) - mean * their_mean
            return jnp.nan_to_num(product / (spread * their_spread), nan=-1.0)

        scores = jnp.sort(jax.vmap(neighbour)(others, lenses, poses), axis=0)
        return scores[scores.shape[0] // 2 :].mean(0)

    scores = jax.lax.map(plane, inverse)
    best = scores.argmax(0)
    return 1 / inverse[best], scores.max(0)


def _blur(x: Float[Array, "h w"]) -> Float[Array, "h w"]:
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (WINDOW, WINDOW), (1, 1), "SAME")
    return total / WINDOW**2


def _statistics(x: Float[Array, "h w"]) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return mean and standard deviation in the window of every pixel."""
    mean = _blur(x)
    return mean, jnp.sqrt(jnp.maximum(_blur(x * x) - mean**2, 1e-5))


@jax.jit
def _agreement(depth, others, lens, lenses, poses):
    """Count the neighbours that found the same point."""
    points = _rays(lens, *depth.shape) * depth[..., None]

    @jax.vmap
    def agrees(other, lens, pose):
        z, spot = _landing(points, lens, pose)
        theirs = map_coordinates(other, list(spot), 0, cval=-1.0)
        return (theirs > 0) & (jnp.abs(z / theirs - 1) < AGREE)

    return agrees(others, lenses, poses).sum(0)
