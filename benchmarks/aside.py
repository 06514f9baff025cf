"""Draws what facts, depth network and clean plate change in views beside real clips.

    python benchmarks/real_videos.py --page --out RUNS
    python benchmarks/aside.py RUNS --out OUT

RUNS has finished runs of clips with default options. The source of each is measured and its views
are generated anew, with one part more in each row:

    Tiefenrausch    depth of the network from which ours was trained, as it is
    facts           and the facts with which depth must agree (docs/depth.md)
    our network     in its place
    clean plate     and what is hidden, filled once for all views, as in the run
    4D scene        the run's scene, which was fitted to the row above

OUT/aside.jpg shows the outermost views to both sides, 15 degrees from the source camera, at the
instant with most motion. Nobody filmed these views: they are for the eye. The line of a clip has
for each row the percentage of them that the projection leaves empty, where the upsampler paints;
the last line is JSON, with medians.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from real_videos import finished, stack, two_instants

from full4d_jax.config import DEFAULT
from full4d_jax.generation.cascade import Upsampler, generate_large, in_parts, load_upsampler
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.grid import Grid, grid_from
from full4d_jax.media.pictures import contact_sheet, save_picture, to_model, to_uint8, to_unit
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.scene_arrays import background_in, from_arrays
from full4d_jax.session.errors import tell
from full4d_jax.source.aiming import with_targets
from full4d_jax.source.camera_paths import read_targets
from full4d_jax.source.depth.estimate import TIEFENRAUSCH
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.measure import DepthInputs, measure, measured
from full4d_jax.source.options import NetworkOptions, VideoOptions

VIEWS = 5  # of the grid, the source included, as in `full4d run`
OUTERMOST = (1, VIEWS - 1)
SCENE = "4D scene"


class Part(NamedTuple):
    """What a row has.

    Attributes:
      network: file of the depth network, or ours.
      facts: whether depth agrees with them.
      plate: whether what is hidden is filled once.
    """

    network: str
    facts: bool
    plate: bool


PARTS = {
    "Tiefenrausch": Part(str(TIEFENRAUSCH), facts=False, plate=False),
    "facts": Part(str(TIEFENRAUSCH), facts=True, plate=False),
    "our network": Part("ours", facts=True, plate=False),
    "clean plate": Part("ours", facts=True, plate=True),
}


class Aside(NamedTuple):
    """The outermost views at one instant, and what share of them the projection leaves empty."""

    pictures: UInt8[ndarray, "2 h w 3"]
    empty: float


def main() -> None:
    """Generate the rows of clip after clip, print its line, save the sheet."""
    options = parse()
    folders = [path.parent for path in sorted(options.runs.glob("*/report.json"))]
    if not folders:
        raise SystemExit(
            f"{options.runs}: found no finished run, expected what real_videos.py makes"
        )
    prior = in_parts(open_prior(DEFAULT), DEFAULT.data)
    upsampler = load_upsampler()
    sheets = []
    empty = []
    print(" ".join(f"{name:>12}" for name in PARTS), " clip")
    for folder in folders:
        stages = finished(folder)
        source = grid_from(stages["source"])
        instant = int(two_instants(source.frames[0])[1])
        rows = {
            name: generated(source, part, prior, upsampler, instant) for name, part in PARTS.items()
        }
        empty.append([row.empty for row in rows.values()])
        print(" ".join(f"{share:12.1%}" for share in empty[-1]), f" {folder.name}", flush=True)
        cells = [row.pictures for row in rows.values()]
        cells.append(fitted(stages, instant))
        sheets.append(sheet(folder.name, source.frames[0, instant], cells))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "aside.jpg"
    save_picture(path, stack(sheets))
    print(f"pictures: {path}")
    medians = dict(zip(PARTS, np.median(empty, 0).round(4).tolist(), strict=True))
    print(json.dumps({"clips": len(folders), "empty": medians}))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, help="folder of finished runs")
    parser.add_argument("--out", type=Path, default=Path("out/aside"), help="folder")
    return parser.parse_args()


def generated(source: Grid, part: Part, prior: Prior, upsampler: Upsampler, instant: int) -> Aside:
    """Measure a source and generate its views, with some of the parts."""
    network = open_network(part.network)
    options = NetworkOptions(part.network, keep_estimate=not part.facts)
    inputs = DepthInputs(options, network, file=None, depth=None)
    grid = measured(source, measure(source, inputs, tell))
    if not part.plate:
        grid = replace(grid, plate=None)
    usual = VideoOptions()
    frames = source.frames.shape[1]
    targets = read_targets(usual.cameras, replace(DEFAULT.data, views=VIEWS, frames=frames))
    aimed, _ = with_targets(grid, targets, usual)
    assert aimed.cameras is not None, "views have been placed"
    assert aimed.depth is not None, "depth has been measured"
    views, projection = generate_large(
        prior,
        upsampler,
        to_model(aimed.frames[:1]),
        jax.numpy.asarray(aimed.depth),
        aimed.cameras,
        jax.random.key(DEFAULT.seed),
        aimed.plate,
    )
    rows = np.array(OUTERMOST)
    pictures = to_uint8(to_unit(np.asarray(views)[rows, instant]))
    covered = np.asarray(projection.mask)[rows - 1, instant]  # it has no row for the source
    return Aside(pictures, 1 - float(covered.mean()))


def fitted(stages: dict[str, dict[str, ndarray]], instant: int) -> UInt8[ndarray, "2 h w 3"]:
    """Return the outermost views of a run's scene."""
    grid = grid_from(stages["grid"])
    assert grid.cameras is not None, "a scene has cameras"
    cameras = grid.cameras.views(list(OUTERMOST)).frames([instant])
    time = np.array([instant / max(1, grid.frames.shape[1] - 1)], np.float32)
    scene = from_arrays(stages["scene"])
    return render_views(scene, cameras, time, background_in(stages["scene"]))[:, 0]


def sheet(
    title: str, frame: UInt8[ndarray, "h w 3"], cells: list[UInt8[ndarray, "2 h w 3"]]
) -> UInt8[ndarray, "H W 3"]:
    """Return the picture of a clip: its views to the sides, row by row, and the frame beside."""
    azimuth = VideoOptions().cameras.azimuth
    return contact_sheet(
        np.stack(cells),
        rows=[*PARTS, SCENE],
        columns=[f"{azimuth:g}° to one side", "to the other"],
        title=f"{title}; at the right the frame",
        aside=frame,
        cell_height=len(frame),
    )


if __name__ == "__main__":
    main()
