"""Teaching by a prior: renders at novel cameras, judged (gradient form) or redone (cached)."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import lax
from jaxtyping import Array, Float, Int

from gaussians.deformation import Scene
from gaussians.fitting.distillation import (
    Distillation,
    Video,
    distillation_targets,
    judge_video,
)
from gaussians.fitting.fit_config import FitConfig
from gaussians.rendering.rasterizer import render, render_clip
from gaussians.types import Camera, Number, Scalar


def flat_cameras(prior: Distillation) -> tuple[Camera, Float[Array, "n"]]:
    """Return the novel cameras and times as n = v t pairs."""
    cameras = jax.tree.map(lambda x: rearrange(x, "v t ... -> (v t) ..."), prior.cameras)
    return cameras, repeat(prior.times, "t -> (v t)", v=prior.cameras.intrinsics.shape[0])


class NovelPictures(NamedTuple):
    """What one step of the gradient form asks about.

    Attributes:
      views: which of the novel views, in their order.
      window: the row of `Distillation.windows`.
      cameras: of the n pictures of these views and instants.
      times: of the same.
      tau: the flow time.
    """

    views: Int[Array, "m"]
    window: Number
    cameras: Camera
    times: Float[Array, "n"]
    tau: Scalar


class Lesson(NamedTuple):
    """What the prior says at one step of the gradient form.

    Attributes:
      loss: equation 3 of `distillation`, times its weight.
      gradient: of this loss with respect to the scene.
    """

    loss: Scalar
    gradient: Scene


def learn(
    scene: Scene,
    prior: Distillation,
    progress: Scalar,
    key: Array,
    config: FitConfig,
    budget: int,
) -> tuple[Lesson | None, Number]:
    """Ask the prior about a random part of the video; returns the overflow too, and None with one.

    The kernels of the renderer do not divide over a mesh. So the pictures are rendered on the
    device of the fit, the prior judges them on its own devices, and their gradient comes back.
    """
    part_key, noise_key = jax.random.split(key)
    # Parameters may lie on other devices.
    blind = replace(prior, params=None)
    part, video, overflow = show_part(scene, blind, progress, part_key, config, budget)
    if int(overflow) > 0:
        return None, overflow
    judged = prior.run(judge_video, video, prior, part.views, part.window, part.tau, noise_key)
    loss, slope = jax.device_get(judged)
    gradient = pull_scene(scene, part, jnp.asarray(prior.weight * slope), config, budget)
    return Lesson(jnp.asarray(prior.weight * loss), gradient), overflow


@partial(jax.jit, static_argnames=("config", "budget"))
def show_part(
    scene: Scene,
    prior: Distillation,
    progress: Scalar,
    key: Array,
    config: FitConfig,
    budget: int,
) -> tuple[NovelPictures, Video, Number]:
    """Draw a part of the video and a flow time, and render it; returns the overflow too."""
    views_key, window_key, tau_key = jax.random.split(key, 3)
    count = prior.cameras.intrinsics.shape[0]
    instants = jnp.arange(len(prior.times))
    views = jnp.arange(count)
    window = jnp.int32(0)
    if prior.views:
        views = jnp.sort(jax.random.choice(views_key, count, (prior.views,), replace=False))
    if prior.windows is not None:
        window = jax.random.randint(window_key, (), 0, len(prior.windows))
        instants = prior.windows[window]
    cameras = jax.tree.map(
        lambda x: rearrange(x[views][:, instants], "v t ... -> (v t) ..."), prior.cameras
    )
    times = jnp.tile(prior.times[instants], len(views))
    tau = jax.random.uniform(tau_key, minval=0.02, maxval=prior.largest_tau(progress))
    pictures = render_clip(
        scene,
        cameras,
        times,
        background=jnp.array(config.background),
        antialiased=config.antialiased,
        max_intersections=budget,
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", v=len(views))
    return NovelPictures(views, window, cameras, times, tau), video, pictures.overflow.max()


@partial(jax.jit, static_argnames=("config", "budget"))
def pull_scene(
    scene: Scene,
    part: NovelPictures,
    slope: Video,
    config: FitConfig,
    budget: int,
) -> Scene:
    """Return the gradient in the scene of a loss whose gradient in its pictures is `slope`.

    Each picture is rendered again, so that one at a time is in memory.
    """

    def add(total: Scene, picture: tuple[Camera, Array, Array]) -> tuple[Scene, None]:
        camera, time, slope = picture

        def rgb(scene: Scene) -> Array:
            return render(
                scene.at(time),
                camera,
                background=jnp.array(config.background),
                antialiased=config.antialiased,
                max_intersections=budget,
            ).rgb

        return jax.tree.map(jnp.add, total, jax.vjp(rgb, scene)[1](slope)[0]), None

    flat = rearrange(slope, "m n h w c -> (m n) h w c")
    nothing = jax.tree.map(jnp.zeros_like, scene)
    return lax.scan(add, nothing, (part.cameras, part.times, flat))[0]


def cached_frames(
    scene: Scene,
    prior: Distillation,
    tau: Scalar,
    key: Array,
    config: FitConfig,
) -> Float[Array, "n h w 3"]:
    """Return the prior's version of the scene's present renders at the novel cameras."""
    pictures = render_clip(
        scene,
        *flat_cameras(prior),
        background=jnp.array(config.background),
        antialiased=config.antialiased,
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", t=len(prior.times))
    # By way of the host: the prior may lie on several devices, the fit stays on its own.
    taught = jax.device_get(prior.run(distillation_targets, video, prior, tau, key))
    return rearrange(jnp.asarray(taught), "v t h w c -> (v t) h w c")
