"""The papers' comparison of attention modes, made small and fair.

    python benchmarks/modes.py --base 800 --steps 300 --seeds 2

One base is trained on single rows and columns of procedural grids (fixed-view and freeze-time
videos). From it every mode is trained with the same grids, in the same order, for as many steps:

    fused            self-attention tuned (4Real-Video-V2, Full-4D)
    full             the same with every token seeing every token
    sequential       each layer over views, then over time; self-attention tuned
    two_stream_hard  base frozen, synchronization trained (4Real-Video)
    two_stream_soft  the same

and scored by PSNR on the hidden frames of held-out grids of which the first row and column are
given, with one call from zero noise. Then Full-4D's mask, in `frames` mode with cameras, trained
from random parameters: without each of its terms and without the projection. There the first guess
is the filled projection whatever the mask allows, grey without one. Every run is repeated for
several seeds (of data order and noise); the table has mean and standard deviation over them, and
seconds of all threads.

Runs that are finished are kept under --out and not made again. The last line is JSON.
"""

import argparse
import dataclasses
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.batch import Batch, procedural_batch
from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    to_dict,
)
from full4d_jax.evaluation.grid_baselines import add_change, warp_row
from full4d_jax.evaluation.grids import moves
from full4d_jax.generation import generate_grid
from full4d_jax.grid_filling import fill_grid
from full4d_jax.metrics import psnr
from full4d_jax.models.attention import TERMS, allowed_frames
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import load_metadata, load_params, save_params
from full4d_jax.progress import Progress
from full4d_jax.training.batches import training_batches
from full4d_jax.training.optimizer import trained_leaves
from full4d_jax.training.state import init_state, state_from_params
from full4d_jax.training.step import train_step
from full4d_jax.visible_frames import copy_nearest, row_and_column
from input_pipeline.procedural import HELD_OUT_START

MODEL = ModelConfig(
    width=96, heads=3, layers=4, ffn=288, patch=4, refiner=8, projection="none", cameras=()
)
DATA = DataConfig(views=4, frames=4, height=32, width=32, orbit=True)
BATCH = 4
MODES = {  # attention: what is trained
    "fused": "attention",
    "full": "attention",
    "sequential": "attention",
    "two_stream_hard": "synchronization",
    "two_stream_soft": "synchronization",
}
MASKS = {  # of Full-4D: (terms, share of clips without projection)
    "fused": (TERMS, 0.0),
    "without intra-view": (("time", "half"), 0.0),
    "without intra-time": (("view", "half"), 0.0),
    "without cross-half": (("view", "time"), 0.0),
    "without projection": (TERMS, 1.0),
}


def experiment(name: str, seed: int, steps: int, **model) -> Config:
    """What all runs share."""
    return Config(
        name=name,
        seed=seed,
        model=dataclasses.replace(MODEL, rope_folds_views=True, **model),
        data=DATA,
        flow=FlowConfig(mean_share=0.75),
        optimizer=OptimizerConfig(
            learning_rate=0.01, adam_learning_rate=0.001, decay_share=0.7, warmup=30
        ),
        training=TrainingConfig(batch=BATCH, steps=steps),
    )


def of_mode(attention: str, seed: int, steps: int) -> Config:
    """Training of one mode from the base."""
    config = experiment(attention, seed, steps, attention=attention)
    optimizer = dataclasses.replace(config.optimizer, trainable=MODES[attention])
    return dataclasses.replace(config, optimizer=optimizer)


def of_mask(name: str, seed: int, steps: int) -> Config:
    """Training of Full-4D's mask or a part of it, from random parameters."""
    terms, dropped = MASKS[name]
    cameras = ("linear", "plucker")
    config = experiment(
        name, seed, steps, projection="frames", cameras=cameras, mask_terms=terms, patch=8
    )
    data = dataclasses.replace(
        DATA, views=3, frames=3, orbit=False, corrupt_depth=0.0, drop_projection=dropped
    )
    return dataclasses.replace(config, data=data)


def train(config: Config, out: Path, init: Path | None) -> dict:
    """Train one configuration to its end, or read what an earlier call left; what it cost."""
    weights = out / f"{config.name.replace(' ', '_')}_{config.seed}.safetensors"
    start = None if init is None else load_metadata(init)["run"]
    wanted = json.loads(json.dumps({"config": to_dict(config), "init": start}))
    if weights.exists():
        params, metadata = load_params(weights)
        if metadata["run"] == wanted:
            return metadata["cost"] | {"params": params, "weights": weights}
    key = jax.random.key(config.seed)
    if init is None:
        state = init_state(config, key)
    else:
        state = state_from_params(config, start_from(config.model, init, key))
    batches = training_batches(config, 0)
    batch = jax.block_until_ready(next(batches))
    step = jax.jit(train_step(config), donate_argnums=0).lower(state, batch).compile()
    memory = cast(Any, step.memory_analysis())
    trained = trained_leaves(config.optimizer.trainable, state.params)
    leaves = list(zip(jax.tree.leaves(state.params), jax.tree.leaves(trained), strict=True))
    seconds = []
    with Progress(f"{config.name}, seed {config.seed}", config.training.steps) as report:
        for done in range(1, config.training.steps + 1):
            start = time.process_time()
            state, metrics = step(state, batch)
            jax.block_until_ready(state)
            seconds.append(time.process_time() - start)
            batch = jax.block_until_ready(next(batches))  # else its time counts as the next step's
            report(done, {"mean_error": float(metrics["mean_error"])})
    cost = {
        "parameters": sum(x.size for x, _ in leaves),
        "trained": sum(x.size for x, is_trained in leaves if is_trained),
        "cpu_seconds_per_step": statistics.median(seconds),
        "temporary_bytes": memory.temp_size_in_bytes,
        "gigaflop": forward_flop(config) / 1e9,
    }
    save_params(weights, state.ema, {"run": wanted, "cost": cost})
    return cost | {"params": load_params(weights)[0], "weights": weights}


def forward_flop(config: Config) -> float:
    """Of one grid through the blocks: products on tokens, and pairs that attention allows."""
    model, data = config.model, config.data
    frames = data.frames * (2 if model.projection == "frames" else 1)
    views, d = data.views, model.width
    s = (data.height // model.patch) * (data.width // model.patch)
    tokens = views * frames * s
    passes = 1 if model.attention in ("fused", "full") else 2
    linear = passes * tokens * (4 * d * d + 2 * d * model.ffn)
    if model.attention.startswith("two_stream"):
        linear += tokens * 2 * d * d * (1 if model.attention.endswith("hard") else 2)
    half = model.projection == "frames"
    fused = allowed_frames(views, frames, half, model.mask_terms).sum() / (views * frames)
    seen = {"fused": fused, "full": views * frames}.get(model.attention, views + frames)
    return 2.0 * model.layers * (linear + 2 * d * tokens * seen * s)


def psnr_of_mode(config: Config, params, scenes: int) -> float:
    """Mean over held-out grids of the PSNR on hidden frames, their row and column given."""
    visible = row_and_column(config.data.views, config.data.frames)
    found = []
    for frames in held_out(config.data, scenes).frames:
        grid = fill_grid(config, params, frames, visible, jax.random.key(0))
        found.append(hidden_psnr(grid, frames, visible))
    return float(np.mean(found))


def psnr_of_mask(config: Config, params, scenes: int) -> float:
    """Mean over held-out scenes of the PSNR of the target views, given true depth."""
    found = []
    for frames, depth, lenses, poses in zip(*held_out(config.data, scenes), strict=True):
        known, key = depth * (config.data.drop_projection == 0), jax.random.key(0)
        grid, _ = generate_grid(config, params, frames[0], known, lenses, poses, key)
        found.append(float(psnr(grid[1:] / 2 + 0.5, frames[1:] / 2 + 0.5)))
    return float(np.mean(found))


def baselines(scenes: int) -> dict[str, float]:
    """The same score for what needs no training."""
    visible = row_and_column(DATA.views, DATA.frames)
    grids = held_out(DATA, scenes).frames
    fills = {
        "copy the nearest": lambda x: np.asarray(copy_nearest(x, jnp.asarray(visible))),
        "copy and add the change": lambda x: 2 * add_change(np.asarray(x) / 2 + 0.5) - 1,
        "homography": lambda x: 2 * warp_row(np.asarray(x) / 2 + 0.5) - 1,
    }
    return {
        name: float(np.mean([hidden_psnr(fill(x), x, visible) for x in grids]))
        for name, fill in fills.items()
    }


def hidden_psnr(grid, truth, visible) -> float:
    """Of frames in [-1, 1]."""
    a, b = (np.asarray(x)[~visible] / 2 + 0.5 for x in (grid, truth))
    return float(psnr(np.clip(a, 0, 1), b))


def held_out(data: DataConfig, scenes: int) -> Batch:
    """Of so many scenes beyond every training index those in which something moves."""
    clips = jax.jit(partial(procedural_batch, config=data))(HELD_OUT_START + jnp.arange(scenes))
    kept = np.array([moves(frames) for frames in clips.frames])
    return jax.tree.map(lambda x: x[kept], clips)


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=int, default=800, help="steps of the base")
    parser.add_argument("--steps", type=int, default=300, help="steps of each run from it")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=64, help="held-out grids")
    parser.add_argument("--out", type=Path, default=Path("runs/modes"))
    given = parser.parse_args()
    for name in ("base", "steps", "seeds", "scenes"):
        if getattr(given, name) < 1:
            parser.error(f"--{name}: found {getattr(given, name)}, expected at least 1")
    given.out.mkdir(parents=True, exist_ok=True)

    lines = experiment("base", 0, given.base)
    lines = dataclasses.replace(lines, data=dataclasses.replace(DATA, lines=True))
    base = train(lines, given.out, None)["weights"]
    table: dict[str, dict] = {}
    plans = [("mode", MODES, of_mode, base, psnr_of_mode)]
    plans += [("mask", MASKS, of_mask, None, psnr_of_mask)]
    for kind, names, configure, init, score in plans:
        for name in names:
            runs = []
            for seed in range(given.seeds):
                config = configure(name, seed, given.steps)
                run = train(config, given.out, init)
                runs.append(run | {"psnr": score(config, run.pop("params"), given.scenes)})
            values = [run["psnr"] for run in runs]
            costs = {k: v for k, v in runs[0].items() if k not in ("psnr", "params", "weights")}
            spread = statistics.stdev(values) if len(values) > 1 else None
            table[f"{kind}: {name}"] = {"psnr": statistics.mean(values), "spread": spread} | costs
            print_row(f"{kind}: {name}", table[f"{kind}: {name}"])
    for name, value in baselines(given.scenes).items():
        table[f"baseline: {name}"] = {"psnr": value}
        print_row(f"baseline: {name}", table[f"baseline: {name}"])
    print(json.dumps(table))


def print_row(name: str, row: dict) -> None:
    """One line of the table."""
    spread = "" if row.get("spread") is None else f" ± {row['spread']:.2f}"
    text = f"| {name} | {row['psnr']:.2f}{spread} |"
    if "parameters" in row:
        text += f" {row['parameters'] / 1e3:.0f} k | {row['trained'] / 1e3:.0f} k |"
        text += f" {row['gigaflop']:.2f} | {row['cpu_seconds_per_step']:.2f} |"
        text += f" {row['temporary_bytes'] / 2**20:.0f} |"
    print(text, flush=True)


if __name__ == "__main__":
    main()
