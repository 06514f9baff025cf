"""Scores grids larger than the model's, filled in parts; prints a table and one JSON line last.

    python benchmarks/larger_grids.py [--scenes 8 --first 64 --side 8]

The shipped model of configs/four_real.py learned grids of 4 x 4 pictures. It fills `--side` times
as many views and instants of procedural scenes from row and column: asked about the whole grid at
once, or in parts of 4 x 4, always with the first view and instant. Beside the PSNR of the generated
pictures stands how well parts agree: the root mean square (of 255) by which the change from one
view or instant to the next differs from the true change, where the two are of different parts
(borders) and where they are of one.
"""

import argparse
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax.config import load_config
from full4d_jax.evaluation.filled_grids import moves
from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import FOUR_REAL, open_prior
from full4d_jax.generation.real_frames import copy_nearest, row_and_column
from full4d_jax.generation.sampling import view_groups
from full4d_jax.media.metrics import psnr
from full4d_jax.media.pictures import to_unit
from input_pipeline.procedural.scene import HELD_OUT_START

CONFIG = load_config("four_real")
COPY, AT_ONCE, PARTS = "copy of the nearest", "at once", "in parts of 4 x 4"
SCORES = ("psnr", "borders", "inside")


def main() -> None:
    """Score scene after scene and print the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=8, help="scenes in which something moves")
    parser.add_argument("--first", type=int, default=64, help="number of the first one")
    parser.add_argument("--side", type=int, default=8, help="views, and instants, of a grid")
    options = parser.parse_args()
    side, size = options.side, CONFIG.data.views
    data = replace(CONFIG.data, views=side, frames=side)
    render = jax.jit(lambda index: procedural_batch(index, data).frames[0])
    prior = open_prior(replace(CONFIG, data=data), FOUR_REAL)
    parts = replace(prior.sampler, group_views=size, window_frames=size)
    real, first_group = row_and_column(side, side), view_groups(side - 1, size - 1, 1)[0] + 1
    scores_by_row: dict[str, list[tuple[float, ...]]] = {COPY: [], AT_ONCE: [], PARTS: []}
    number = options.first
    while len(scores_by_row[COPY]) < options.scenes:
        frames = render(jnp.array([HELD_OUT_START + number]))
        if moves(frames):
            key = jax.random.key(number)
            rows = {
                COPY: copy_nearest(frames, jnp.asarray(real)),
                AT_ONCE: fill_grid(prior, frames, real, key),
                PARTS: fill_grid(replace(prior, sampler=parts), frames, real, key),
            }
            for name, made in rows.items():
                shown, true = np.asarray(to_unit(made)), np.asarray(to_unit(frames))
                scores = score(shown, true, ~real, first_group)
                scores_by_row[name].append(scores)
            print(
                f"scene {number}: {scores_by_row[AT_ONCE][-1]} {scores_by_row[PARTS][-1]}",
                flush=True,
            )
        number += 1
    means = {name: np.mean(scores, 0).tolist() for name, scores in scores_by_row.items()}
    lines = [[name, *(f"{x:.2f}" for x in values)] for name, values in means.items()]
    print(text_table(["row", "PSNR, dB", "change off at borders", "inside parts"], lines))
    print(json.dumps({name: dict(zip(SCORES, x, strict=True)) for name, x in means.items()}))


def score(
    made: ndarray, truth: ndarray, hidden: ndarray, groups: ndarray
) -> tuple[float, float, float]:
    """Return PSNR of generated pictures, and errors of the change at borders and inside parts."""
    error = 255 * (made - truth)[1:, 1:]
    together = np.array(
        [any({i, i + 1} <= set(g) for g in groups) for i in range(1, len(hidden) - 1)]
    )
    squares = np.stack(
        [(np.diff(error, axis=axis) ** 2).mean((1 - axis, 2, 3, 4)) for axis in (0, 1)]
    )
    borders, inside = (np.sqrt(squares[:, mask].mean()) for mask in (~together, together))
    return float(psnr(made[hidden], truth[hidden])), float(borders), float(inside)


if __name__ == "__main__":
    main()
