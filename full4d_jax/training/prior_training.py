"""Training of the multi-view prior, from a config to shipped weights."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from full4d_jax.config import Config, to_dict
from full4d_jax.media.pictures import save_picture
from full4d_jax.models import flops, functional, initial_params, trainable
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.weights import save_params
from full4d_jax.session.fields import require_option
from full4d_jax.training import held_out, run_state, state, training_loop
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.clips import mixing
from full4d_jax.training.clips.batches import clips_at, training_batches
from full4d_jax.training.loss import Loss
from full4d_jax.training.step import train_step
from input_pipeline.procedural.scene import MAX_AZIMUTH, MAX_ELEVATION
from input_pipeline.whole_files import write_text


def train_prior(
    config: Config,
    out: Path,
    init: Path | None,
    profile: tuple[int, int] | None = None,
    *,
    loss: Loss | None = None,
    attend: Attend | None = None,
) -> None:
    """Train to `config.training.steps`; write weights, their summary and a sheet to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights to start from.
      profile: the first and the last step of a trace.
      loss: in place of flow matching, as `train_step` takes it.
      attend: in place of `fused_attention`, likewise; the weights' metadata name it.
    """
    is_led = init is not None or not config.flow.segments
    expected = "the teacher's weights, with --flow.segments"
    require_option("init", "nothing", is_led, expected)
    mesh = state.training_mesh(config)
    # Open every file that the config names before the parameters, which take the most memory.
    step = train_step(config, loss=loss, attend=attend)
    weights_of_codec = codec_weights(config, mesh) if config.runs_codec else None
    record = run_record(config, init, dict(mesh.shape) if mesh else None)
    own = {"own_loss": loss, "own_attention": attend}
    record |= {name: functional.name_of(x) for name, x in own.items() if x is not None}
    if config.data.records:
        folders, weights = mixing.open_folders(config)
        scenes = sorted(mixing.held_out_scenes(config, folders))
        record |= {"records": mixing.contents(folders, weights), "held_out": scenes}
        if scenes and jax.process_index() == 0:
            print(f"{len(scenes)} scenes are held out of training, first {scenes[0]}")
    if init is not None:
        # A run that resumes does not read it.
        initial_params.check_start(config.model, init)
    validate = None
    if config.training.validate_every:
        validate = held_out.make_validation(
            config, mesh, weights_of_codec, loss, attend
        )
    last, summary = training_loop.run_training(
        state.in_mesh(mesh, step),
        run_state.InitialState(
            partial(first_prior_state, config, init, mesh),
            state.state_shapes(config, mesh),
        ),
        lambda start: training_batches(config, start, mesh),
        config.training,
        out,
        record,
        (weights_of_codec,),
        training_loop.Reporting(
            flops=flops.step_flops(config),
            peak=flops.peak_flops(jax.devices()[0].device_kind),
            sheet=partial(held_out.draw_sheet, config, mesh, attend=attend),
            validate=validate,
            contents=partial(clips_at, config),
            profile=profile,
        ),
    )
    write_weights(config, out, last.ema, summary, attend)
    # By all processes; the weights are safe by now.
    sheet = held_out.draw_sheet(config, mesh, last.ema, attend)
    if jax.process_index() == 0:
        save_picture(out / "sheet.png", sheet)
        print(f"wrote {out / 'sheet.png'}")


def first_prior_state(
    config: Config, init: Path | None, mesh: Mesh | None
) -> state.TrainState:
    """Return the state at step 0, with random parameters or those of the file `init`."""
    key = jax.random.key(config.seed)
    if init is None:
        return state.init_state(config, key, mesh)
    params = initial_params.start_from(config.model, init, key, mesh)
    make = partial(state.state_from_params, config)
    return state.make_state(config, mesh, make, params)


def write_weights(
    config: Config,
    out: Path,
    params: functional.Params,
    summary: dict[str, Any],
    attend: Attend | None = None,
) -> None:
    """Write the weights and the summary of the run; all its processes call this together."""
    metadata = {
        "model": to_dict(trainable.without_adapters(config.model)),
        "frames": config.data.frames,
        "views": config.data.views,
    }
    if attend is not None:
        metadata["own_attention"] = functional.name_of(attend)
    # The cameras of records may stand anywhere.
    if not config.data.records:
        metadata |= {
            "max_azimuth_degrees": MAX_AZIMUTH,
            "max_elevation_degrees": MAX_ELEVATION,
        }
    weights = out / "prior.safetensors"
    about = out / "prior.json"
    save_params(weights, trainable.merge_adapters(params), metadata)
    if jax.process_index() > 0:
        return
    write_text(about, json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {about.name}")
    command = f"full4d evaluate --config PRESET --checkpoint {weights}"
    in_python = f"open_prior(config, {str(weights)!r}, {metadata.get('own_attention')})"
    print(f"next: {in_python if attend else command}")
