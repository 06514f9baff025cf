"""Trains adapters that take a prior's many steps in few, and says how near they come.

    python benchmarks/few_steps.py [--steps 160 --segments 4 --rank 16 --scenes 16] --out OUT
    python benchmarks/few_steps.py --toy 1500 --steps 3000 --rank 32 --batch 16 --rate 3e-3

Phased consistency distillation (`full4d_jax/training/few_steps.py`) of the shipped prior, or of a
toy of Wan: blocks, flow and sampler as of `wan22_5b` (the shift as of `wan21_1_3b`) at a small
size, trained first, for so many steps. Both learn from procedural scenes. On held-out scenes grids
are sampled from the same noise, and compared with those of the teacher's `segments` x 16 steps,
which the student shall reach, and with the truth. A blurred sample looks nearer to the truth than a
sharp one: few steps replace 50 where the difference of both from the truth, in the last column with
its standard error, is small on either side; `benchmarks/exact_flow.py` says so of a flow that is
known. The last line is JSON. The same command with the same `--out` goes on.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import cameras_of
from full4d_jax.config import (
    DEFAULT,
    Config,
    DataConfig,
    MeshConfig,
    OptimizerConfig,
    load_config,
)
from full4d_jax.evaluation.fidelity import Distances, Regions, fidelity_scores, load_distances
from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior, prior_path
from full4d_jax.media.pictures import to_unit
from full4d_jax.models.lora import without_adapters
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.training.few_steps import FINER
from full4d_jax.training.prior_training import train_prior
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip, procedural_scene

REPORTED = 64  # the first scene that nothing is chosen by
USUAL = 50  # steps of Wan's sampler
TO_TRUTH = 2  # place of the PSNR to the truth among a grid's scores
Frames = Float[ndarray, "v t h w 3"]


def main() -> None:
    """Train, sample, compare."""
    options = parse()
    base = toy_of_wan(options.toy) if options.toy else DEFAULT
    weights = options.out / "teacher/prior.safetensors" if options.toy else prior_path(base.model)
    config = few_steps(base, options)
    try:
        hold_folder(options.out)
        if options.toy:
            train_prior(base, hold_folder(weights.parent), None)
        train_prior(config, options.out, weights)
        student = open_prior(
            replace(config, model=without_adapters(config.model)),
            options.out / "prior.safetensors",
        )
        teacher = open_prior(base, weights)
    except InputError as error:
        raise SystemExit(str(error)) from None
    many = options.segments * FINER
    usual = f"teacher, {USUAL} steps"
    priors = {
        f"teacher, {many} steps": with_steps(teacher, many),
        usual: with_steps(teacher, USUAL),
        f"teacher, {options.segments} steps": with_steps(teacher, options.segments),
        f"student, {options.segments} steps": with_steps(student, options.segments),
    }
    distances = load_distances(vgg=False)
    scores: dict[str, list[list[float]]] = {name: [] for name in priors}
    render = renderer(base.data)
    with Progress("scenes", options.scenes) as report:
        for number in range(options.scenes):
            clip = render(HELD_OUT_START + REPORTED + number)
            grids = {name: sampled(prior, clip, number) for name, prior in priors.items()}
            goal = grids[f"teacher, {many} steps"]
            for name, grid in grids.items():
                to_truth = compared(grid, np.asarray(clip.frames[1:]), distances)
                scores[name].append([*compared(grid, goal, distances), *to_truth])
            report(number + 1)
    means = {
        name: [*np.mean(rows, 0), *more_than(rows, scores[usual])] for name, rows in scores.items()
    }
    print(table(means))
    print(json.dumps({name: [round(float(x), 4) for x in row] for name, row in means.items()}))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--toy", type=int, default=0, help="training steps of a toy of Wan")
    parser.add_argument("--steps", type=int, default=160, help="of the adapters' training")
    parser.add_argument("--segments", type=int, default=4, help="steps of the student")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    parser.add_argument("--batch", type=int, default=4, help="clips of a training step")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of AdamW")
    parser.add_argument("--scenes", type=int, default=16, help="held-out scenes")
    parser.add_argument("--out", type=Path, default=Path("out/few_steps"), help="folder")
    return parser.parse_args()


def toy_of_wan(steps: int) -> Config:
    """Return the config of a small model with Wan's blocks, flow and sampler, for pixels."""
    wan = load_config("wan22_5b")
    model = replace(wan.model, codec="pixels", codec_stride=1, patch=4, text_width=8, remat="none")
    model = replace(model, width=64, layers=3, heads=2, ffn=128, first_frame=False)
    model = replace(model, cameras=("linear", "plucker"), camera_projector=False)
    data = replace(wan.data, views=2, frames=2, height=16, width=16)
    return replace(
        wan,
        name="toy_of_wan",
        model=model,
        data=replace(data, projections=0, drop_projection=0.0, corrupt_depth=0.0),
        optimizer=OptimizerConfig(
            learning_rate=0.02, adam_learning_rate=3e-3, warmup=50, ema=0.995
        ),
        training=replace(wan.training, steps=steps, batch=16, log_every=100),
        sampler=replace(wan.sampler, shift=3.0),
        mesh=MeshConfig(),
    )


def few_steps(base: Config, options: argparse.Namespace) -> Config:
    """Return the config of the adapters' training."""
    training = replace(
        base.training,
        steps=options.steps,
        batch=options.batch,
        log_every=10,
        checkpoint_every=50,
    )
    optimizer = replace(
        base.optimizer,
        kind="adamw",
        trainable="adapters",
        adam_learning_rate=options.rate,
        warmup=20,
        ema=0.98,
    )
    return replace(
        base,
        name="few_steps",
        model=replace(base.model, lora_rank=options.rank),
        flow=replace(base.flow, segments=options.segments, mean_share=0.0, perceptual=0.0),
        sampler=replace(base.sampler, steps=options.segments, noise=1.0),
        optimizer=optimizer,
        training=training,
    )


def with_steps(prior: Prior, steps: int) -> Prior:
    """Return the prior that samples from noise in so many steps."""
    return replace(prior, sampler=replace(prior.sampler, steps=steps, noise=1.0))


def renderer(data: DataConfig) -> Callable[[int], ProceduralClip]:
    """Return the program that renders the scene of a number at the size of training."""
    sizes = {name: getattr(data, name) for name in ("views", "frames", "height", "width")}
    return jax.jit(partial(procedural_scene, **sizes))


def sampled(prior: Prior, clip: ProceduralClip, number: int) -> Frames:
    """Return the target views, [0, 1], from noise that the number of the scene decides."""
    source = 2 * clip.frames[:1] - 1
    key = jax.random.key(number)
    grid, _ = generate_grid(prior, source, jnp.asarray(clip.depth[:1]), cameras_of(clip), key)
    return to_unit(np.asarray(grid[1:]))


def compared(grid: Frames, goal: Frames, distances: Distances) -> list[float]:
    """Return PSNR in dB, infinite for equal frames, and LPIPS, nan of frames too small for it."""
    nowhere = np.zeros(grid.shape[:-1], np.float32)
    scores = fidelity_scores(grid, goal, Regions(nowhere, nowhere), distances)
    psnr, lpips = (scores[name] for name in ("psnr", "lpips"))
    return [np.inf if psnr is None else psnr, np.nan if lpips is None else lpips]


def more_than(rows: list[list[float]], usual: list[list[float]]) -> tuple[float, float]:
    """Return how much nearer to the truth a sampler is, dB, and the standard error over scenes."""
    differences = np.subtract(rows, usual)[:, TO_TRUTH]
    return differences.mean(), differences.std() / len(differences) ** 0.5


def table(means: dict[str, list[float]]) -> str:
    """Return the means."""
    heads = ["from the same noise", "PSNR to many", "LPIPS to many", "PSNR to truth", "LPIPS"]
    rows = [
        [name, f"{a:.2f}", f"{b:.3f}", f"{c:.2f}", f"{d:.3f}", f"{more:+.2f} +- {error:.2f}"]
        for name, (a, b, c, d, more, error) in means.items()
    ]
    return text_table([*heads, f"than {USUAL} steps"], rows)


if __name__ == "__main__":
    main()
