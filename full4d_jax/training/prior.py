"""Training of the multi-view prior on procedural scenes, from a config to shipped weights."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import UInt8

from full4d_jax.batch import Batch, procedural_batch
from full4d_jax.config import Config, to_dict
from full4d_jax.evaluation import to_unit
from full4d_jax.generation import generate_grid
from full4d_jax.grid_filling import fill_grid
from full4d_jax.models.codecs import codec_weights
from full4d_jax.models.conditions import Params
from full4d_jax.models.lora import merge_adapters, without_adapters
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.training.batches import training_batches
from full4d_jax.training.loop import run_training
from full4d_jax.training.resume import run_record
from full4d_jax.training.state import init_state, state_from_params
from full4d_jax.training.step import train_step
from full4d_jax.visible_frames import copy_nearest, row_and_column
from input_pipeline.procedural import HELD_OUT_START, MAX_AZIMUTH, MAX_ELEVATION


def train_prior(config: Config, out: Path, init: Path | None) -> None:
    """Train to `config.training.steps`; write weights, their summary and a sheet to `out`."""
    key = jax.random.key(config.seed)
    if init is None:
        state = init_state(config, key)
    else:
        params = start_from(config.model, init, key)
        state = state_from_params(config, params)
    state, summary = run_training(
        train_step(config),
        state,
        lambda start: training_batches(config, start),
        config.training,
        out,
        run_record(config, init),
        (codec_weights(config),),
    )
    metadata = {
        "model": to_dict(without_adapters(config.model)),
        "max_azimuth_degrees": MAX_AZIMUTH,
        "max_elevation_degrees": MAX_ELEVATION,
        "frames": config.data.frames,
        "views": config.data.views,
    }
    weights, about = out / "prior.safetensors", out / "prior.json"
    save_params(weights, merge_adapters(state.ema), metadata)
    about.write_text(json.dumps(summary, indent=1) + "\n")
    sheet = out / "sheet.png"
    picture = filled_sheet if config.model.projection == "none" else held_out_sheet
    save_picture(sheet, picture(config, state.ema))
    print(f"wrote {weights}, {about.name} and {sheet.name}")
    print(f"next: full4d evaluate CONFIG --checkpoint {weights}")


def held_out_sheet(config: Config, params: Params, scenes: int = 3) -> UInt8[np.ndarray, "H W 3"]:
    """The last frames of scenes never seen: source, projection, prior and truth of each target."""
    data = dataclasses.replace(config.data, frames=min(config.data.frames, 4))
    indices = HELD_OUT_START + jnp.arange(scenes)
    batch = jax.jit(lambda i: procedural_batch(i, data))(indices)

    def generate(clip: Batch):
        grid, projection = generate_grid(
            config,
            params,
            clip.frames[0],
            clip.depth,
            clip.intrinsics,
            clip.world_to_camera,
            jax.random.key(config.seed),
        )
        source = jnp.broadcast_to(clip.frames[:1], clip.frames[1:].shape)
        rows = (source, projection.frames, grid[1:], clip.frames[1:])
        return jnp.stack([row[:, -1] for row in rows])  # (4 v-1 h w 3)

    pictures = np.asarray(jax.jit(lambda b: jax.lax.map(generate, b))(batch)) / 2 + 0.5
    labels = ["source", "projection", "prior", "truth"]
    return contact_sheet(
        to_uint8(rearrange(pictures, "n r v h w c -> r (n v) h w c")),
        rows=labels,
        columns=[f"scene {i}, view {v}" for i in range(scenes) for v in range(1, data.views)],
        title=f"{config.name}: held-out procedural scenes",
    )


def filled_sheet(config: Config, params: Params, scenes: int = 3) -> UInt8[np.ndarray, "H W 3"]:
    """Scenes never seen, filled from row and column: the last time of every view, and its truth."""
    visible = row_and_column(config.data.views, config.data.frames)
    indices = HELD_OUT_START + jnp.arange(scenes)
    grids = jax.jit(lambda i: procedural_batch(i, config.data))(indices).frames
    key, cells = jax.random.key(config.seed), []
    for frames in grids:
        copied = copy_nearest(frames, jnp.asarray(visible))
        rows = (frames, copied, fill_grid(config, params, frames, visible, key))
        cells += [to_unit(x[:, -1]) for x in rows]
    return contact_sheet(
        to_uint8(np.stack(cells)),
        rows=[
            f"scene {i}: {what}" for i in range(scenes) for what in ("truth", "nearest", "prior")
        ],
        columns=[f"view {view}" for view in range(config.data.views)],
        title=f"{config.name}: the last time of held-out grids; view 0 is given",
    )
