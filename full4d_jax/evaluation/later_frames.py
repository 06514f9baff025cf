"""A clip of a still scene against itself: what is made of its first frame, and its later frames.

The clip's path and its unit are found as for any source that moves (`source.handheld`): the truth
has no part in the source's depth but for the sparse points, which settle the scale of both, and the
shift of its disparity.

Frames in one range of angles from the source are a group of `results.evaluate_groups`. The rows
are the source copied, its projection filled by push-pull, and the cascade, which is what
`full4d sample` makes of a video of this one frame at these cameras.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import DEFAULT, Config
from full4d_jax.evaluation.baselines import copy_source
from full4d_jax.evaluation.fidelity import ClipRows, Frames, Regions
from full4d_jax.evaluation.prior_rows import Judge, identity
from full4d_jax.evaluation.results import Group, evaluate_groups, open_lines
from full4d_jax.evaluation.table import CASCADE, COPY, PUSH_PULL
from full4d_jax.generation.cascade import Upsampler, generate_large, in_parts
from full4d_jax.generation.projection_guidance import fill_holes
from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges
from full4d_jax.grid import About, Grid, Origin, all_real, points_in, seen_in
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.upsampler import SIDE_MULTIPLE
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.source.depth.estimators import AnyNetwork, source_depth
from full4d_jax.source.handheld.find_path import path_from_poses
from full4d_jax.source.handheld.path_scale import in_unit, settle_scale
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.size import USUAL_ROWS, size_of_result
from full4d_jax.source.video_source import open_video_source
from input_pipeline.cameras import centers
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth
from input_pipeline.footage import first_picture
from input_pipeline.importers.camera_path import TRANSFORMS, CameraPath, path_files
from input_pipeline.importers.detect import require_inside
from input_pipeline.importers.transforms_json import read_transforms
from input_pipeline.transforms import decode

RANGE_EDGES = (0, 5, 10, 20, 30)  # degrees from the source; frames beyond are left out


class StillFilm(NamedTuple):
    """A source and the truth for other cameras.

    Attributes:
      grid: of one instant, in world units: the source is view 0, which has estimated depth; the
        later frames are the others, held out.
      instants: numbers of the later frames in the clip.
      angles: degrees between these cameras and the source's, seen from the scene.
    """

    grid: Grid
    instants: list[int]
    angles: Float[np.ndarray, " n"]


def check_enlarged(config: Config, upsampler: Upsampler, rows: int | None) -> None:
    """Refuse a prior that the upsampler does not enlarge, and frames no larger than the prior's.

    Raises:
      InputError: naming the config or the option.
    """
    least = upsampler.prior_rows
    if config.model.codec != "pixels" or config.data.height != least:
        found = f"codec {config.model.codec} at {config.data.height} rows"
        expected = f"pixels of {least} rows, which the upsampler enlarges"
        raise InputError("config", config.name, found, expected, "leave the clip out")
    if rows is not None and rows <= least:
        do = "give a larger number"
        raise InputError("option", "--rows", rows, f"more than the prior's {least}", do)


def open_film(config: Config, options: VideoOptions, network: AnyNetwork) -> StillFilm:
    """Read a video, or a folder of photographs with `transforms.json`, and estimate its depth.

    Raises:
      InputError: it is unusable, or its camera's path is unknown.
    """
    if options.video.is_dir():
        source = open_photographs(options.video, options.size.rows or USUAL_ROWS)
    else:
        source = open_video_source(size_of_result(config, options, enlarged=True), options)
    source = _from_first(source, options.video)
    angles = angles_from_first(source)
    frames = source.frames[0]
    widest = RANGE_EDGES[-1]
    chosen = [i for i in range(1, len(angles)) if angles[i] <= widest]
    if not chosen:
        found = f"{len(angles) - 1} later frames, none of them so near"
        expected = f"one within {widest} degrees of the first"
        raise InputError("video", options.video, found, expected, "give another --start")
    depth, placed = settled_depth(source, network)
    poses = np.asarray(placed.known_cameras.world_to_camera)[0, [0, *chosen], None]
    lenses = np.repeat(np.asarray(placed.known_cameras.intrinsics), len(poses), 0)
    origin = np.full((len(poses), 1), Origin.HELD_OUT, np.uint8)
    origin[0] = Origin.REAL
    grid = Grid(
        frames=frames[[0, *chosen], None],
        origin=origin,
        times=source.times[:1],
        cameras=Cameras(lenses, poses, *frames.shape[1:3]),
        depth=depth[None, None],
        about=source.about,
    )
    return StillFilm(grid, chosen, angles[chosen])


def ranges(angles: Sequence[float]) -> dict[str, list[int]]:
    """Return which of the angles lie in each range, by its name; ranges without any are left out.

    A range has its lower edge, the last one both.
    """
    bins = np.digitize(angles, RANGE_EDGES[1:-1])
    members = {
        f"{low}-{high}°": np.flatnonzero(bins == i).tolist()
        for i, (low, high) in enumerate(pairwise(RANGE_EDGES))
    }
    return {name: numbers for name, numbers in members.items() if numbers}


def _from_first(source: Grid, video: Path) -> Grid:
    """Return a source with the points alone that its first frame sees.

    Raises:
      InputError: there are too few of them to find the scale of its path.
    """
    points = points_in(source)
    if points is None:
        found = source.about.warning or "a camera that stays in its place"
        expected = "one that goes past a still scene"
        raise InputError("video", video, found, expected, "give --poses, or another --start")
    here = points.instants == 0
    if here.sum() < MIN_MATCHES:
        found = f"{here.sum()} points in the first frame whose depth the path tells"
        raise InputError("video", video, found, f"at least {MIN_MATCHES}", "give another --start")
    first = SparseDepth(*(values[here] for values in points))
    return replace(source, points=seen_in(0, first))


def angles_from_first(source: Grid) -> Float[np.ndarray, " t"]:
    """Return the degrees between each camera and the first, seen from the scene.

    The scene is on the first camera's axis, at the median depth of the still points: no depth
    network has a part in it.
    """
    points = points_in(source)
    assert points is not None, "points tell where the scene is"
    middle = np.array([0.0, 0.0, np.median(points.depth)])
    rays = centers(np.asarray(source.known_cameras.world_to_camera[0], np.float64)) - middle
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip(rays @ rays[0], -1, 1)))


def settled_depth(source: Grid, network: AnyNetwork) -> tuple[Float[np.ndarray, "h w"], Grid]:
    """Return the first frame's estimated depth, and the source with its path in the same unit."""
    first = to_model(source.frames[0, :1])
    known = np.asarray(source_depth(network, first, still=False))
    settled, unit = settle_scale(source, known, estimated=True)
    return np.asarray(drop_depth_edges(jnp.asarray(settled), EDGE_BEND))[0], in_unit(source, unit)


def open_photographs(folder: Path, rows: int) -> Grid:
    """Read photographs of a still scene, in order of their names, with the poses beside them.

    Lenses are undistorted. The world is the first photograph's camera.

    Raises:
      InputError: the folder is unusable, or its pictures do not agree with its poses.
    """
    file = folder / TRANSFORMS
    with input_errors("video", f"give a video, or a folder of pictures with {TRANSFORMS}"):
        capture = read_transforms(file, folder.name, None)
        require_inside(folder, [capture])
        first = capture.views[0]
        taken = first_picture(first.files[0]).shape
        height, width = sides(taken[0], taken[1], rows, SIDE_MULTIPLE)
        clip = decode(CaptureClips([capture], frames=1)[0], height=height, width=width)
    if not np.allclose(clip.intrinsics, clip.intrinsics[:1], rtol=1e-3):
        do = "leave the pictures of all but one out"
        raise InputError("video", file, "several lenses", "one", do)
    lens = clip.intrinsics[0].astype(np.float64)
    frames = clip.frames[:, 0]
    instants = np.arange(len(frames), dtype=np.float64)
    poses = CameraPath(clip.world_to_camera[:, 0].astype(np.float64), None, None)
    path = path_from_poses(poses, file, folder, instants, lambda: (frames, lens))
    world_to_camera = path.world_to_camera[None].astype(np.float32)
    note = f"{len(frames)} photographs, resized to {width}x{height}; {path.note}"
    return Grid(
        frames=frames[None],
        origin=all_real(frames[None]),
        times=instants,
        cameras=Cameras(lens[None].astype(np.float32), world_to_camera, height, width),
        points=seen_in(0, path.points),
        about=About(note=note, warning=path.warning),
    )


def evaluate_film(judge: Judge, upsampler: Upsampler, folder: Path, options: VideoOptions) -> None:
    """Score a clip, frame by frame, and write the page.

    Args:
      judge: the models under evaluation.
      upsampler: brings the prior's frames to full size.
      folder: for the results.
      options: the clip, its poses and its size.

    Raises:
      InputError: the clip is unusable, or the folder holds another evaluation.
    """
    files = [options.video, *(path_files(options.poses) if options.poses else [])]
    if options.video.is_dir():
        files = sorted(path for path in options.video.rglob("*") if path.is_file())
    clips = {"clip": files, "upsampler": upsampler.path, "ranges": RANGE_EDGES}
    clips |= {"start": options.start, "fov": options.fov, "size": options.size}
    mark = identity(judge, clips)
    open_lines(folder / "scores.jsonl", mark)  # refuses another evaluation before the work
    film = open_film(judge.config, options, judge.depth)

    @cache
    def generated() -> tuple[dict[str, Frames], Float[np.ndarray, "n 1 h w"]]:
        return generate_film_rows(judge, upsampler, film)

    def rows_of(instants: Sequence[int]) -> Iterator[ClipRows]:
        rows, seen = generated()
        for instant in instants:
            yield at_instant(film, rows, seen, instant, judge.depth_name)

    groups = []
    for name, members in ranges(film.angles.tolist()).items():
        widest_first = sorted(members, key=lambda i: -film.angles[i])
        groups.append(Group(name, [film.instants[i] for i in widest_first], rows_of))
    preface = (
        f"# `{options.video.stem}` against its own later frames\n\n"
        f"The source is the first frame, the truth {len(film.instants)} later ones: "
        f"{film.grid.about.note}. Below they are grouped by the angle between the cameras, seen "
        "from the scene. A pixel is seen where the projection of the source by its estimated depth "
        f"(network: {judge.depth_name}) has a point."
    )
    evaluate_groups(folder, groups, judge.distances, mark=mark, shipped=CASCADE, preface=preface)


def generate_film_rows(
    judge: Judge, upsampler: Upsampler, film: StillFilm
) -> tuple[dict[str, Frames], Float[np.ndarray, "n 1 h w"]]:
    """Return the frames of every row at the cameras of the truth, and which pixels are seen."""
    source = film.grid.frames[0]
    depth = jnp.asarray(film.grid.depth)[:1]
    cameras = jax.tree.map(jnp.asarray, film.grid.known_cameras)
    key = jax.random.key(judge.config.seed)
    prior = in_parts(judge.prior, DEFAULT.data)
    grid, projection = generate_large(prior, upsampler, to_model(source)[None], depth, cameras, key)
    rows = {
        COPY: copy_source(source / np.float32(255), len(film.instants)),
        PUSH_PULL: to_unit(jax.jit(fill_holes)(projection)),
        CASCADE: to_unit(grid[1:]),
    }
    return rows, np.asarray(projection.mask)


def at_instant(
    film: StillFilm,
    rows: dict[str, Frames],
    seen: Float[np.ndarray, "n 1 h w"],
    instant: int,
    network: str,
) -> ClipRows:
    """Return all rows at one later frame."""
    at = [film.instants.index(instant)]
    truth = film.grid.frames[1:][at]
    here = {name: frames[at] for name, frames in rows.items()}
    return ClipRows(
        scene=instant,
        truth=truth / np.float32(255),
        regions=Regions(unseen=1 - seen[at], seen=seen[at]),
        rows={(name, "none" if name == COPY else network): x for name, x in here.items()},
        details={"angle": float(film.angles[at[0]])},
        pictures={"source": film.grid.frames[0, 0], "truth": truth[0, 0]}
        | {name: to_uint8(frames[0, 0]) for name, frames in here.items()},
    )
