"""Training of the multi-view prior, from a config to shipped weights."""

import json
from functools import partial
from pathlib import Path

import jax

from full4d_jax.config import Config, to_dict
from full4d_jax.config.check import check_heads
from full4d_jax.media.pictures import save_picture
from full4d_jax.models.codecs.codec import codec_weights
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.lora import merge_adapters, without_adapters
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.session.fields import require
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.clips.records import clips_at, contents
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.placement import (
    in_host_memory,
    is_cut,
    make_state,
    on_all_devices,
    on_host,
    training_mesh,
    within,
)
from full4d_jax.training.sheets import draw_sheet
from full4d_jax.training.state import init_state, state_from_params
from full4d_jax.training.step import train_step
from input_pipeline.loader import make_loader
from input_pipeline.procedural.scene import MAX_AZIMUTH, MAX_ELEVATION


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
    mesh, key = training_mesh(config), jax.random.key(config.seed)
    # Whatever names a file is looked at before the parameters, which are the largest.
    step, weights_of_codec = train_step(config), codec_weights(config)
    record = run_record(config, init, dict(mesh.shape) if mesh else None)
    if config.data.records:
        record["records"] = contents(config)
    if config.training.sheet_every and is_cut(mesh):
        name, words = "training.sheet_every", "0 on meshes that cut parameters: one device draws"
        require(name, config.training.sheet_every, False, words)
    if init is None:
        state = make_state(config, mesh, lambda: init_state(config, key))
    else:
        with in_host_memory(mesh):
            params = start_from(config.model, init, key)
        state = make_state(config, mesh, partial(state_from_params, config), params)
        del params  # or it would stay beside the state
    state, summary = run_training(
        within(mesh, step),
        state,
        lambda start: training_batches(config, start, mesh),
        config.training,
        out,
        record,
        (on_all_devices(mesh, weights_of_codec),),
        Reporting(
            flops=step_flops(config),
            peak=peak_flops(jax.devices()[0].device_kind),
            sheet=lambda state: draw_sheet(config, on_host(state.ema)),
            contents=partial(clips_at if config.data.records else scenes_at, config),
            profile=profile,
        ),
    )
    params = on_host(state.ema)
    if jax.process_index() > 0:
        return
    metadata = {
        "model": to_dict(without_adapters(config.model)),
        "frames": config.data.frames,
        "views": config.data.views,
    }
    if not config.data.records:  # whose cameras may stand anywhere
        metadata |= {"max_azimuth_degrees": MAX_AZIMUTH, "max_elevation_degrees": MAX_ELEVATION}
    weights, about = out / "prior.safetensors", out / "prior.json"
    save_params(weights, merge_adapters(params), metadata)
    about.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {about.name}")
    if is_cut(mesh):
        print("no sheet: the mesh cuts the parameters, one device may have no room for them")
    else:
        sheet = out / "sheet.png"
        save_picture(sheet, draw_sheet(config, params))
        print(f"wrote {sheet}")
    print(f"next: full4d evaluate CONFIG --checkpoint {weights}")


def scenes_at(config: Config, position: int) -> list[int]:
    """Indices of the procedural scenes in the batch at a position in the data."""
    scenes, batch = range(config.data.scenes), config.training.batch
    loader = make_loader(scenes, seed=config.seed, batch_size=batch, start_step=position)
    return [int(index) for index in next(loader)]
