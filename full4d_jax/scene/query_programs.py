"""The programs that query a prior, traced for devices that need not exist: `sample` and `lift`.

They are the functions that run, with shapes in the place of weights and pictures.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, Size
from full4d_jax.generation.generate import flow_program, guides_program, views_program
from full4d_jax.generation.prior import Prior, check_grid, check_offload
from full4d_jax.models import flops, grid_mesh
from full4d_jax.models.codec_files import codec_shapes
from full4d_jax.models.dit.sharding import AnyMesh, shapes_on
from full4d_jax.models.wan.text import load_text
from full4d_jax.scene.prior_teacher import halfway_teacher
from full4d_jax.session.fields import require
from gaussians import Distillation
from gaussians.fitting import distillation

# By name, each traced when it is called; first those of the network, as the compiler for TPU takes
# longest for convolutions.
Programs = dict[str, Callable[[], Any]]


def sample_programs(config: Config, mesh: Mesh) -> Programs:
    """Return what `sample` runs for the grid of `config.data`.

    Raises:
      InputError: the grid does not divide over the mesh.
    """
    prior = prior_shapes(config, mesh, "sample")
    frames, depth, key = _inputs(config.data.size)
    arguments = prior.for_codec, frames, depth, _cameras(config.data.size), None
    # Where programs leave what others take.
    left = grid_mesh.around_devices(mesh)
    guides = shapes_on(left, jax.eval_shape(guides_program, *arguments)[0])
    made = jax.eval_shape(flow_program, prior.for_network, guides, key)
    latents = shapes_on(left, made)
    return {
        "all steps": partial(flow_program.trace, prior.for_network, guides, key),
        "projection and codec": partial(guides_program.trace, *arguments),
        "decoding": partial(views_program.trace, prior.for_codec, latents, frames),
    }


def lift_programs(config: Config, mesh: Mesh) -> Programs:
    """Return the queries of `lift`: the scene's pictures made anew, or judged at each step.

    The scene itself is fitted on one device, by programs that are not among these.

    Raises:
      InputError: the grid, or the part that a step queries, does not divide over the mesh.
    """
    prior = prior_shapes(config, mesh, "lift")
    settings = config.lift
    source, depth, key = _inputs(config.data.size)
    cameras = _cameras(config.data.size)
    form = "gradient" if settings.distillation == "gradient" else "cached"
    part = {"views": settings.distilled_views, "frames": settings.distilled_frames}
    bind = partial(halfway_teacher, form, cameras=cameras, **part)
    video, own_depth = (
        jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in (source, depth)
    )
    teacher = jax.eval_shape(bind, prior, video, own_depth)
    # Shapes have lost where arrays lie.
    left = grid_mesh.around_devices(mesh)
    guides = shapes_on(left, teacher.params.guides)
    params = teacher.params._replace(prior=prior, guides=guides)
    teacher = replace(teacher, params=params)
    size = queried_size(config, "lift")
    window, seen, _ = _inputs(size)
    novel = size.views - 1
    video = jax.ShapeDtypeStruct((novel, *window.shape[1:]), jnp.float32)
    tau = jax.ShapeDtypeStruct((), jnp.float32)
    z = shapes_on(left, jax.eval_shape(distillation.encode_video, teacher, video))
    arguments = prior.for_codec, window, seen, cameras.frames(slice(size.frames))
    programs: Programs = {
        "projection and codec": partial(guides_program.trace, *arguments),
        "encoding": partial(distillation.encode_video.trace, teacher, video),
    }
    if form == "cached":
        return {
            "all steps": partial(distillation.flow_to_data.trace, teacher, z, tau, key),
            **programs,
            "decoding": partial(distillation.decode_video.trace, teacher, z),
        }
    drawn = (jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((novel,), ()))
    return {
        "judging": partial(
            distillation.latent_gradient.trace, teacher, z, *drawn, tau, key
        ),
        **programs,
        "the encoder's gradient": partial(
            distillation.video_gradient.trace, teacher, video, z
        ),
    }


def queried_size(config: Config, program: Literal["sample", "lift"]) -> Size:
    """Return the size of a query, the source included.

    Raises:
      InputError: no program of `lift` queries the prior.
    """
    size = config.data.size
    settings = config.lift
    if program == "sample":
        return size
    form = settings.distillation
    expected = "auto, cached or gradient, which query the prior"
    require("lift.distillation", form, form != "none", expected)
    novel = settings.distilled_views or size.views - 1
    frames = settings.distilled_frames or size.frames
    return size._replace(views=1 + novel, frames=frames)


def query_flops(config: Config, program: Literal["sample", "lift"]) -> float:
    """Count the network's operations, as if it saw all of a query at once.

    Groups of views and windows of frames cost less in attention, and more where they overlap. For
    the gradient form of distillation it is one step.
    """
    sampler = config.sampler
    steps = sampler.steps
    if program == "lift" and sampler.noise:
        steps = Distillation.flow_steps
    if program == "lift" and config.lift.distillation == "gradient":
        steps = 1
    guides = 1 + (sampler.guidance != 1) + (sampler.text_guidance != 1)
    size = queried_size(config, program)
    one = flops.forward_flops(config, size.views, size.frames)
    return guides * steps * one


def weights_bytes(prior: Prior) -> dict[str, int]:
    """Return the bytes of the network's and the codec's weights on each device."""

    def held(tree):
        parts = (
            (x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves(tree)
        )
        return sum(math.prod(shape) * kind.itemsize for shape, kind in parts)

    return {"parameters": held(prior.params), "codec": held(prior.codec_weights)}


def prior_shapes(
    config: Config, mesh: AnyMesh, program: Literal["sample", "lift"]
) -> Prior:
    """Return the prior that `open_prior` reads on these devices, as shapes.

    Raises:
      InputError: a query does not divide over the mesh, or the mesh has several
        devices that offload, or a text is unusable.
    """
    check_offload(config.sampler, mesh)
    codec = codec_shapes(config, mesh)
    params = grid_mesh.parameter_shapes(config.model, mesh)
    texts = load_text(config), load_text(config, "negative_text")
    shape = mesh.abstract_mesh if mesh.size > 1 else None
    prior = Prior(config.model, config.sampler, params, codec, *texts, mesh=shape)
    check_grid(prior, queried_size(config, program))
    return prior


def _inputs(size: Size) -> tuple[Any, Any, Any]:
    """Return the shapes of the source's frames, of their depth, and of the key."""
    one = size._replace(views=1)
    source, depth = (jax.ShapeDtypeStruct(x, jnp.float32) for x in ((*one, 3), one))
    return source, depth, jax.eval_shape(jax.random.key, 0)


def _cameras(size: Size) -> Cameras:
    """Return as many cameras as the grid has views; where they stand costs nothing."""
    lenses = np.tile(np.eye(3, dtype=np.float32), (size.views, 1, 1))
    poses = np.tile(np.eye(4, dtype=np.float32), (size.views, size.frames, 1, 1))
    return Cameras(lenses, poses, size.height, size.width)
