"""What `fit` asks of a prior: renders at the novel cameras, judged or redone."""

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from gaussians.clip import render_clip
from gaussians.deformation import Scene
from gaussians.distillation import Distillation, distillation_loss, distillation_targets
from gaussians.types import Camera

_targets = jax.jit(distillation_targets, static_argnames="prior")


def flat_cameras(prior: Distillation) -> tuple[Camera, Float[Array, "n"]]:
    """The novel cameras and times as n = v t pairs."""
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
    """The gradient form at a random flow time below the annealed maximum, and the overflow."""
    tau_key, noise_key = jax.random.split(key)
    tau = jax.random.uniform(tau_key, minval=0.02, maxval=prior.largest_tau(progress))
    cameras, times = flat_cameras(prior)
    pictures = render_clip(
        scene,
        cameras,
        times,
        background=jnp.array(background),
        antialiased=antialiased,
        max_intersections=budget,
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", t=prior.times.shape[0])
    loss = distillation_loss(video, prior.velocity, prior.encode, tau, noise_key)
    return loss, pictures.overflow.max()


def cached_frames(
    scene: Scene,
    prior: Distillation,
    tau: Float[Array, ""],
    key: Array,
    background: tuple[float, float, float],
    antialiased: bool,
) -> Float[Array, "n h w 3"]:
    """The prior's version of the scene's present renders at the novel cameras."""
    cameras, times = flat_cameras(prior)
    pictures = render_clip(
        scene, cameras, times, background=jnp.array(background), antialiased=antialiased
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", t=prior.times.shape[0])
    return rearrange(_targets(video, prior, tau, key), "v t h w c -> (v t) h w c")
