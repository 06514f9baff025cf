"""Flow-matching distillation: a frozen video prior teaches the scene at unfilmed cameras.

The prior is a rectified flow seen through functions of its parameters. With z = encode(video),
noise e, flow time tau (0 = data, 1 = noise):

    (1)  z_tau = (1 - tau) z + tau e
    (2)  f = z_tau - tau velocity(z_tau, tau)      the prior's estimate of the clean latents
    (3)  L = mean (stop_gradient(f) - z)^2         Full-4D eq. 12-13

The gradient form differentiates (3) through the encoder and the renderer, at each step for a random
part of the video. The cached form runs the flow from z_tau to data in a few steps, decodes, and
`fit` uses the result as ordinary pictures: its steps run no network.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, NamedTuple, no_type_check

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from gaussians.deformation import Scene
from gaussians.fitting.fit_config import FitConfig
from gaussians.rendering.rasterizer import render, render_clip
from gaussians.types import Camera, Number, Scalar, Times

# All of it, or m views at n instants.
Video = Float[Array, "v t h w 3"]
Latents = Float[Array, "v f i j c"]
# Of z at a flow time tau.
Velocity = Callable[[Array, Array], Array]


def run_here(program: Callable[..., Any], *arguments: Any) -> Any:
    """Call a program in this process."""
    return program(*arguments)


# JAX puts anything in the place of arrays.
@no_type_check
@dataclass(frozen=True)
class Distillation:
    """A prior bound to its conditions, and the cameras at which it teaches.

    It is a pytree: parameters, cameras and times are arguments of compiled programs, everything
    else is part of the program. Give functions that stay the same from fit to fit, and whatever
    they read as `params`, so that fits share programs and no array is compiled into one.

    Attributes:
      velocity: function of params, z and a scalar tau; the velocity at `cameras`.
      encode: function of params and a video (v t h w 3) in [0, 1]; latents z of any shape.
      decode: function of params and z, the inverse of `encode`; used by the cached form only.
      params: any pytree of arrays.
      cameras: novel views, batched (v t).
      times: time of each frame of the video, in clips.
      form: "cached" (default) or "gradient".
      start: share of the steps after which distillation begins.
      weight: of a picture of the prior, relative to one frame of weight 1.
      tau_first: largest flow time at the start of distillation. The cached form noises to it; the
        gradient form draws tau uniformly between .02 and it.
      tau_last: largest flow time at its end.
      refreshes: how often the cached targets are made (cached form).
      flow_steps: Euler steps from tau to data (cached form).
      noise: scale of e in the cached form. With 0 at flow time 1 the prior gives its mean at the
        novel cameras, whatever the scene looks like there.
      views: novel views that a step of the gradient form queries, drawn anew; 0 means all.
      windows: rows of instants, indices of `times`, of which such a step draws one; None means all
        instants. A row must be a video that `encode` takes.
      part: function of params, views (m) and the number of a row: what `velocity` reads as params
        of that part of the video alone. Needed with `views` or `windows`.
      run: function of a program, a video, this prior and more arguments, with which it calls the
        program. A prior that several processes hold has one that calls it in all of them.
    """

    velocity: Callable[[Any, Array, Array], Array]
    encode: Callable[[Any, Array], Array]
    decode: Callable[[Any, Array], Array]
    params: Any
    cameras: Camera
    times: Float[Array, "t"]
    form: Literal["cached", "gradient"] = "cached"
    start: float = 0.6
    weight: float = 0.5
    tau_first: float = 0.9
    tau_last: float = 0.3
    refreshes: int = 2
    flow_steps: int = 4
    noise: float = 1.0
    views: int = 0
    windows: Int[Array, "w n"] | None = None
    part: Callable[[Any, Array, Array], Any] | None = None
    run: Callable[..., Any] = run_here

    def __post_init__(self) -> None:
        """Refuse settings under which the prior would silently teach nothing."""
        parted = self.views > 0 or self.windows is not None
        if parted and (self.part is None or self.form == "cached"):
            needs = "need `part` and the form gradient"
            raise ValueError(f"distillation: views and windows {needs}")

    def progress(self, fitted: ArrayLike) -> ArrayLike:
        """Return the progress of distillation in [0, 1], given the share of all steps done."""
        return (fitted - self.start) / (1 - self.start)

    def largest_tau(self, progress: ArrayLike) -> ArrayLike:
        """Return the largest flow time, which is annealed linearly."""
        return self.tau_first + (self.tau_last - self.tau_first) * progress


ARRAYS = ["params", "cameras", "times", "windows"]
STATIC = [x.name for x in fields(Distillation) if x.name not in ARRAYS]
jax.tree_util.register_dataclass(Distillation, ARRAYS, STATIC)


def distillation_loss(
    video: Video,
    velocity: Velocity,
    encode: Callable[[Array], Array],
    tau: Scalar,
    key: Array,
) -> Scalar:
    """Return equation 3 for a rendered video in [0, 1]; its gradient never enters `velocity`."""
    return latent_loss(encode(video), velocity, tau, key)


def latent_loss(z: Latents, velocity: Velocity, tau: Scalar, key: Array) -> Scalar:
    """Return equation 3 for the latents of a video."""
    noise = jax.random.normal(key, z.shape)
    noisy = lax.stop_gradient((1 - tau) * z + tau * noise)
    clean = noisy - tau * velocity(noisy, tau)
    return ((lax.stop_gradient(clean) - z) ** 2).mean()


def distillation_targets(
    video: Video, prior: Distillation, tau: Scalar, key: Array
) -> Video:
    """Return the prior's version of a rendered video: noise to `tau`, flow back to data, decode."""
    latents = flow_to_data(prior, encode_video(prior, video), tau, key)
    return decode_video(prior, latents)


def query_gradient(
    video: Video,
    prior: Distillation,
    views: Int[Array, "m"],
    window: Number,
    tau: Scalar,
    key: Array,
) -> tuple[Scalar, Video]:
    """Return equation 3 for a part of the video, and its gradient there."""
    latents = encode_video(prior, video)
    loss, slope = latent_gradient(prior, latents, views, window, tau, key)
    return loss, video_gradient(prior, video, slope)


# Small programs, so that each frees its temporaries. Parameters say which devices there are, even
# where they are not read.
program = partial(jax.jit, keep_unused=True)


@program
def encode_video(prior: Distillation, video: Video) -> Latents:
    """Return the latents of a rendered video."""
    return prior.encode(prior.params, video)


@program
def latent_gradient(
    prior: Distillation,
    z: Latents,
    views: Int[Array, "m"],
    window: Number,
    tau: Scalar,
    key: Array,
) -> tuple[Scalar, Latents]:
    """Return equation 3 for a part of the video, whose latents are z, and its gradient in z."""
    params = (
        prior.params if prior.part is None else prior.part(prior.params, views, window)
    )
    return jax.value_and_grad(latent_loss)(z, partial(prior.velocity, params), tau, key)


@program
def video_gradient(prior: Distillation, video: Video, slope: Latents) -> Video:
    """Return the gradient in a video of a loss whose gradient in the latents is `slope`."""
    _, pull = jax.vjp(partial(prior.encode, prior.params), video)
    return pull(slope)[0]


@program
def flow_to_data(prior: Distillation, z: Latents, tau: Scalar, key: Array) -> Latents:
    """Mix latents with noise to `tau`, and follow the prior's flow from there to data."""
    noise = prior.noise * jax.random.normal(key, z.shape)
    step = tau / prior.flow_steps

    def euler(z, tau):
        return z - step * prior.velocity(prior.params, z, tau), None

    taus = tau * (1 - jnp.arange(prior.flow_steps) / prior.flow_steps)
    return lax.scan(euler, (1 - tau) * z + tau * noise, taus)[0]


@program
def decode_video(prior: Distillation, z: Latents) -> Video:
    """Return the video of latents, in [0, 1]."""
    return jnp.clip(prior.decode(prior.params, z), 0.0, 1.0)


def flat_cameras(prior: Distillation) -> tuple[Camera, Times]:
    """Return the novel cameras and times as n = v t pairs."""
    cameras = jax.tree.map(
        lambda x: rearrange(x, "v t ... -> (v t) ..."), prior.cameras
    )
    return cameras, repeat(
        prior.times, "t -> (v t)", v=prior.cameras.intrinsics.shape[0]
    )


class QueriedPart(NamedTuple):
    """The part of the video that one step of the gradient form queries.

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
    times: Times
    tau: Scalar


class PriorGradient(NamedTuple):
    """The prior's loss at one step of the gradient form, and its gradient.

    Attributes:
      loss: equation 3 of `distillation`, times its weight.
      gradient: of this loss with respect to the scene.
    """

    loss: Scalar
    gradient: Scene


def query_prior(
    scene: Scene,
    prior: Distillation,
    progress: Scalar,
    key: Array,
    config: FitConfig,
    budget: int,
) -> tuple[PriorGradient | None, Number]:
    """Query the prior for a random part of the video; returns the overflow too, and None with one.

    The kernels of the renderer do not divide over a mesh. So the pictures are rendered on the
    device of the fit, the prior judges them on its own devices, and their gradient comes back.
    """
    part_key, noise_key = jax.random.split(key)
    # Parameters may lie on other devices.
    unbound = replace(prior, params=None)
    part, video, overflow = render_part(
        scene, unbound, progress, part_key, config, budget
    )
    if int(overflow) > 0:
        return None, overflow
    drawn = part.views, part.window, part.tau, noise_key
    loss, slope = jax.device_get(prior.run(query_gradient, video, prior, *drawn))
    weighted = jnp.asarray(prior.weight * slope)
    gradient = scene_gradient(scene, part, weighted, config, budget)
    return PriorGradient(jnp.asarray(prior.weight * loss), gradient), overflow


@partial(jax.jit, static_argnames=("config", "budget"))
def render_part(
    scene: Scene,
    prior: Distillation,
    progress: Scalar,
    key: Array,
    config: FitConfig,
    budget: int,
) -> tuple[QueriedPart, Video, Number]:
    """Draw a part of the video and a flow time, and render it; returns the overflow too."""
    views_key, window_key, tau_key = jax.random.split(key, 3)
    count = prior.cameras.intrinsics.shape[0]
    instants = jnp.arange(len(prior.times))
    views = jnp.arange(count)
    window = jnp.int32(0)
    if prior.views:
        drawn = jax.random.choice(views_key, count, (prior.views,), replace=False)
        views = jnp.sort(drawn)
    if prior.windows is not None:
        window = jax.random.randint(window_key, (), 0, len(prior.windows))
        instants = prior.windows[window]
    cameras = jax.tree.map(
        lambda x: rearrange(x[views][:, instants], "v t ... -> (v t) ..."),
        prior.cameras,
    )
    times = jnp.tile(prior.times[instants], len(views))
    tau = jax.random.uniform(tau_key, minval=0.02, maxval=prior.largest_tau(progress))
    pictures = render_clip(
        scene, cameras, times, **config.render_options, max_intersections=budget
    )
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", v=len(views))
    return (
        QueriedPart(views, window, cameras, times, tau),
        video,
        pictures.overflow.max(),
    )


@partial(jax.jit, static_argnames=("config", "budget"))
def scene_gradient(
    scene: Scene, part: QueriedPart, slope: Video, config: FitConfig, budget: int
) -> Scene:
    """Return the gradient in the scene of a loss whose gradient in its pictures is `slope`.

    Each picture is rendered again, so that one at a time is in memory.
    """

    draw = partial(render, **config.render_options, max_intersections=budget)

    def add(total, picture):
        camera, time, slope = picture
        _, pull = jax.vjp(lambda scene: draw(scene.at(time), camera).rgb, scene)
        return jax.tree.map(jnp.add, total, pull(slope)[0]), None

    flat = rearrange(slope, "m n h w c -> (m n) h w c")
    nothing = jax.tree.map(jnp.zeros_like, scene)
    return lax.scan(add, nothing, (part.cameras, part.times, flat))[0]


def cached_frames(
    scene: Scene, prior: Distillation, tau: Scalar, key: Array, config: FitConfig
) -> Float[Array, "n h w 3"]:
    """Return the prior's version of the scene's present renders at the novel cameras."""
    pictures = render_clip(scene, *flat_cameras(prior), **config.render_options)
    video = rearrange(pictures.rgb, "(v t) h w c -> v t h w c", t=len(prior.times))
    # By way of the host: the prior may lie on several devices, the fit stays on its own.
    taught = jax.device_get(prior.run(distillation_targets, video, prior, tau, key))
    return rearrange(jnp.asarray(taught), "v t h w c -> (v t) h w c")
