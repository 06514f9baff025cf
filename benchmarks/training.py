"""Times training steps; one JSON line comes last.

    python benchmarks/training.py [--width 512 --layers 4 --tokens 256 --frames 4]
    python benchmarks/training.py --config demo [--steps 3 --turns 6 --training.batch 4]

Without a preset: our network as Wan's, of one view and without projection, against diffusers'
WanTransformer3DModel of the same size (extra `parity`), in float32 on the same cores. A step is the
forward pass, mean squared error of the velocity, the backward pass, which computes no layer again,
and AdamW (torch's fused one). Both take turns; `seconds_per_step` is our best, `torch_over_ours`
torch's best over it (above 1 we are faster; null without torch), `data_wait` null. Torch runs
eagerly.

With a preset: its whole training step on the batches that `full4d train` would see; one with
encoded projections and without records gets noise in their place, which always lies ready.
`seconds_per_step` is the mean over --steps steps in a row, new clips included, the best of --turns.
`data_wait` is the share of it that is not there when all steps get the same batch, which lies
ready: on an accelerator what rendering adds, on a CPU, where renderer and step share the cores, all
of rendering.
`render_seconds` is that of a batch alone. `memory_gib` is the peak of the device or, on a CPU, of
the process. --profile FOLDER writes an xprof trace of one more turn.

`mfu` counts FLOPs by formula (`models/flops.py`) against the device's dense bf16 peak, and is null
where that is unknown, as on CPU; `flops_per_second` is what was achieved. Times are CPU time of all
threads on a CPU (which other work on the machine disturbs least), elapsed time elsewhere.
"""

import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import clock, interleaved

from full4d_jax.cli import call
from full4d_jax.config import (
    Config,
    DataConfig,
    MeshConfig,
    RealFrames,
    TrainingConfig,
    check_config,
)
from full4d_jax.config.wan import WAN
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.dit import init_params, velocity
from full4d_jax.models.dit.sharding import make_mesh
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.session.errors import InputError
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.clips.projected_batch import ProjectedBatch
from full4d_jax.training.inspection.step_report import batch_shapes
from full4d_jax.training.monitor import memory_gib
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step

STRIDE = 4  # pixels per latent pixel, so 48 channels, Wan 2.2's
TEXT = 64  # channels of the text embedding


def main() -> None:
    """Measure a preset, or a size without one."""
    arguments = sys.argv[1:]
    is_preset = any(word.startswith("--config") for word in arguments)
    try:
        call(of_preset if is_preset else of_size, "training.py", arguments)
    except InputError as error:
        raise SystemExit(str(error)) from None


def of_size(
    width: int = 512,
    layers: int = 4,
    heads: int = 4,
    ffn: int = 2048,
    frames: int = 4,
    tokens: int = 256,
    text: int = 64,
    batch: int = 1,
    repeats: int = 5,
) -> None:
    """One view of our network against diffusers', trained in torch.

    Args:
      width: of a token.
      layers: blocks.
      heads: of attention.
      ffn: hidden channels of the feed-forward network.
      frames: latent frames.
      tokens: of a latent frame, a square number.
      text: rows of the text embedding.
      batch: samples.
      repeats: timed steps of each.
    """
    side = 2 * round(tokens**0.5)
    for name, value in {
        "--repeats": repeats,
        "--tokens": tokens,
        "--batch": batch,
    }.items():
        if value < 1 or (name == "--tokens" and side**2 != 4 * tokens):
            expected = "a square number" if name == "--tokens" else "at least 1"
            raise InputError("option", name, value, expected, "see --help")
    model = replace(
        WAN.model,
        codec_stride=STRIDE,
        width=width,
        layers=layers,
        heads=heads,
        ffn=ffn,
        text_width=TEXT,
        cameras=(),
        camera_projector=False,
        remat="none",
        guide=RealFrames(),
    )
    data = DataConfig(views=2, frames=frames, height=side * STRIDE, width=side * STRIDE)
    config = Config(model=model, data=data, training=TrainingConfig(batch=batch))
    config = replace(config, optimizer=replace(WAN.optimizer, trainable="all"))
    check_config(config)
    shape = (batch, 1, frames, side, side, 3 * STRIDE**2)
    clean, noise = (jax.random.normal(jax.random.key(i), shape) for i in range(2))
    words = jax.random.normal(jax.random.key(2), (batch, text, TEXT))
    ours, parameters = our_step(config, clean, noise, words)
    steps = {"ours": ours}
    if importlib.util.find_spec("torch") and importlib.util.find_spec("diffusers"):
        steps["torch"], theirs = torch_step(config, clean, noise, words)
        # Ours alone are the two contexts, of freeze-time and fixed-view videos.
        assert parameters - 2 * width == theirs, (parameters, theirs)
    best = interleaved(steps, repeats)
    one_view = replace(config, data=replace(data, views=1))
    torch = best.get("torch")
    report(
        best["ours"],
        step_flops(one_view, text),
        data_wait=None,
        torch_over_ours=None if torch is None else round(torch / best["ours"], 3),
        torch_seconds_per_step=torch and round(torch, 4),
        parameters=parameters,
        all_tokens=batch * frames * tokens,
    )


def our_step(config: Config, data, noise, words) -> tuple[Callable[[], Any], int]:
    """A training step that keeps its own state, and the number of parameters."""
    model = config.model
    batch, views, frames, rows, columns, _ = data.shape
    conditions = Conditions(
        projection=data[:, :, :0],
        base=data,
        mask=jnp.zeros(data.shape[:-1]),
        disparity=jnp.zeros((batch, views, 0, rows, columns)),
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (batch, views, frames, 4, 4)),
        intrinsics=jnp.broadcast_to(jnp.eye(3), (batch, views, 3, 3)),
        text=words,
    )
    tau = jnp.full(batch, 0.5)
    optimizer = optax.adamw(1e-4, weight_decay=0.01)

    def step(params, state):
        def loss(params):
            v = velocity(model, params)((data + noise) / 2, tau, conditions)
            return ((v - (noise - data)) ** 2).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    params = jax.jit(init_params, static_argnums=0)(model, jax.random.key(0))
    held = [params, optimizer.init(params)]
    jitted = jax.jit(step, donate_argnums=(0, 1))

    def run() -> None:
        *held[:], value = jitted(*held)
        jax.block_until_ready((held, value))

    return run, sum(x.size for x in jax.tree.leaves(params))


def torch_step(config: Config, data, noise, words) -> tuple[Callable[[], Any], int]:
    """Return the step in torch with diffusers' network."""
    import torch
    from diffusers import WanTransformer3DModel

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    model = config.model
    channels = data.shape[-1]
    network = WanTransformer3DModel(
        num_attention_heads=model.heads,
        attention_head_dim=model.width // model.heads,
        in_channels=channels,
        out_channels=channels,
        text_dim=model.text_width,
        ffn_dim=model.ffn,
        num_layers=model.layers,
    ).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-4, weight_decay=0.01, fused=True
    )
    # (b 1 t h w c) to (b c t h w)
    x, e = (
        torch.from_numpy(np.moveaxis(np.array(z[:, 0]), -1, 1).copy())
        for z in (data, noise)
    )
    text = torch.from_numpy(np.array(words))
    time_ = torch.full((len(data),), 500.0)

    def run() -> None:
        v = network((x + e) / 2, time_, text, return_dict=False)[0]
        loss = ((v - (e - x)) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return run, sum(x.numel() for x in network.parameters())


def of_preset(
    config: Config, steps: int = 3, turns: int = 6, profile: Path | None = None
) -> None:
    """A preset's training step with and without its data.

    Args:
      config: the preset.
      steps: in a turn.
      turns: of both; the best counts.
      profile: folder for a trace of one more turn.
    """
    check_config(config)
    for name, value in {"--steps": steps, "--turns": turns}.items():
        if value < 1:
            raise InputError("option", name, value, "at least 1", "see --help")
    ready_made = config.data.projections > 0 and not config.data.records
    stream = (
        itertools.repeat(noise_clips(config))
        if ready_made
        else training_batches(config, 0)
    )
    weights = codec_weights(config) if config.runs_codec else None
    batch = jax.block_until_ready(next(stream))
    step = jax.jit(train_step(config), donate_argnums=0)
    held = [jax.jit(lambda key: init_state(config, key))(jax.random.key(config.seed))]

    def train(next_batch: Callable[[], Any]) -> float:
        start = clock()
        metrics = None
        for _ in range(steps):
            held[0], metrics = step(held[0], next_batch(), weights)
        jax.block_until_ready((held, metrics))
        return (clock() - start) / steps

    def render() -> float:
        start = clock()
        for _ in range(steps):
            jax.block_until_ready(next(stream))
        return (clock() - start) / steps

    train(lambda: batch)  # compiles
    rendering = []
    with_data = []
    without = []
    for _ in range(turns):  # so that all meet the same machine
        without.append(train(lambda: batch))
        with_data.append(train(lambda: next(stream)))
        rendering.append(render())
    if profile is not None:
        with jax.profiler.trace(str(profile)):
            train(lambda: batch)
    seconds = min(with_data)
    ready = min(without)
    report(
        seconds,
        step_flops(config),
        data_wait=round(max(0.0, 1 - ready / seconds), 4),
        torch_over_ours=None,
        render_seconds=round(min(rendering), 4),
        seconds_with_a_ready_batch=round(ready, 4),
        batch=config.training.batch,
        memory_gib=round(memory_gib(), 3),
    )


def noise_clips(config: Config) -> ProjectedBatch:
    """Return a batch of the shapes that `data encode` and the loader give."""
    shapes = batch_shapes(config, make_mesh(MeshConfig(), jax.devices()[:1]))
    assert isinstance(shapes, ProjectedBatch)
    rng = np.random.default_rng(0)
    noise = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), shapes)
    poses = np.broadcast_to(np.eye(4, dtype=np.float32), shapes.world_to_camera.shape)
    seen = np.ones(shapes.mask.shape, np.uint8)
    return jax.device_put(noise._replace(world_to_camera=poses, mask=seen))


def report(seconds: float, work: float, **more: Any) -> None:
    """Print the JSON line."""
    device = jax.devices()[0].device_kind
    peak = peak_flops(device)
    result = {
        "device": device,
        "seconds_per_step": round(seconds, 4),
        "mfu": None if peak is None else round(work / seconds / peak, 4),
        "peak_flops": peak,
        "flops_per_step": work,
        "flops_per_second": float(f"{work / seconds:.4g}"),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result | more))


if __name__ == "__main__":
    main()
