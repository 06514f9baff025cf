"""Training of the multi-view prior, from a config to shipped weights."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from full4d_jax.config import Config, to_dict
from full4d_jax.config.check import check_heads
from full4d_jax.media.pictures import save_picture
from full4d_jax.models.codecs.codec import codec_weights, computing_weights
from full4d_jax.models.conditions import Params
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.lora import merge_adapters, without_adapters
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.session.fields import require
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.clips.batches import clips_at, training_batches
from full4d_jax.training.clips.records import contents
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.placement import (
    host_memory,
    in_mesh,
    is_sharded,
    make_state,
    on_host,
    replicate,
    training_mesh,
)
from full4d_jax.training.program import runs_codec
from full4d_jax.training.sheets import draw_sheet
from full4d_jax.training.state import TrainState, init_state, state_from_params
from full4d_jax.training.step import train_step
from input_pipeline.procedural.scene_cameras import MAX_AZIMUTH, MAX_ELEVATION
from input_pipeline.whole_files import write_text


def train_prior(
    config: Config, out: Path, init: Path | None, profile: tuple[int, int] | None = None
) -> None:
    """Train to `config.training.steps`; write weights, their summary and a sheet to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights to start from.
      profile: the first and the last step of a trace.
    """
    check_heads(config.model, jax.default_backend())
    mesh = training_mesh(config)
    # Open every file that the config names before the parameters, which take the most memory.
    step = train_step(config)
    weights_of_codec = codec_weights(config) if runs_codec(config) else None
    weights_of_codec = computing_weights(config.model, weights_of_codec)
    record = run_record(config, init, dict(mesh.shape) if mesh else None)
    if config.data.records:
        record["records"] = contents(config)
    if config.training.sheet_every and is_sharded(mesh):
        name, words = "training.sheet_every", "0 on meshes that shard parameters: one device draws"
        require(name, config.training.sheet_every, False, words)
    state, summary = run_training(
        in_mesh(mesh, step),
        first_state(config, init, mesh),
        lambda start: training_batches(config, start, mesh),
        config.training,
        out,
        record,
        (replicate(mesh, weights_of_codec),),
        reporting(config, profile),
    )
    params = on_host(state.ema)
    if jax.process_index() == 0:
        write_results(config, out, params, summary, has_sheet=not is_sharded(mesh))


def first_state(config: Config, init: Path | None, mesh: Mesh | None) -> TrainState:
    """Return the state at step 0, with random parameters or those of the file `init`."""
    key = jax.random.key(config.seed)
    if init is None:
        return make_state(config, mesh, lambda: init_state(config, key))
    with host_memory(mesh):
        params = start_from(config.model, init, key)
    return make_state(config, mesh, partial(state_from_params, config), params)


def reporting(config: Config, profile: tuple[int, int] | None) -> Reporting:
    """Return what a run of this config reports."""
    return Reporting(
        flops=step_flops(config),
        peak=peak_flops(jax.devices()[0].device_kind),
        sheet=lambda state: draw_sheet(config, on_host(state.ema)),
        contents=partial(clips_at, config),
        profile=profile,
    )


def write_results(
    config: Config, out: Path, params: Params, summary: dict[str, Any], *, has_sheet: bool
) -> None:
    """Write the weights, the summary of the run and a sheet."""
    metadata = {
        "model": to_dict(without_adapters(config.model)),
        "frames": config.data.frames,
        "views": config.data.views,
    }
    if not config.data.records:  # the cameras of records may stand anywhere
        metadata |= {"max_azimuth_degrees": MAX_AZIMUTH, "max_elevation_degrees": MAX_ELEVATION}
    weights, about = out / "prior.safetensors", out / "prior.json"
    save_params(weights, merge_adapters(params), metadata)
    write_text(about, json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {about.name}")
    if has_sheet:
        sheet = out / "sheet.png"
        save_picture(sheet, draw_sheet(config, params))
        print(f"wrote {sheet}")
    else:
        print("no sheet: the mesh shards the parameters, which one device may not have room for")
    print(f"next: full4d evaluate CONFIG --checkpoint {weights}")
