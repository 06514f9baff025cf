"""The prior as `gaussians` takes it: asked at cameras half-way between those of the grid.

A step of the gradient form may ask about a part of the grid: some of the novel views, and a window
of whole latent frames. A causal codec encodes the first frame of a video alone and every other with
those before it. So a window is a video of its own, as in training: it starts at the last instant of
any latent frame, its conditions are encoded from there, and its world is the source camera there.
The conditions of all windows are made once, before the fit. Instants near the ends of the clip are
in fewer windows than others.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import Size
from full4d_jax.generation import batch, cascade, sampling
from full4d_jax.generation.generate import (
    BoundPrior,
    Frames,
    bind_prior,
    target_velocity,
)
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.models import grid_mesh
from full4d_jax.models.dit import sharding
from full4d_jax.session import fields, processes
from full4d_jax.source.camera_paths import angles_of, pivot_of
from gaussians import Distillation
from input_pipeline.pinhole import invert


def teacher_between(
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
    """Ask the prior at the cameras half-way between those of the grid.

    A grid may be larger than what the prior has learned. Then what the scene shows is made small
    before it is judged, and the loss goes through that.

    In the cached form a sampler without noise gives the prior's mean, whatever the scene looks
    like: it is asked for once, before the first step. One with noise draws, and redoes what the
    scene shows by then. The gradient form judges what the scene shows, with noise of its own.

    Args:
      form: as `Distillation.form`.
      prior: the network and its sampler.
      source: the source video, [0, 1].
      depth: its z-depth in world units, 0 where unknown.
      cameras: of the grid, the source first.
      views: how many novel views a step of the gradient form asks about; 0 is all.
      frames: about how many instants of them, likewise; 0 is all.
      rows: short side at which the prior is asked; 0 is that of the source.

    Raises:
      InputError: there are not as many views or frames, or the codec cannot encode the frames; or
        the model cannot divide what is asked about into tokens, or the mesh the tokens.
    """
    frames = frames or len(source)
    stride = prior.model.strides
    known = f"at most the {len(source)} of the grid"
    fields.require("lift.distilled_frames", frames, frames <= len(source), known)
    starts = np.arange(0, len(source) - frames + 1, stride.frames)
    novel = half_way(cameras)
    count = len(novel.intrinsics)
    fits = f"at most {count}, the cameras half-way between those of the grid"
    fields.require("lift.distilled_views", views, views <= count, fits)
    poses = jnp.concatenate([cameras.world_to_camera[:1], novel.world_to_camera])
    asked = replace(cameras, world_to_camera=poses)
    seen = source
    if rows:
        multiple = prior.model.patch * prior.model.codec_stride
        height, width = source.shape[1:3]
        size = sides(height, width, rows, multiple)
        (seen,), (depth,), asked = cascade.shrink(
            source[None], depth[None], asked, size
        )
    check_grid(prior, Size(1 + (views or count), frames, *seen.shape[1:3]))
    bind = partial(_bind_windows, prior, starts=starts, frames=frames)
    bound = processes.mesh_arrays(prior.mesh, bind, 2 * seen - 1, depth, asked)
    if prior.sampler.offload:
        # A fit asks again and again.
        bound = jax.device_put(bound)
    distillation = Distillation(
        velocity=target_velocity,
        encode=_encode,
        decode=_decode,
        params=bound,
        cameras=novel.batched(),
        times=jnp.linspace(0.0, 1.0, len(source)),
        form=form,
        run=_run_on_mesh,
    )
    if form == "gradient":
        windows = jnp.asarray(starts[:, None] + np.arange(frames))
        return replace(distillation, views=views, windows=windows, part=_part)
    if prior.sampler.noise:
        return distillation
    # Without noise its answer does not depend on the scene, and it is asked once.
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


def _bind_windows(
    prior: Prior,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    cameras: Cameras,
    starts: Int[np.ndarray, "n"],
    frames: int,
) -> BoundPrior:
    """Bind the prior to windows of a source video in [-1, 1]: its guides are batches of windows."""

    bound = []
    for start in starts.tolist():
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


def _part(
    bound: BoundPrior, views: Int[Array, "m"], window: Int[Array, ""]
) -> BoundPrior:
    """Return the prior bound to some of the novel views and to one window."""
    seen = jnp.concatenate([jnp.zeros(1, views.dtype), views + 1])  # the source first

    def one(guide):
        own = jax.tree.map(lambda x: x[window][None], guide._replace(text=None))
        return sampling.views_of(own, seen)._replace(text=guide.text)

    return bound._replace(guides=tuple(one(x) for x in bound.guides))


def half_way(cameras: Cameras) -> Cameras:
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


def _run_on_mesh(
    program: Callable[..., Any], video: Frames, teacher: Distillation, *arguments: Any
) -> Any:
    """Call a program of `gaussians`, whose last argument is a key, on the prior's mesh."""
    *asked, key = arguments
    # What is bound lies on the mesh.
    bound = teacher.params
    blind = replace(teacher, params=None)

    def run(video, blind, key_data, *asked):
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        return program(video, replace(blind, params=bound), *asked, key)

    data = jax.random.key_data(key)
    return processes.on_mesh(bound.prior.mesh, run, video, blind, data, *asked)


def _encode(bound: BoundPrior, video: Frames) -> Float[Array, "v f i j c"]:
    prior = bound.prior
    # Of a guide of the source the codec's strides give the size at which the prior is asked.
    stride = prior.model.strides.pixels
    size = tuple(stride * side for side in bound.guides[0].base.shape[3:5])
    if video.shape[2:4] != size:
        video = jax.image.resize(video, (*video.shape[:2], *size, 3), "linear")
    with grid_mesh.around(prior.mesh):
        video = sharding.constrain(video, *[None] * video.ndim)  # and so its gradient
        z = batch.encode_videos(prior.model, prior.codec_weights, 2 * video[None] - 1)[
            0
        ]
        return sharding.constrain(z, *[None] * z.ndim)


def _decode(bound: BoundPrior, z: Float[Array, "v f i j c"]) -> Frames:
    prior = bound.prior
    with grid_mesh.around(prior.mesh):
        return (
            batch.decode_videos(prior.model, prior.codec_weights, z[None])[0] / 2 + 0.5
        )
