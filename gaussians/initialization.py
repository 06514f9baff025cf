"""A first scene from frames with depth: unprojected pixels, still where the picture is still."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Bool, Float

from gaussians import harmonics
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians

STILL = 0.06  # a pixel that stays this close to its median colour over time shows something static
OPACITY = 0.7  # of every Gaussian at first
GATE = 4.0  # logit of the gate of static Gaussians; moving ones have -4
DURATION = 0.5  # frame steps that a moving Gaussian is visible at first


def initialize(
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    capacity: int,
    key: Array,
    *,
    sh_degree: int = 0,
) -> DynamicGaussians:
    """Return at most `capacity` Gaussians at random pixels of known depth.

    A pixel whose colour does not change in its view becomes a Gaussian that is always there (a
    moving camera makes this rare, never wrong); the others are visible around their own frame.
    Still pixels, seen t times, are drawn 1/t as often.

    Args:
      frames: colours in [0, 1], at times spread evenly over the clip.
      depth: z in world units; 0 where unknown, for instance in views without depth.
      intrinsics: of each view, in pixels.
      world_to_camera: of each view and frame.
      capacity: largest number of Gaussians.
      key: decides the pixels.
      sh_degree: degree of the harmonics; all but the mean colour are 0.

    Raises:
      ValueError: No depth is known.
    """
    v, t, h, w = depth.shape
    candidates = int(_known(depth).sum())
    if candidates == 0:
        raise ValueError(f"no valid depth in {v}x{t} frames of {h}x{w}: expected some pixels > 0")
    count = min(capacity, candidates)
    return _at_pixels(frames, depth, intrinsics, world_to_camera, count, key, sh_degree)


@partial(jax.jit, static_argnames=("count", "sh_degree"))
def _at_pixels(
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    count: int,
    key: Array,
    sh_degree: int,
) -> DynamicGaussians:
    """Return Gaussians at exactly `count` pixels, see `initialize`."""
    v, t, h, w = depth.shape
    known = _known(depth)
    median = jnp.median(frames, axis=1, keepdims=True)
    still = jnp.abs(frames - median).max(-1) < STILL

    weight = jnp.where(known, jnp.where(still, 1 / t, 1.0), 0.0).reshape(-1)
    chosen = jax.random.choice(
        key, weight.shape[0], (count,), replace=False, p=weight / weight.sum()
    )

    # An unknown depth may be inf or nan; its pixel has weight 0, but must not reach the arithmetic.
    points, footprints = unproject(jnp.where(known, depth, 1.0), intrinsics, world_to_camera)
    spacing = jnp.sqrt(jnp.maximum(weight.sum() / count, 1.0))  # pixels between chosen pixels
    log_scales = jnp.log(0.5 * spacing * footprints.reshape(-1)[chosen])
    rgb = frames.reshape(-1, 3)[chosen]
    moving = ~still.reshape(-1)[chosen]
    times = repeat(jnp.linspace(0.0, 1.0, t), "t -> (v t h w)", v=v, h=h, w=w)[chosen]
    opacity = jnp.full(count, np.float32(np.log(OPACITY / (1 - OPACITY))))
    step = 1 / max(t - 1, 1)
    return DynamicGaussians(
        gaussians=Gaussians(
            means=points.reshape(-1, 3)[chosen],
            quaternions=jnp.tile(jnp.array([[1.0, 0.0, 0.0, 0.0]]), (count, 1)),
            log_scales=repeat(log_scales, "g -> g c", c=3),
            logit_opacities=opacity,
            harmonics=harmonics.from_rgb(rgb, sh_degree),
        ),
        velocities=jnp.zeros((count, 3)),
        moments=jnp.where(moving, times, 0.5),
        log_durations=jnp.where(moving, jnp.log(DURATION * step), 0.0),
        logit_gates=jnp.where(moving, -GATE, GATE),
    )


def _known(depth: Float[Array, "v t h w"]) -> Bool[Array, "v t h w"]:
    return (depth > 0) & jnp.isfinite(depth)


def unproject(
    depth: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
) -> tuple[Float[Array, "v t h w 3"], Float[Array, "v t h w"]]:
    """Return the world position of every pixel centre, and the width of a pixel there."""
    _, _, h, w = depth.shape
    x, y = jnp.meshgrid(jnp.arange(w) + 0.5, jnp.arange(h) + 0.5)
    pixels = jnp.stack([x, y, jnp.ones_like(x)], -1)
    rays = jnp.einsum("vij,hwj->vhwi", jnp.linalg.inv(intrinsics), pixels)
    in_camera = rays[:, None] * depth[..., None]
    rotation, translation = world_to_camera[..., :3, :3], world_to_camera[..., :3, 3]
    centered = in_camera - rearrange(translation, "v t c -> v t 1 1 c")
    points = jnp.einsum("vtji,vthwj->vthwi", rotation, centered)
    return points, depth / intrinsics[:, 0, 0][:, None, None, None]
