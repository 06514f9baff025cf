"""The prior as `gaussians` takes it: asked at cameras half-way between those of the grid."""

from dataclasses import replace
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.cameras import Cameras
from full4d_jax.generation.coding import decode_videos, encode_videos
from full4d_jax.generation.generate import BoundPrior, bind_prior, target_velocity
from full4d_jax.generation.prior import Prior
from full4d_jax.models.grid_mesh import around
from full4d_jax.models.sharding import constrain
from full4d_jax.session.fields import require
from full4d_jax.source.camera_paths import angles_of, pivot_of
from gaussians import Distillation
from input_pipeline.cameras import invert


def ask_between(
    form: Literal["cached", "gradient"],
    prior: Prior,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
) -> Distillation:
    """Ask the prior at the cameras half-way between those of the grid.

    In the cached form a sampler without noise gives the prior's mean, whatever the scene looks
    like: it is asked for once, before the first step. One with noise draws, and redoes what the
    scene shows by then. The gradient form judges what the scene shows, with noise of its own.

    Args:
      form: as `Distillation.form`.
      prior: the network and its sampler.
      source: the source video, [0, 1].
      depth: its z-depth in world units, 0 where unknown.
      cameras: of the grid, the source first.

    Raises:
      InputError: the gradient form is asked for on a mesh, which the renderer's kernels do not
        divide over; or as in `bind_prior`.
    """
    alone = form == "cached" or prior.mesh is None
    require("lift.distillation", form, alone, "cached on a mesh: the fit runs on one device")
    novel = half_way(cameras)
    poses = jnp.concatenate([cameras.world_to_camera[:1], novel.world_to_camera])
    asked = replace(cameras, world_to_camera=poses)
    once = {"start": 0.0, "tau_first": 1.0, "tau_last": 1.0, "noise": 0.0, "refreshes": 1}
    once |= {"weight_first": 1.0, "weight_last": 1.0, "flow_steps": prior.sampler.steps}
    return Distillation(
        velocity=target_velocity,
        encode=_encode,
        decode=_decode,
        params=bind_prior(prior, 2 * source - 1, depth, asked),
        cameras=novel.batched(),
        times=jnp.linspace(0.0, 1.0, len(source)),
        form=form,
        **(once if form == "cached" and prior.sampler.noise == 0 else {}),
    )


def half_way(cameras: Cameras) -> Cameras:
    """Return cameras half-way between neighbours in azimuth, the source among them."""
    world_to_camera = np.asarray(cameras.world_to_camera)
    order = np.argsort(angles_of(world_to_camera[:, 0], pivot_of(world_to_camera))[:, 0])
    poses = invert(world_to_camera.astype(np.float64))[order]
    centers = (poses[1:, ..., :3, 3] + poses[:-1, ..., :3, 3]) / 2
    # The rotation nearest to the mean of two rotations is half-way between them.
    left, _, right = np.linalg.svd(poses[1:, ..., :3, :3] + poses[:-1, ..., :3, :3])
    middle = poses[1:].copy()
    middle[..., :3, :3] = left @ right
    middle[..., :3, 3] = centers
    poses = jnp.asarray(invert(middle).astype(np.float32))
    return replace(cameras, intrinsics=cameras.intrinsics[1:], world_to_camera=poses)


def _encode(bound: BoundPrior, video: Float[Array, "v t h w 3"]) -> Float[Array, "v f i j c"]:
    prior = bound.prior
    with around(prior.mesh):
        z = encode_videos(prior.model, prior.codec_weights, 2 * video[None] - 1)[0]
        return constrain(z, *[None] * z.ndim)


def _decode(bound: BoundPrior, z: Float[Array, "v f i j c"]) -> Float[Array, "v t h w 3"]:
    prior = bound.prior
    with around(prior.mesh):
        return decode_videos(prior.model, prior.codec_weights, z[None])[0] / 2 + 0.5
