"""Trains adapters that take the shipped prior's many steps in few, and says how near they come.

    python benchmarks/few_steps.py [--steps 160 --segments 4 --rank 16 --scenes 16] --out OUT

Phased consistency distillation (`full4d_jax/training/few_steps.py`) on the prior's own training
scenes. On held-out scenes grids are sampled from the same noise, and compared with those of the
teacher's `segments` x 16 steps, which the student shall reach; the last columns compare with the
truth. The last line is JSON. The same command with the same `--out` goes on.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import cameras_of
from full4d_jax.config import DEFAULT, Config
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
SHOWN = ("psnr", "lpips")
Frames = Float[ndarray, "v t h w 3"]


def main() -> None:
    """Train, sample, compare."""
    options = parse()
    config = few_steps(options)
    try:
        hold_folder(options.out)
        train_prior(config, options.out, prior_path())
        student = open_prior(
            replace(config, model=without_adapters(config.model)),
            options.out / "prior.safetensors",
        )
    except InputError as error:
        raise SystemExit(str(error)) from None
    teacher = open_prior(DEFAULT)
    many = options.segments * FINER
    priors = {
        f"teacher, {many} steps": with_steps(teacher, many),
        f"teacher, {options.segments} steps": with_steps(teacher, options.segments),
        f"student, {options.segments} steps": with_steps(student, options.segments),
    }
    distances = load_distances(vgg=False)
    scores: dict[str, list[list[float]]] = {name: [] for name in priors}
    with Progress("scenes", options.scenes) as report:
        for number in range(options.scenes):
            clip = render(REPORTED + number)
            grids = {name: sampled(prior, clip, number) for name, prior in priors.items()}
            goal = grids[f"teacher, {many} steps"]
            for name, grid in grids.items():
                to_truth = compared(grid, np.asarray(clip.frames[1:]), distances)
                scores[name].append([*compared(grid, goal, distances), *to_truth])
            report(number + 1)
    means = {name: np.mean(rows, 0) for name, rows in scores.items()}
    print(table(means))
    print(json.dumps({name: [round(float(x), 4) for x in row] for name, row in means.items()}))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=160, help="of the training")
    parser.add_argument("--segments", type=int, default=4, help="steps of the student")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    parser.add_argument("--batch", type=int, default=4, help="clips of a training step")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of AdamW")
    parser.add_argument("--scenes", type=int, default=16, help="held-out scenes")
    parser.add_argument("--out", type=Path, default=Path("out/few_steps"), help="folder")
    return parser.parse_args()


def few_steps(options: argparse.Namespace) -> Config:
    """Return the config of the adapters' training."""
    training = replace(
        DEFAULT.training,
        steps=options.steps,
        batch=options.batch,
        log_every=10,
        checkpoint_every=50,
    )
    optimizer = replace(
        DEFAULT.optimizer,
        kind="adamw",
        trainable="adapters",
        adam_learning_rate=options.rate,
        warmup=20,
        ema=0.98,
    )
    return replace(
        DEFAULT,
        name="few_steps",
        model=replace(DEFAULT.model, lora_rank=options.rank),
        flow=replace(DEFAULT.flow, segments=options.segments, mean_share=0.0, perceptual=0.0),
        sampler=replace(DEFAULT.sampler, steps=options.segments, noise=1.0),
        optimizer=optimizer,
        training=training,
    )


def with_steps(prior: Prior, steps: int) -> Prior:
    """Return the prior that samples from noise in so many steps."""
    return replace(prior, sampler=replace(prior.sampler, steps=steps, noise=1.0))


def render(scene: int) -> ProceduralClip:
    """Return a held-out scene of the size that the prior has learned."""
    return _program(HELD_OUT_START + scene)


_program = jax.jit(
    lambda seed: procedural_scene(
        seed,
        views=DEFAULT.data.views,
        frames=DEFAULT.data.frames,
        height=DEFAULT.data.height,
        width=DEFAULT.data.width,
    )
)


def sampled(prior: Prior, clip: ProceduralClip, number: int) -> Frames:
    """Return the target views, [0, 1], from noise that the number of the scene decides."""
    source = 2 * clip.frames[:1] - 1
    key = jax.random.key(number)
    grid, _ = generate_grid(prior, source, jnp.asarray(clip.depth[:1]), cameras_of(clip), key)
    return to_unit(np.asarray(grid[1:]))


def compared(grid: Frames, goal: Frames, distances: Distances) -> list[float]:
    """Return PSNR in dB, infinite for equal frames, and LPIPS of all pixels."""
    nowhere = np.zeros(grid.shape[:-1], np.float32)
    scores = fidelity_scores(grid, goal, Regions(nowhere, nowhere), distances)
    return [np.inf if (score := scores[name]) is None else float(score) for name in SHOWN]


def table(means: dict[str, Float[ndarray, "4"]]) -> str:
    """Return the means."""
    heads = ["from the same noise", "PSNR to many", "LPIPS to many", "PSNR to truth", "LPIPS"]
    rows = [
        [name, f"{a:.2f}", f"{b:.3f}", f"{c:.2f}", f"{d:.3f}"]
        for name, (a, b, c, d) in means.items()
    ]
    return text_table(heads, rows)


if __name__ == "__main__":
    main()
