"""Contact sheets: what the prior makes of held-out scenes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt8

from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.batch import Batch, procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, prior_with
from full4d_jax.generation.real_frames import copy_nearest, row_and_column
from full4d_jax.media.pictures import contact_sheet, to_uint8, to_unit
from full4d_jax.models.functional import Params
from full4d_jax.models.grid_mesh import around
from full4d_jax.models.sharding import constrain
from input_pipeline.procedural.scene import HELD_OUT_START


def draw_sheet(
    config: Config, params: Params, mesh: Mesh | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the sheet of a model with projection, or of one that fills grids.

    Args:
      config: the experiment.
      params: of the network.
      mesh: over which they are sharded, and on which all its processes draw.
    """
    draw = held_out_sheet if config.model.needs_cameras else filled_held_out_sheet
    return draw(config, prior_with(config, params, mesh))


def held_out_sheet(config: Config, prior: Prior, scenes: int = 3) -> UInt8[np.ndarray, "H W 3"]:
    """Draw last frames of held-out scenes: source, projection, prior and truth of each target."""
    pictures = np.asarray(_draw_targets(config, prior, HELD_OUT_START + np.arange(scenes)))
    labels = ["source", "projection", "prior", "truth"]
    return contact_sheet(
        to_uint8(rearrange(pictures / 2 + 0.5, "n r v h w c -> r (n v) h w c")),
        rows=labels,
        columns=[
            f"scene {i}, view {v}" for i in range(scenes) for v in range(1, config.data.views)
        ],
        title=f"{config.name}: held-out procedural scenes",
    )


@partial(jax.jit, static_argnums=0)
def _draw_targets(
    config: Config, prior: Prior, indices: Int[Array, "n"]
) -> Float[Array, "n r v h w 3"]:
    """Return source, projection, prior and truth (r) of the targets of scenes n, in [-1, 1]."""
    model = config.model
    stride = strides_of(model.codec, model.codec_stride).frames
    few = 4 if stride == 1 else 1 + stride
    data = dataclasses.replace(config.data, frames=min(config.data.frames, few))

    def generate(clip: Batch):
        key = jax.random.key(config.seed)
        grid, projection = generate_grid(
            prior, clip.frames[:1], clip.depth[None], clip.cameras, key
        )
        source = jnp.broadcast_to(clip.frames[:1], clip.frames[1:].shape)
        rows = (source, projection.frames, grid[1:], clip.frames[1:])
        return jnp.stack([row[:, -1] for row in rows])

    drawn = jax.lax.map(generate, procedural_batch(indices, data))
    with around(prior.mesh):  # whole, for every process to read
        return constrain(drawn, *[None] * drawn.ndim)


def filled_held_out_sheet(
    config: Config, prior: Prior, scenes: int = 3
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw held-out grids filled from row and column: the last time of each view, and its truth."""
    real = row_and_column(config.data.views, config.data.frames)
    indices = HELD_OUT_START + jnp.arange(scenes)
    grids = np.asarray(jax.jit(lambda i: procedural_batch(i, config.data))(indices).frames)
    key = jax.random.key(config.seed)
    cells = []
    for frames in grids:
        copied = copy_nearest(jnp.asarray(frames), jnp.asarray(real))
        rows = (frames, copied, fill_grid(prior, frames, real, key))
        cells += [to_unit(x[:, -1]) for x in rows]
    return contact_sheet(
        to_uint8(np.stack(cells)),
        rows=[
            f"scene {i}: {what}" for i in range(scenes) for what in ("truth", "nearest", "prior")
        ],
        columns=[f"view {view}" for view in range(config.data.views)],
        title=f"{config.name}: the last time of held-out grids; view 0 is real",
    )
