"""Anybody's films beside what a capture's cameras filmed, in one table with two simple baselines.

A film belongs to the camera of its name; where no film has a camera's name, the films belong to the
cameras in their order. It shows what that camera's own file shows, distortion included, in any
size of the same shape. A film of as many frames as the camera's has its times; another begins with
the capture and keeps its own.

Scores against the truth pool all films and instants. Those without it are `runs.grid_scores`, of
the source's real film and the films together; the real films have them too. FVD and FVD-V compare
the films with the real ones where there are enough of them. Each row is a record, to which later
runs add.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.baselines import copy_source, project_and_fill
from full4d_jax.evaluation.fidelity import ClipRows, Distances, Regions, moving_region, score
from full4d_jax.evaluation.frechet import Comparison, StoredGrid, open_i3d
from full4d_jax.evaluation.networks import ScoringNetworks
from full4d_jax.evaluation.results import append_line, open_lines, sheet, write_results
from full4d_jax.evaluation.runs import grid_scores
from full4d_jax.evaluation.table import COPY, PUSH_PULL
from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges
from full4d_jax.grid import About, Grid, all_real
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.stages import fingerprint
from full4d_jax.source.depth.estimators import AnyNetwork, source_depth
from full4d_jax.source.kinds import CAPTURE, require_kind
from gaussians.fitting.losses import SSIM_WINDOW
from input_pipeline.cameras import nearest_to_axes, relative_to, rescale
from input_pipeline.capture import Capture, View, make_view
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.footage import FILM_FOLDERS, VIDEOS, find_footage, picture_size
from input_pipeline.importers.detect import find_scenes, read_captures, require_inside
from input_pipeline.schema import Example
from input_pipeline.transforms import Clip, decode, to_source

REAL = "the real films"
Films = Mapping[str, tuple[Path, ...]]


class FilmedGrid(NamedTuple):
    """The truth and the films for it, in the source's world.

    Attributes:
      truth: the source, then what the films' cameras really filmed; depth of the source, or None.
      films: what the films show of the same instants.
      cameras: names of the films' cameras.
      files: every file that was read of the truth, for a mark.
      note: which film belongs to which camera, in words.
    """

    truth: Grid
    films: UInt8[np.ndarray, "n t h w 3"]
    cameras: list[str]
    files: list[Path]
    note: str


def read_filmed_grid(folder: Path, truth: Path, source: str | None, rows: int | None) -> FilmedGrid:
    """Read films and the capture whose cameras they are of.

    Args:
      folder: of one film, or one folder of pictures, a camera.
      truth: the folder of the capture.
      source: name of the camera whose film the method was given; None is the first.
      rows: short side at which pictures are compared; None is the smallest that there is.

    Raises:
      InputError: a folder does not read, films and cameras do not pair, or shapes differ.
    """
    films = find_footage(folder, FILM_FOLDERS)
    require_kind(truth, (CAPTURE,))
    with input_errors("truth", "give a capture (docs/data.md) as --truth"):
        scenes, _ = find_scenes(truth)
        path, layout, *_ = scenes[0]
        captures = read_captures(path, layout, fps=None)
        require_inside(path, captures)
    # Films of one folder can be of one scene only, and no name says of which.
    if len(scenes) > 1 or len(captures) > 1:
        found = f"{max(len(scenes), len(captures))} scenes"
        raise InputError("truth", truth, found, "one", "give the folder of one of them")
    # The source was the method's input: films of other cameras alone are scored.
    views = {view.name: view for view in captures[0].views}
    source = source or next(iter(views))
    if source not in views:
        expected = f"one of {', '.join(views)}"
        raise InputError("option", "--source_camera", source, expected, "name another")
    pairs = pair_by_name_or_order(films, list(views), source, folder)
    targets = [film for film in pairs if pairs[film] != source]
    if not targets:
        found = f"a film of the source, {source}, alone"
        raise InputError("films", folder, found, "films of other cameras", "add one")
    with input_errors("films", "write each film as its camera's, in any size of that shape"):
        # Films get the lens, the turn and the poses of their cameras, to be decoded alike.
        scored_views = [
            _film_view(film, films[film], views[pairs[film]], captures[0]) for film in targets
        ]
        real = [views[source], *(views[pairs[film]] for film in targets)]
        sizes = [_upright(view) for view in (*real, *scored_views)]
        _check_shapes([view.name for view in (*real, *scored_views)], sizes)
        # All are compared at the smallest size: enlarging would blur what is compared.
        height, width = min(sizes)
        if rows and rows < min(height, width):
            scale = rows / min(height, width)
            height, width = (round(side * scale) for side in (height, width))
        if min(height, width) < SSIM_WINDOW:
            found = f"pictures of {width}x{height}"
            raise InputError(
                "films", folder, found, f"{SSIM_WINDOW} pixels each way", "enlarge them"
            )
        # Real views and films are one example, which makes both take the same instants.
        everything = captures[0]._replace(views=(*real, *scored_views))
        example = CaptureClips([everything], size=min(height, width), finest=True)[0]
        clip = decode(example, height=height, width=width)
    count = len(targets)
    named = [f"{film} is {pairs[film]}" if film != pairs[film] else film for film in targets]
    return FilmedGrid(
        truth=_in_source(example, clip, 1 + count, truth),
        films=clip.frames[1 + count :],
        cameras=[pairs[film] for film in targets],
        files=[file for view in real for file in (*view.files, *view.depth) if file],
        note=f"the source is {source}; films: {', '.join(named)}",
    )


def pair_by_name_or_order(
    films: Films, cameras: list[str], source: str, folder: Path
) -> dict[str, str]:
    """Return the camera of each film: that of its name, or where no name is one, by order.

    Films in order are of all cameras, or of all but the source.

    Raises:
      InputError: some films alone have a camera's name, or their number is another.
    """
    if films and set(films) <= set(cameras):
        return {name: name for name in films}
    targets = [camera for camera in cameras if camera != source]
    strange = not set(films) & set(cameras)
    for ordered in (cameras, targets):
        if films and strange and len(films) == len(ordered):
            return dict(zip(films, ordered, strict=True))
    found = f"{len(films)} films ({', '.join(films)})".replace(" ()", "")
    expected = f"a film for each of {', '.join(targets)}, of its name or in this order"
    raise InputError("films", folder, found, expected, "rename them, or leave others out")


def _film_view(film: str, files: tuple[Path, ...], camera: View, capture: Capture) -> View:
    """Return a film as a view of its camera.

    Raises:
      ValueError: naming the film that does not read.
    """
    pose = camera.world_to_camera[0]
    name = f"film {film}"
    video = len(files) == 1 and files[0].suffix.lower() in VIDEOS
    fps = None if video else capture.fps
    start = max(view.timestamps[0] for view in capture.views)
    view = make_view(name, files, camera.intrinsics, pose, fps=fps, offset=float(start))
    times = view.timestamps
    if len(times) == len(camera.timestamps):
        times = camera.timestamps
    nearest = np.abs(camera.timestamps[None] - times[:, None]).argmin(1)
    rows, columns = picture_size(files[0])
    height, width = picture_size(camera.files[0])
    lens = camera.intrinsics * np.array([columns / width, rows / height, 1.0])[:, None]
    return view._replace(
        timestamps=times,
        intrinsics=lens,
        distortion=camera.distortion,
        world_to_camera=camera.world_to_camera[nearest],
        quarters=camera.quarters,
    )


def _upright(view: View) -> tuple[int, int]:
    rows, columns = picture_size(view.files[0])
    return (columns, rows) if view.quarters % 2 else (rows, columns)


def _check_shapes(names: list[str], sizes: list[tuple[int, int]]) -> None:
    """Refuse pictures of several shapes.

    Raises:
      ValueError: naming the first that differs from the source.
    """
    height, width = sizes[0]
    for name, (rows, columns) in zip(names, sizes, strict=True):
        if abs(rows * width / (columns * height) - 1) > 0.01:  # a hundredth of its shape
            found = f"{columns}x{rows}"
            expected = f"the shape of the source's {width}x{height}"
            raise ValueError(f"{name}: found {found}, expected {expected}")


def _in_source(example: Example, clip: Clip, count: int, path: Path) -> Grid:
    """Return the first views as a grid in the world of the first, in the unit of its depth.

    Without depth the unit is the distance to the point nearest to all optical axes; where these do
    not meet, the capture's own.
    """
    poses = clip.world_to_camera[:count]
    depth = None
    if clip.depth[0, 0].any():
        depth, poses = to_source(clip.depth[0], poses)
    else:
        poses = relative_to(poses.astype(np.float64), poses[0, 0].astype(np.float64))
        middle = nearest_to_axes(poses[:, 0])
        unit = 1.0 if middle is None else float(np.linalg.norm(middle))
        poses = rescale(poses, unit)
    frames = clip.frames[:count]
    height, width = frames.shape[2:4]
    return Grid(
        frames=frames,
        origin=all_real(frames),
        times=example.timestamps[0],
        cameras=Cameras(clip.intrinsics[:count], poses.astype(np.float32), height, width),
        depth=None if depth is None else depth[None],
        about=About(note=f"capture {path.name}"),
    )


def score_films(
    filmed: FilmedGrid,
    name: str,
    folder: Path,
    *,
    distances: Distances,
    network: AnyNetwork,
    network_name: str,
    networks: ScoringNetworks,
) -> dict[str, Any]:
    """Score films, add their row to the tables in a folder, and return what films.json holds.

    Args:
      filmed: the films and the truth.
      name: of the row; one that is there already is replaced.
      folder: for the results.
      distances: compare pictures.
      network: estimates the source's depth where the capture has none.
      network_name: for people.
      networks: for the scores by networks.

    Raises:
      InputError: the folder holds scores of another truth, or the name is that of a baseline.
    """
    if name in (COPY, PUSH_PULL, REAL):
        expected = "another name than those of the other rows"
        raise InputError("option", "--row", name, expected, "give another one")
    truth = filmed.truth
    if truth.depth is not None:
        depth = jnp.asarray(truth.depth[0])
    else:
        depth = drop_depth_edges(source_depth(network, to_model(truth.frames[0])), EDGE_BEND)
    # Scores of another truth are not comparable: whatever they depend on is part of the mark.
    made_of = {
        "truth": filmed.files,
        "instants": truth.times,
        "cameras": filmed.cameras,
        "size": truth.frames.shape,
        "depth": np.asarray(depth),
        "distances": sorted(distances),
        "networks": networks.files,
    }
    absent = dict(networks.missing)
    video = open_i3d(absent)
    made_of["video"] = video is not None
    file = folder / "films.jsonl"
    lines = open_lines(file, fingerprint("films 2", made_of, {}))
    records = {record["rows"][0]["row"]: record for record in lines if record["rows"]}
    real = truth.frames[1:] / np.float32(255)
    projection, filled = project_and_fill(to_model(truth.frames[0]), depth, truth.known_cameras)
    pictures = {
        name: filmed.films,
        COPY: copy_source(truth.frames[0], len(filmed.films)),
        PUSH_PULL: to_uint8(to_unit(filled)),
        REAL: truth.frames[1:],
    }
    # Pixels that the source does not see, and those that move, are the hard ones.
    moving = moving_region(real, np.asarray(truth.known_cameras.world_to_camera[1:]))
    regions = Regions(unseen=1 - np.asarray(projection.mask), moving=moving)
    views, instants, height, width = filmed.films.shape[:4]
    # Scoring is slow: rows of the same frames come from the file, and each new one is written at
    # once.
    for row, frames in pictures.items():
        mark = fingerprint(row, {"frames": frames}, {})
        if row in records and records[row].get("mark") == mark:
            continue
        rows = {} if row == REAL else {(row, "none"): frames / np.float32(255)}
        record = score(ClipRows(0, real, regions, rows), "films", distances)
        grid = replace(truth, frames=np.concatenate([truth.frames[:1], frames]), depth=None)
        scores = grid_scores(grid, networks)
        both = [StoredGrid(1 + views, instants, lambda x=x: x.frames) for x in (grid, truth)]
        comparison = Comparison(both[:1], both[1:], video, None)
        comparison.add(row, grid.frames)
        entry = (record["rows"] or [{"row": row, "depth": "none"}])[0]
        record["rows"] = [entry | scores | comparison.distances(row)]
        records[row] = record | {"mark": mark, "missing": absent | comparison.too_few}
        append_line(file, records[row])

    # The tables keep methods of earlier calls; baselines come last.
    methods = [row for row in records if row not in pictures or row == name]
    whose = "the capture" if truth.depth is not None else f"the network {network_name}"
    last = {row: frames[:, -1] / np.float32(255) for row, frames in pictures.items() if row != REAL}
    drawn = {"truth": real[:, -1], name: last.pop(name)}
    drawn["difference x2"] = 2 * np.abs(drawn[name] - drawn["truth"])
    return write_results(
        folder,
        "films",
        [records[row] for row in (*methods, COPY, PUSH_PULL, REAL)],
        f"# Films against {truth.about.note}\n\n{views} cameras, {instants} instants of "
        f"{width}x{height}: {filmed.note}. Depth of the source is from {whose}.",
        about={"cameras": filmed.cameras},
        picture=sheet(drawn | last, filmed.cameras),
    )
