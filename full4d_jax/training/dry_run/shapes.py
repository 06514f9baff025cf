"""Shapes and shardings of a training step's inputs, of which none is allocated."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.batch import EncodedBatch
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.sharding import spec, tree_shardings
from full4d_jax.models.wan.text import TOKENS
from full4d_jax.training.bad_losses import RunningLoss, no_losses
from full4d_jax.training.state import TrainState, init_state


def state_shapes(config: Config, mesh: Mesh | AbstractMesh) -> TrainState:
    """Return the state, sharded as `sharding.RULES` says."""
    shapes = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    return _on(shapes, tree_shardings(mesh, shapes, config.model.width))


def losses_shapes(mesh: Mesh | AbstractMesh) -> RunningLoss:
    """Return the running loss, whole on every device."""
    shapes = jax.eval_shape(no_losses)
    return _on(shapes, jax.tree.map(lambda _: NamedSharding(mesh, spec()), shapes))


def batch_shapes(config: Config, mesh: Mesh | AbstractMesh) -> EncodedBatch:
    """Return a batch of encoded clips, sharded over samples."""
    model, data = config.model, config.data
    strides = strides_of(model.codec, model.codec_stride)
    frames = strides.latent_frames(data.frames)
    size = (data.height // model.codec_stride, data.width // model.codec_stride)
    shape = (config.training.batch, data.views, frames, *size)
    none = (*shape[:2], 0, *size)  # frames that are not there
    guided = model.projection != "none"

    def array(*sides: int, kind: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(sides, kind)

    is_visible = not guided or model.first_frame
    conditions = Conditions(
        projection=array(*(shape if guided else none), strides.channels),
        base=array(*shape, strides.channels),
        mask=array(*shape),
        disparity=array(*(shape if guided else none)),
        world_to_camera=array(*shape[:3], 4, 4),
        intrinsics=array(*shape[:2], 3, 3),
        text=array(shape[0], TOKENS, model.text_width) if model.text_width else None,
        visible=array(*shape[:3], kind=jnp.bool_) if is_visible else None,
    )
    views = data.views - (model.projection == "channels")
    batch = EncodedBatch(array(shape[0], views, *shape[2:], strides.channels), conditions)
    cut = jax.tree.map(
        lambda x: NamedSharding(mesh, spec("samples", *[None] * (len(x.shape) - 1))), batch
    )
    return _on(batch, cut)


def _on(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        shardings,
    )
