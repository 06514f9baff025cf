"""Scores of grids that are filled from one row and one column, on held-out procedural scenes.

Every scene gives the same rows: baselines and the prior at several sampler settings. Scores pool
the hidden frames of a scene, so that one scene is one sample. Scenes in which nothing moves are
left out, since the first column is the answer there.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from full4d_jax.config import Config
from full4d_jax.evaluation.baselines import add_change
from full4d_jax.evaluation.fidelity import Distances, Regions, change_scores
from full4d_jax.evaluation.generated_grids import sampler_rows, settings_of, shipped_row
from full4d_jax.evaluation.groups import Candidates, Frames, Group, evaluate_groups
from full4d_jax.evaluation.table import CHANGE, MOVED, NEAREST
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import Prior, describe_network
from full4d_jax.generation.real_frames import copy_nearest, row_and_column
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.geometry.moving import differs
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.warp import mixture
from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import on_mesh
from full4d_jax.session.stages import fingerprint
from input_pipeline.procedural.scene import HELD_OUT_START


def evaluate_grids(
    config: Config, prior: Prior, distances: Distances, folder: Path, scenes: range
) -> None:
    """Evaluate those of `scenes` in which something moves.

    Raises:
      InputError: there is none, or the folder holds another evaluation.
    """
    render = jax.jit(lambda index: procedural_batch(index, config.data).frames[0])
    real = row_and_column(config.data.views, config.data.frames)
    shipped = shipped_row(config)

    def frames_of(scene: int) -> Float[Array, "v t h w 3"]:
        return render(jnp.array([HELD_OUT_START + scene]))

    moving = [scene for scene in scenes if moves(frames_of(scene))]
    if not moving:
        expected = "one in which something moves"
        do = "give more --scenes"
        raise InputError("scenes", f"{scenes.start} to {scenes.stop - 1}", "none", expected, do)

    def candidates(numbers: Sequence[int]) -> Iterator[Candidates]:
        for scene in numbers:
            frames = frames_of(scene)
            rows = fill_rows(config, prior, frames, real, scene)
            yield hidden_candidates(scene, to_unit(frames), rows, ~real, shipped)

    made_of = settings_of(config, "model", "data", "sampler", "seed") | {
        "weights": on_mesh(prior.mesh, partial(describe_network, prior)),
        "example": to_uint8(np.asarray(frames_of(0)) / 2 + 0.5),
        "distances": sorted(distances),
    }
    evaluate_groups(
        folder,
        [Group("grids", moving, candidates)],
        distances,
        mark=fingerprint("grids 5", made_of, {}),
        shipped=shipped,
        preface=(
            f"# Hidden frames of {len(moving)} held-out grids in which something moves\n\n"
            "The first row and the first column are real. Shipped sampler setting: "
            f"{shipped}."
        ),
        caption="Real: the first three. The others: last view at the last time",
    )


def moves(frames: Float[ArrayLike, "v t h w 3"]) -> bool:
    """Say whether 1 % of a grid's pixels in [-1, 1] change by a tenth of the range or more."""
    frames = np.asarray(frames)
    changed = differs(frames, frames[:, :1], 0.2).any(1)
    return bool(changed.mean() >= 0.01)


def fill_rows(
    config: Config,
    prior: Prior,
    frames: Float[Array, "v t h w 3"],
    real: Bool[np.ndarray, "v t"],
    scene: int,
) -> dict[str, Frames]:
    """Fill the grid of a scene in every way, from frames in [-1, 1]."""
    key = jax.random.fold_in(jax.random.key(config.seed), scene)
    rows = {
        NEAREST: to_unit(copy_nearest(frames, jnp.asarray(real))),
        CHANGE: add_change(to_unit(frames)),
        MOVED: move_nearest(to_unit(frames), real),
    }
    for name, sampler in sampler_rows(config).items():
        asked = dataclasses.replace(prior, sampler=sampler)
        rows[name] = to_unit(fill_grid(asked, frames, real, key))
    return rows


def move_nearest(frames: Frames, real: Bool[np.ndarray, "v t"]) -> Frames:
    """Copy the first instant of every view and the first row, move both, and mix them."""
    motion = carried_motion(to_uint8(frames))
    copied = np.asarray(copy_nearest(jnp.asarray(frames), jnp.asarray(real)))
    row = np.where(real[..., None, None, None], frames, frames[:1])
    return np.asarray(mixture(copied, row, motion).picture)


def hidden_candidates(
    scene: int,
    truth: Frames,
    rows: dict[str, Frames],
    hidden: Bool[np.ndarray, "v t"],
    shipped: str,
) -> Candidates:
    """Return the hidden frames of every row, each as a view of one instant."""
    pictures = {
        "first view and time": truth[0, 0],
        "first view, last time": truth[0, -1],
        "last view, first time": truth[-1, 0],
        "truth": truth[-1, -1],
        "prior": rows[shipped][-1, -1],
        "copy": rows[NEAREST][-1, -1],
        "change": rows[CHANGE][-1, -1],
    }
    first = np.broadcast_to(truth[:, :1], truth.shape)[hidden]
    return Candidates(
        scene=scene,
        truth=truth[hidden][:, None],
        regions=Regions(),
        changes={
            (name, "none"): change_scores(frames[hidden], truth[hidden], first)
            for name, frames in rows.items()
        },
        rows={(name, "none"): frames[hidden][:, None] for name, frames in rows.items()},
        details={},
        pictures={name: to_uint8(picture) for name, picture in pictures.items()},
    )
