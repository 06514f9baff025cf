"""Teaching by a prior: renders at novel cameras, judged (gradient form) or redone (cached)."""

from functools import partial

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from gaussians.clip import render_clip
from gaussians.deformation import Scene
from gaussians.distillation import Distillation, distillation_loss, distillation_targets
from gaussians.types import Camera


def flat_cameras(prior: Distillation) -> tuple[Camera, Float[Array, "n"]]:
    """Return the novel cameras and times as n = v t pairs."""
    cameras = jax.tree.map(lambda x: rearrange(x, "v t ... -> (v t) ..."), prior.cameras)
    return cameras, repeat(prior.times, "t -> (v t)", v=prior.cameras.intrinsics.shape[0])


def prior_term(
    scene: Scene,
    prior: Distillation,
    progress: ArrayLike,
    key: Array,
    budget: int,
    background: tuple[float, float, float],
    antialiased: bool,
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Return the loss of the gradient form at a random flow time, and the overflow."""
    tau_key, noise_key = jax.random.split(key)
    tau = jax.random.uniform(tau_key, minval=0.02, maxval=prior.largest_tau(progress))
    video, overflow = _video(scene, prior, background, antialiased, budget)
    velocity, encode = (partial(f, prior.params) for f in (prior.velocity, prior.encode))
    loss = distillation_loss(video, velocity, encode, tau, noise_key)
    return loss, overflow


def cached_frames(
    scene: Scene,
    prior: Distillation,
    tau: Float[Array, ""],
    key: Array,
    background: tuple[float, float, float],
    antialiased: bool,
) -> Float[Array, "n h w 3"]:
    """Return the prior's version of the scene's present renders at the novel cameras."""
    video, _ = _video(scene, prior, background, antialiased)
    # By way of the host: the prior may lie on several devices, the fit stays on its own.
    taught = jax.device_get(distillation_targets(video, prior, tau, key))
    return rearrange(jnp.asarray(taught), "v t h w c -> (v t) h w c")


def _video(
    scene: Scene,
    prior: Distillation,
    background: tuple[float, float, float],
    antialiased: bool,
    budget: int | None = None,
) -> tuple[Float[Array, "v t h w 3"], Int[Array, ""]]:
    """Render the scene at the novel cameras; returns the video and the overflow."""
    cameras, times = flat_cameras(prior)
    pictures = render_clip(
        scene,
        cameras,
        times,
        background=jnp.array(background),
        antialiased=antialiased,
        max_intersections=budget,
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", t=len(prior.times))
    return video, pictures.overflow.max()
