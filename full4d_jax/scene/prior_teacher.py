"""Distillation's side of the prior: from its weights to the velocity at the cameras of a query.

`gaussians.fitting.distillation` has the equations and calls what is bound here. The query cameras
stand half-way between those of the grid.

A step of the gradient form may query a part of the grid: some of the novel views, and a window of
whole latent frames. A causal codec encodes the first frame of a video alone and every other with
those before it. So a window is a video of its own, as in training: it starts at the last instant of
any latent frame, its conditions are encoded from there, and its world is the source camera there.
The conditions of all windows are made once, before the fit. Instants near the ends of the clip are
in fewer windows than others.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import DEFAULT, LiftConfig, Size
from full4d_jax.generation import batch, cascade, sampling
from full4d_jax.generation.generate import Frames, bind_guided, guides_program
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.generation.projection_guidance import Depths, Videos
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.grid import Grid
from full4d_jax.models.dit import sharding
from full4d_jax.models.grid_mesh import around
from full4d_jax.session import fields, processes
from full4d_jax.source.camera_paths import angles_of, pivot_of
from gaussians import Distillation
from input_pipeline.pinhole import invert


def grid_teacher(
    settings: LiftConfig, prior: Prior, grid: Grid, rows: int
) -> Distillation:
    """Return the prior as the teacher of a fit to a grid.

    Of a grid larger than what the prior was trained on, a step queries no more views and instants
    than that, at the prior's own size.

    Args:
      settings: of the fit, with the form that runs (`fit_settings.sized_for`).
      prior: the network and its sampler.
      grid: the source with depth, then other views, with cameras.
      rows: short side of the prior's own frames.

    Raises:
      InputError: see `halfway_teacher`.
    """
    assert settings.distillation in ("cached", "gradient"), "a form that runs"
    views = settings.distilled_views
    frames = settings.distilled_frames
    if grid.about.enlarged:
        trained = DEFAULT.data.size
        prior = cascade.in_parts(prior, trained)
        views = views or min(len(grid.frames), trained.views) - 1
        frames = frames or min(len(grid.times), trained.frames)
    return halfway_teacher(
        settings.distillation,
        prior,
        jnp.asarray(grid.frames[0], jnp.float32) / 255,
        jnp.asarray(grid.known_depth[0]),
        jax.tree.map(jnp.asarray, grid.known_cameras),
        views=views,
        frames=frames,
        rows=rows if grid.about.enlarged else 0,
    )


def halfway_teacher(
    form: Literal["cached", "gradient"],
    prior: Prior,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    *,
    views: int = 0,
    frames: int = 0,
    rows: int = 0,
) -> Distillation:
    """Return the prior as a teacher at the cameras half-way between those given.

    Pictures of a scene that are larger than the prior's own are made small before it is queried,
    and the loss goes through that.

    In the cached form a sampler without noise gives the prior's mean, whatever the scene looks
    like: it is queried once, before the first step. One with noise draws, and redoes what the
    scene shows by then. The gradient form judges what the scene shows, with noise of its own.

    Args:
      form: as `Distillation.form`.
      prior: the network and its sampler.
      source: the source video, [0, 1].
      depth: its z-depth in world units, 0 where unknown.
      cameras: of the grid, the source first.
      views: novel views that a step of the gradient form queries; 0 is all.
      frames: instants of them that it queries; 0 is all.
      rows: short side of the pictures that the prior sees; 0 is that of the source.

    Raises:
      InputError: there are not as many views or frames, or the codec cannot encode the frames; or
        the model cannot divide a query into tokens, or the mesh the tokens.
    """
    frames = frames or len(source)
    stride = prior.model.strides
    known = f"at most the {len(source)} of the grid"
    fields.require("lift.distilled_frames", frames, frames <= len(source), known)
    first_instants = np.arange(0, len(source) - frames + 1, stride.frames)
    novel = halfway_cameras(cameras)
    count = len(novel.intrinsics)
    fits = f"at most {count}, the cameras half-way between those of the grid"
    fields.require("lift.distilled_views", views, views <= count, fits)
    poses = jnp.concatenate([cameras.world_to_camera[:1], novel.world_to_camera])
    queried = replace(cameras, world_to_camera=poses)
    if rows:
        multiple = prior.model.patch * prior.model.codec_stride
        height, width = source.shape[1:3]
        size = sides(height, width, rows, multiple)
        (source,), (depth,), queried = cascade.shrink(
            source[None], depth[None], queried, size
        )
    check_grid(prior, Size(1 + (views or count), frames, *source.shape[1:3]))
    bind = partial(bind_windows, prior, first_instants=first_instants, frames=frames)
    bound = processes.mesh_arrays(prior.mesh, bind, 2 * source - 1, depth, queried)
    if prior.sampler.offload:
        # A fit queries again and again.
        bound = jax.device_put(bound)
    distillation = Distillation(
        velocity=query_velocity,
        encode=_encode,
        decode=_decode,
        params=bound,
        cameras=novel.batched(),
        times=jnp.linspace(0.0, 1.0, len(source)),
        form=form,
        run=_run_on_mesh,
    )
    if form == "gradient":
        windows = jnp.asarray(first_instants[:, None] + np.arange(frames))
        return replace(distillation, views=views, windows=windows, part=bound_part)
    if prior.sampler.noise:
        return distillation
    # Without noise its mean does not depend on the scene: one query.
    return replace(
        distillation,
        start=0.0,
        weight=1.0,
        tau_first=1.0,
        tau_last=1.0,
        refreshes=1,
        flow_steps=prior.sampler.steps,
        noise=0.0,
    )


def halfway_cameras(cameras: Cameras) -> Cameras:
    """Return cameras half-way between neighbours in azimuth, the source among them."""
    paths = np.asarray(cameras.world_to_camera)
    order = np.argsort(angles_of(paths[:, 0], pivot_of(paths))[:, 0])
    poses = invert(paths.astype(np.float64))[order]
    # The rotation nearest to the mean of two rotations is half-way between them.
    middle = (poses[1:] + poses[:-1]) / 2
    left, _, right = np.linalg.svd(middle[..., :3, :3])
    middle[..., :3, :3] = left @ right
    poses = jnp.asarray(invert(middle).astype(np.float32))
    return replace(cameras, intrinsics=cameras.intrinsics[1:], world_to_camera=poses)


class BoundPrior(NamedTuple):
    """A prior with the conditions of its queries; a pytree of arrays.

    Attributes:
      prior: the network.
      guides: conditions of the sampler's guidance, of the source and the query cameras; batches of
        one or, of windows, of all of them.
      noise: noise of the source's latents (1 t h w c) where the prior generates the source too
        (projection as frames), else None.
    """

    prior: Prior
    guides: sampling.Guides
    noise: Float[Array, "1 t h w c"] | None


def bind_prior(
    prior: Prior, frames: Videos, depth: Depths, cameras: Cameras
) -> BoundPrior:
    """Bind a prior to real views in [-1, 1] and the query cameras.

    Raises:
      InputError: the codec cannot encode the video.
    """
    guides, _ = guides_program(prior.for_codec, frames, depth, cameras)
    noise = None
    if prior.model.guide.clean_views == 0:
        noise = jax.random.normal(jax.random.key(0), guides[0].projection[0, :1].shape)
    return BoundPrior(prior, guides, noise)


def query_velocity(
    bound: BoundPrior, z: Float[Array, "v t h w c"], tau: Float[Array, "..."]
) -> Float[Array, "v t h w c"]:
    """Return the prior's velocity of the target views, with its sampler's guidance.

    Where the prior generates the source view too, it gets the input video there, with one fixed
    sample of noise at tau. Views beyond `sampler.group_views` are queried in groups, the same at
    every call.

    Args:
      bound: the prior and its conditions.
      z: latents of the target views.
      tau: flow time, () or (1,).
    """
    prior, guides, noise = bound
    projection = guides[0].projection
    generated = projection.shape[1] - prior.model.guide.clean_views
    bind = partial(bind_guided, prior)
    with around(prior.mesh):
        at = sampling.velocity_of_groups(prior.sampler, bind, guides, generated)
        if noise is not None:
            z = jnp.concatenate([(1 - tau) * projection[0, :1] + tau * noise, z])
        velocity = at(jnp.int32(0))(z[None], jnp.reshape(tau, (1,)))[0]
        return velocity if noise is None else velocity[1:]


def bind_windows(
    prior: Prior,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    first_instants: Int[np.ndarray, "n"],
    frames: int,
) -> BoundPrior:
    """Bind the prior to windows of a source video in [-1, 1]: its guides are batches of windows."""

    bound = []
    for start in first_instants.tolist():
        at = slice(start, start + frames)
        own = cameras.frames(at)
        if start > 0:
            poses = own.world_to_camera
            own = replace(own, world_to_camera=relative_pose(poses, poses[:1, :1]))
        bound.append(bind_prior(prior, source[None, at], depth[None, at], own))
    guides = []
    for windows in zip(*(x.guides for x in bound), strict=True):
        arrays = (x._replace(text=None) for x in windows)
        joined = jax.tree.map(lambda *x: jnp.concatenate(x), *arrays)
        guides.append(joined._replace(text=windows[0].text))
    return bound[0]._replace(guides=tuple(guides))


def bound_part(
    bound: BoundPrior, views: Int[Array, "m"], window: Int[Array, ""]
) -> BoundPrior:
    """Return the prior bound to some of the novel views and to one window."""
    # The source first.
    shown = jnp.concatenate([jnp.zeros(1, views.dtype), views + 1])

    def one(guide):
        own = jax.tree.map(lambda x: x[window][None], guide._replace(text=None))
        return sampling.views_of(own, shown)._replace(text=guide.text)

    return bound._replace(guides=tuple(one(x) for x in bound.guides))


def _run_on_mesh(
    program: Callable[..., Any], video: Frames, teacher: Distillation, *arguments: Any
) -> Any:
    """Call a program of `gaussians`, whose last argument is a key, on the prior's mesh."""
    *drawn, key = arguments
    # What is bound lies on the mesh.
    bound = teacher.params
    unbound = replace(teacher, params=None)

    def run(video, unbound, key_data, *drawn):
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        return program(video, replace(unbound, params=bound), *drawn, key)

    data = jax.random.key_data(key)
    return processes.on_mesh(bound.prior.mesh, run, video, unbound, data, *drawn)


def _encode(bound: BoundPrior, video: Frames) -> Float[Array, "v f i j c"]:
    prior = bound.prior
    # Of a guide of the source the codec's strides give the size that the prior sees.
    stride = prior.model.strides.pixels
    size = tuple(stride * side for side in bound.guides[0].base.shape[3:5])
    if video.shape[2:4] != size:
        video = jax.image.resize(video, (*video.shape[:2], *size, 3), "linear")
    with around(prior.mesh):
        video = sharding.constrain(video, *[None] * video.ndim)  # and so its gradient
        z = batch.encode_videos(prior.model, prior.codec_weights, 2 * video[None] - 1)[
            0
        ]
        return sharding.constrain(z, *[None] * z.ndim)


def _decode(bound: BoundPrior, z: Float[Array, "v f i j c"]) -> Frames:
    prior = bound.prior
    with around(prior.mesh):
        return (
            batch.decode_videos(prior.model, prior.codec_weights, z[None])[0] / 2 + 0.5
        )
