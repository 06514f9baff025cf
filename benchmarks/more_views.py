"""Scores the shipped prior with more views than the 4 it learned; prints a table, one JSON line.

    python benchmarks/more_views.py [--scenes 64 --first 64]

A held-out scene has 23 target cameras, drawn as in training and sorted by azimuth. Grids of 12 and
4 views have every second of them, and three. Those three are scored: PSNR, also on pixels that no
single frame's projection reaches (hard), and there how far the three agree with each other
(`ablation_consistency`; the next scene gives chance). Larger grids are made at once, or in groups
of 4 views, source included; with several steps groups shift at each. Depth is true. Rows of a
sampler are compared with its grid of 4 views, scene by scene.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from ablation_consistency import consistency
from ablation_table import HEADINGS, Estimate, estimate
from jaxtyping import Array, Float

from full4d_jax.cameras import cameras_of
from full4d_jax.config import DEFAULT
from full4d_jax.config.experiment import SamplerConfig
from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.generation.projection_guidance import project
from full4d_jax.media.metrics import psnr
from full4d_jax.session.progress import Progress
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip, procedural_scene
from input_pipeline.procedural.scene_cameras import MAX_AZIMUTH

SCORED = np.array([0, 4, 12, 20])  # views of the largest grid; 0 is the source
GRIDS = {4: SCORED, 12: np.arange(0, 24, 2), 24: np.arange(24)}
SAMPLERS = {"1 call": DEFAULT.sampler, "4 steps": SamplerConfig(steps=4, noise=1.0)}
SCORES = ("psnr", "hard", "apart", "matched", "above")


def main() -> None:
    """Score scene after scene and print the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=64, help="number of scenes")
    parser.add_argument("--first", type=int, default=64, help="number of the first one")
    options = parser.parse_args()
    if options.scenes < 1:
        raise SystemExit(f"--scenes: found {options.scenes}, expected at least 1")
    prior, scores_of_scenes = open_prior(DEFAULT), []
    scenes = made_scenes(prior, range(options.first, options.first + options.scenes + 1))
    with Progress("scenes", options.scenes) as report:
        for (clip, rows), (_, next_rows) in pairwise(scenes):
            scores_of_scenes.append(
                {row: score(made, clip, next_rows[row]) for row, made in rows.items()}
            )
            report(len(scores_of_scenes))
    lines, numbers = [], {}
    for row in scores_of_scenes[0]:
        scores = np.stack([scene[row] for scene in scores_of_scenes])
        first = next(x for x in scores_of_scenes[0] if x[0] == row[0])
        if row != first:
            scores -= np.stack([scene[first] for scene in scores_of_scenes])
        means = [estimate(x[None]) for x in scores.T]
        lines.append([*row, *(mean_cell(x, difference=row != first) for x in means)])
        numbers["/".join(row)] = {name: x._asdict() for name, x in zip(SCORES, means, strict=True)}
    print(text_table(["sampler", "views", *(HEADINGS[name] for name in SCORES)], lines))
    print(json.dumps(numbers))


@jax.jit
def rendered(index: Array) -> ProceduralClip:
    """Return the scene with all target cameras."""
    drawn = jax.random.uniform(jax.random.fold_in(jax.random.key(2), index), (len(GRIDS[24]) - 1,))
    angles = jnp.sort(MAX_AZIMUTH * (2 * drawn - 1))
    return procedural_scene(
        index,
        views=len(GRIDS[24]),
        frames=DEFAULT.data.frames,
        height=DEFAULT.data.height,
        width=DEFAULT.data.width,
        azimuths=angles,
    )


def made_scenes(
    prior: Prior, numbers: Iterable[int]
) -> Iterator[tuple[ProceduralClip, dict[tuple[str, str], Float[Array, "4 t h w 3"]]]]:
    """Yield each scene and its rows, as `grids` has them."""
    for number in numbers:
        clip = rendered(HELD_OUT_START + number)
        key = jax.random.fold_in(jax.random.key(DEFAULT.seed), number)
        yield clip, dict(grids(prior, clip, key))


def grids(
    prior: Prior, clip: ProceduralClip, key: Array
) -> Iterator[tuple[tuple[str, str], Float[Array, "4 t h w 3"]]]:
    """Yield each sampler and way with the views SCORED, in [-1, 1]."""
    trained = DEFAULT.data.views
    for name, sampler in SAMPLERS.items():
        for views, chosen in GRIDS.items():
            shown = np.searchsorted(chosen, SCORED)
            for size in {0, trained if views > trained else 0}:
                asked = replace(prior, sampler=replace(sampler, group_views=size))
                source = 2 * clip.frames[:1] - 1
                cameras = cameras_of(clip).views(chosen)
                made, _ = generate_grid(asked, source, clip.depth[:1], cameras, key)
                manner = f", groups of {size}" if size else ", at once" if views > trained else ""
                yield (name, f"{views}{manner}"), made[shown]


@jax.jit
def score(
    made: Float[Array, "4 t h w 3"], clip: ProceduralClip, other: Float[Array, "4 t h w 3"]
) -> Float[Array, "scores"]:
    """Return SCORES of the three target views; `other` shows another scene."""
    truth, depth, cameras = clip.frames[SCORED], clip.depth[SCORED], cameras_of(clip).views(SCORED)
    hard = project(truth[0], depth[0], cameras).mask == 0
    near = partial(psnr, made[1:] / 2 + 0.5, truth[1:])
    counted = jnp.concatenate([jnp.zeros_like(hard[:1]), hard])
    agreed = consistency(made, 2 * truth - 1, depth, cameras, counted, other)
    return jnp.concatenate([jnp.stack([near(), near(hard)]), agreed])


def mean_cell(value: Estimate, *, difference: bool) -> str:
    """Return a mean and its error, bold where a difference is at least twice its error."""
    text = f"{value.mean:{'+' if difference else ''}.2f} ± {value.error:.2f}"
    return f"**{text}**" if difference and value.shows else text


if __name__ == "__main__":
    main()
