"""The programs of `full4d data encode` and `depth`, traced for a device that need not exist.

They are the functions that run, with shapes in the place of weights and pictures. Each runs on one
device; other devices have other clips.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from full4d_jax.config import Config
from full4d_jax.data.encode import encode_projection, encode_views
from full4d_jax.models.codec_files import codec_shapes
from full4d_jax.models.dit.sharding import shapes_on
from full4d_jax.source.depth.our_network import load_depth, predict_depth

# By name, each traced when it is called.
Programs = dict[str, Callable[[], Any]]


def encode_programs(config: Config, mesh: Mesh) -> Programs:
    """Return the programs of `data encode` for a window of `config.data`.

    Args:
      config: the experiment.
      mesh: of one device.
    """
    weights = codec_shapes(config, mesh)
    data = config.data
    source = data.frames, data.height, data.width
    frames = jax.ShapeDtypeStruct((data.views, *source, 3), jnp.uint8)
    programs: Programs = {
        "pictures": partial(encode_views.trace, config, weights, frames)
    }
    if data.projections:
        sides = source, (data.views, 3, 3), (data.views, data.frames, 4, 4)
        inputs = (
            jax.ShapeDtypeStruct((*source, 3), jnp.uint8),
            *(jax.ShapeDtypeStruct(x, jnp.float32) for x in sides),
            jax.eval_shape(lambda: jax.random.key(0)),
            jax.ShapeDtypeStruct((), jnp.int32),
        )
        project = partial(encode_projection.trace, config, weights, *inputs)
        programs["a projection"] = project
    return programs


def depth_programs(config: Config, mesh: Mesh) -> Programs:
    """Return the program of `data depth` for a picture of `config.data`, by our network.

    Args:
      config: the experiment.
      mesh: of one device.
    """
    network = load_depth()
    size = network.sides(config.data.height, config.data.width)
    picture = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    predict = jax.jit(predict_depth)
    return {"a picture": partial(predict.trace, shapes_on(mesh, network), picture)}
