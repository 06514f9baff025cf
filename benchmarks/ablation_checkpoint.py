"""Rows of `ablations.py` that need no training: one prior, asked in different ways.

Scores on held-out scenes are the first two of `ablation_runs`; hard pixels are those that no
single-frame projection reaches.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ablation_runs import SCORES, Run
from common import keep_results, read_results

from full4d_jax.cameras import cameras_of
from full4d_jax.config import Config, load_config
from full4d_jax.evaluation.generated_grids import unseen_pixels
from full4d_jax.evaluation.known_clips import KnownClip, held_out_clips
from full4d_jax.generation.batch import make_conditions
from full4d_jax.generation.generate import bind_conditions
from full4d_jax.generation.prior import Prior, open_prior, prior_path
from full4d_jax.generation.sampling import sample, schedule
from full4d_jax.media import metrics
from full4d_jax.models.dit import noise_of
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import fingerprint


def checkpoint_rows(options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """Name and scores of each row; scores of clips that are done are read from the folder."""
    config, prior, mark, folder = opened(options, "checkpoint")
    for name, generate in sampled_rows(config, prior).items():
        path = folder / f"{name.replace(' ', '_')}.json"
        scores = done(path, mark)
        with Progress(name, options.scenes) as report:
            for known in held_out_clips(config.data, range(len(scores), options.scenes)):
                unseen = unseen_pixels(known.clip, known.clip.depth[0])
                scores.append(target_scores(generate(known), known.clip.frames[1:], unseen))
                keep_results(path, {"mark": mark, "scores": scores})
                report(len(scores))
        yield name, one_seed(scores[: options.scenes])


def opened(options: argparse.Namespace, group: str) -> tuple[Config, Prior, str, Path]:
    """Return the preset, its prior, a mark of both, and the folder of the group."""
    config = load_config(options.config)
    folder = options.out / group
    made_of = {
        "config": config,
        "prior": prior_path(config.model, options.checkpoint),
        "scores": SCORES,
    }
    folder.mkdir(parents=True, exist_ok=True)
    prior = open_prior(config, options.checkpoint)
    return config, prior, fingerprint("ablations", made_of, {}), folder


def done(path: Path, mark: str) -> list[Any]:
    """Scores of the same prior that an earlier call left."""
    saved = read_results(path)
    return saved["scores"] if saved.get("mark") == mark else []


def sampled_rows(config: Config, prior: Prior) -> dict[str, Callable[[KnownClip], Any]]:
    """Ways to generate the targets of a clip, the first as the preset says."""
    as_said = partial(generate, config.seed, prior)

    def with_steps(steps: int) -> Callable[[KnownClip], Any]:
        sampler = dataclasses.replace(config.sampler, steps=steps, noise=1.0)
        return partial(generate, config.seed, dataclasses.replace(prior, sampler=sampler))

    steps = {f"{n} step{'s'[: n > 1]} from noise": with_steps(n) for n in (1, 4, 8, 50)}
    return {
        "as configured": as_said,
        **steps,
        "without projection": partial(as_said, projected=False),
        "without cameras": partial(as_said, posed=False),
    }


def generate(
    seed: int, prior: Prior, known: KnownClip, *, projected: bool = True, posed: bool = True
):
    """Target views (v-1 t h w 3) in [0, 1]; not `projected`: no depth is known; not `posed`: the
    network is told that all cameras stand where the source's does (the projection is right)."""
    clip = known.clip
    key = jax.random.fold_in(jax.random.key(seed), known.scene)
    depth = clip.depth[:1] * projected
    return _generate(prior, clip.frames[:1], depth, cameras_of(clip), key, posed)


@partial(jax.jit, static_argnums=5)
def _generate(prior, frames, depth, cameras, key, posed):
    model = prior.asked_model
    sampler = prior.sampler
    conditions, _ = make_conditions(model, 2 * frames - 1, depth, cameras, prior.codec_weights)
    if not posed:
        same = jnp.broadcast_to(conditions.world_to_camera[:1], conditions.world_to_camera.shape)
        conditions = conditions._replace(world_to_camera=same)
    conditions = jax.tree.map(lambda x: x[None], conditions)
    first = int(model.projection == "channels")  # view that is generated
    start = sampler.noise * noise_of(model)(key, conditions.projection[:, first:].shape)
    times = schedule(sampler.steps, sampler.shift)
    flow = bind_conditions(model, prior.asked_params, conditions)
    latents = sample(flow, start, times)[0]
    return jnp.clip(prior.codec.decode(latents)[1 - first :] / 2 + 0.5, 0, 1)


def target_scores(frames: Any, truth: Any, unseen: Any) -> list[float]:
    """Return scores as `ablation_runs.SCORES`, of which only the first two exist here."""
    decibels = [float(metrics.psnr(frames, truth)), float(metrics.psnr(frames, truth, unseen))]
    return decibels + [float("nan")] * (len(SCORES) - 2)


def one_seed(scores: list[list[float]]) -> Run:
    """A row whose randomness is that of its scenes."""
    return Run(np.array([scores], float), {})
