"""Anybody's films beside what a capture's cameras filmed, in one table with simple baselines.

A film belongs to the camera of its name. It shows what that camera's own file shows, distortion
included, in any size of the same shape. A film of as many frames as the camera's has its times;
another begins with the capture and keeps its own.

Scores against the truth pool all films and instants. Those of `consistency.grid_scores`, without
it, are of the source's real film and the films together; the real films have them too. FVD and
FVD-V compare the films with the real ones where there are enough of them. Each row is a record, to
which later runs add.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import sides
from full4d_jax.evaluation import consistency, fidelity, frechet, table
from full4d_jax.evaluation.scoring_networks import ScoringNetworks
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.grid import Grid, grid_arrays
from full4d_jax.media.pictures import to_model, to_uint8
from full4d_jax.session import errors, fields, stages
from full4d_jax.source import capture_source, kinds, options
from full4d_jax.source.depth.any_network import OURS, open_network, source_depth
from input_pipeline import capture_clips, media_files, transforms
from input_pipeline.capture import Capture, View, make_view
from input_pipeline.plain_files import check_field

REAL = "the real films"
# Two pictures have one shape if the quotient of their shapes is 1 up to this.
SHAPES_ALIKE = 0.01


Films = UInt8[np.ndarray, "n t h w 3"]


def read_films(
    folder: Path, truth: Path, source: str | None, rows: int | None
) -> tuple[Grid, Films, list[str], str]:
    """Read films and the capture whose cameras they are of.

    Args:
      folder: of one film, or one folder of pictures, a camera.
      truth: the folder of the capture.
      source: name of the camera whose film the method was given; None is the first.
      rows: short side at which pictures are compared; None is the smallest that there is.

    Returns:
      The source, then what the films' cameras really filmed, in the source's world, with depth of
      the source where it is known; the films at the same instants; names of their cameras; and
      which capture and source these are, in words.

    Raises:
      InputError: a folder does not read, films and cameras do not pair, or shapes differ.
    """
    films = media_files.find_videos(folder, media_files.VIDEO_FOLDERS)
    kinds.require_kind(truth, (kinds.CAPTURE,))
    with errors.input_errors("truth", "give a capture of one scene (docs/data.md)"):
        captures, scenes = capture_source.captures_of(truth)
        # Films of one folder can be of one scene only, and no name says of which.
        count = max(scenes, len(captures))
        check_field(truth, count == 1, f"{count} scenes", "one")
    # The source was the method's input: films of other cameras alone are scored.
    capture = captures[0]
    views = {view.name: view for view in capture.views}
    source = source or capture.views[0].name
    expected = f"one of {', '.join(views)}"
    fields.require_option("source_camera", source, source in views, expected)
    do = "write each film under its camera's name, in any size of that shape"
    with errors.input_errors("films", do):
        names = [name for name in films if name != source]
        found = f"{len(films)} films ({', '.join(films)})"
        targets = ", ".join(name for name in views if name != source)
        fits = bool(names) and set(names) <= set(views)
        check_field(folder, fits, found, f"films with names of {targets}")
        # Films get the lens, the turn and the poses of their cameras, to be decoded alike.
        filmed = [_film_view(films[name], views[name], capture) for name in names]
        real = [views[source], *(views[name] for name in names)]
        # All are compared at the smallest size: enlarging would blur what is compared.
        height, width = _smallest_size([*real, *filmed])
        if rows and rows < min(height, width):
            height, width = sides(height, width, rows, 1)
        # Real views and films are one example, which makes both take the same instants.
        everything = capture._replace(views=(*real, *filmed))
        short = min(height, width)
        clips = capture_clips.CaptureClips([everything], size=short, finest=True)
        clip = transforms.decode(clips[0], height=height, width=width)
        known = transforms.Clip(*(values[: len(real)] for values in clip))
        grid = fidelity.grid_in_source(known, usual_unit=1.0)
    note = f"the source of {truth.name} is {source}; films: {', '.join(names)}"
    return grid, clip.frames[len(real) :], names, note


def _film_view(files: tuple[Path, ...], camera: View, capture: Capture) -> View:
    """Return a film as a view of its camera.

    Raises:
      ValueError: naming the film that does not read.
    """
    name = f"film {camera.name}"
    start = float(max(view.timestamps[0] for view in capture.views))
    lens, pose = camera.intrinsics, camera.world_to_camera[0]
    view = make_view(name, files, lens, pose, fps=capture.fps, offset=start)
    times = view.timestamps
    if len(times) == len(camera.timestamps):
        times = camera.timestamps
    nearest = np.abs(camera.timestamps[None] - times[:, None]).argmin(1)
    rows, columns = media_files.picture_size(files[0])
    height, width = media_files.picture_size(camera.files[0])
    return view._replace(
        timestamps=times,
        intrinsics=lens * np.array([columns / width, rows / height, 1.0])[:, None],
        distortion=camera.distortion,
        world_to_camera=camera.world_to_camera[nearest],
        quarters=camera.quarters,
    )


def _smallest_size(views: list[View]) -> tuple[int, int]:
    """Return rows and columns of the smallest upright pictures, all of one shape.

    Raises:
      ValueError: naming the first view that differs from the source.
    """
    sizes = []
    for view in views:
        rows, columns = media_files.picture_size(view.files[0])
        sizes.append((columns, rows) if view.quarters % 2 else (rows, columns))
    height, width = sizes[0]
    for view, (rows, columns) in zip(views, sizes, strict=True):
        fits = abs(rows * width / (columns * height) - 1) <= SHAPES_ALIKE
        expected = f"the shape of the source's {width}x{height}"
        check_field(view.name, fits, f"{columns}x{rows}", expected)
    return min(sizes)


def score_films(
    truth: Grid,
    films: Films,
    cameras: list[str],
    note: str,
    name: str,
    folder: Path,
    networks: ScoringNetworks,
    *,
    depth_network: str | None,
    depth_kind: options.DepthKind | None,
) -> None:
    """Score films, and add their row to the tables in a folder.

    Args:
      truth: the source, then what the films' cameras really filmed.
      films: what is scored.
      cameras: names of the films' cameras.
      note: which capture and source these are, in words.
      name: of the row; one that is there already is replaced.
      folder: for the results.
      networks: for the scores by networks.
      depth_network: estimates the source's depth where the capture has none.
      depth_kind: what it gives.

    Raises:
      InputError: the folder holds scores of another truth, or the name is that of a baseline.
    """
    baselines = [table.COPY, table.INPAINT, table.PUSH_PULL, REAL]
    expected = "another name than those of the other rows"
    fields.require_option("row", name, name not in baselines, expected)
    whose = "the capture"
    if truth.depth is None:
        network = open_network(depth_network, depth_kind)
        estimate = source_depth(network, to_model(truth.frames[0]))
        truth = replace(truth, depth=np.asarray(drop_depth_edges(estimate))[None])
        whose = f"the network {depth_network or OURS}"
    compared = fidelity.rows_of(name, films / fidelity.LEVELS, truth)
    rows = {row: frames for (row, _), frames in compared.rows.items()}
    rows[REAL] = compared.truth
    # Scores of another truth are not comparable: whatever they depend on is part of the mark.
    lpips = fidelity.open_lpips()
    absent = dict(networks.missing)
    video = frechet.open_i3d(absent)
    settings = {"truth": grid_arrays(truth), "networks": networks.files}
    settings |= {"lpips": lpips is not None, "video": video is not None}
    mark = stages.fingerprint("films 4", settings, {})

    def scored(_: str, row: str) -> dict[str, Any]:
        alone = compared._replace(rows={(row, "none"): rows[row]})
        record = fidelity.score(alone, lpips)
        frames = np.concatenate([truth.frames[:1], to_uint8(rows[row])])
        scores = consistency.grid_scores(frames, truth.known_cameras, networks)
        missing = dict(absent)
        if video:
            made = [lambda: frames]
            real = [lambda: truth.frames]
            distances, too_few = frechet.compare(made, real, video)
            scores |= distances
            missing |= too_few
        record["rows"][0] |= scores
        return record | {"missing": missing}

    # Scoring is slow: rows of the same frames come from the file.
    jobs = {
        ("films", row): stages.fingerprint(row, {"frames": x}, {})
        for row, x in rows.items()
    }
    scored_jobs = table.score_jobs(folder / "films.jsonl", mark, jobs, scored)
    records = {row: record for (_, row), record in scored_jobs.items()}
    # The tables keep methods of earlier calls; baselines come last.
    methods = [row for row in records if row not in baselines]
    views, instants, height, width = films.shape[:4]
    table.write_results(
        folder,
        "films",
        [records[row] for row in (*methods, *baselines)],
        f"# Films against the real ones\n\n{views} cameras, {instants} instants of {width}x"
        f"{height}; {note}. Depth of the source is from {whose}.",
        about={"cameras": cameras},
        picture=fidelity.sheet(compared, cameras),
    )
