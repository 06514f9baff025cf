"""A still scene that one camera filmed: the first frame is the source, later ones are the truth.

The path and its unit are found as for any source that moves (`source.handheld`): the truth has no
part in the source's depth but for the sparse points, which settle the scale of both, and the shift
of its disparity.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import Config
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.grid import About, Grid, Origin, all_real, points_in, seen_in
from full4d_jax.media.pictures import to_model
from full4d_jax.models.upsampler import MULTIPLE
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.handheld.find_path import path_from_poses
from full4d_jax.source.handheld.path_scale import in_unit, settle_scale
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.size import ROWS, size_of_result
from full4d_jax.source.video_source import open_video_source
from input_pipeline.cameras import centers
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth
from input_pipeline.footage import first_picture
from input_pipeline.importers.camera_path import TRANSFORMS, CameraPath
from input_pipeline.importers.detect import require_inside
from input_pipeline.importers.transforms_json import read_transforms
from input_pipeline.transforms import decode

EDGES = (0, 5, 10, 20, 30)  # degrees from the source, of the ranges
WIDEST = float(EDGES[-1])  # beyond which no frame is asked for


class StillFilm(NamedTuple):
    """A source and the truth for other cameras.

    Attributes:
      grid: of one instant, in world units: the source is view 0, which has estimated depth; the
        later frames are the others, held out.
      instants: numbers of the later frames in the clip.
      angles: degrees between these cameras and the source's, seen from the scene.
      left_out: later frames beyond `WIDEST`.
    """

    grid: Grid
    instants: list[int]
    angles: Float[np.ndarray, " n"]
    left_out: int


def open_film(config: Config, options: VideoOptions, network: AnyNetwork) -> StillFilm:
    """Read a video, or a folder of photographs with `transforms.json`, and estimate its depth.

    Raises:
      InputError: it is unusable, or nothing tells how its camera travels.
    """
    if options.video.is_dir():
        source = open_photographs(options.video, options.size.rows or ROWS)
    else:
        source = open_video_source(size_of_result(config, options, enlarged=True), options)
    source = _from_first(source, options.video)
    angles = angles_from_first(source)
    frames = source.frames[0]
    chosen = [i for i in range(1, len(angles)) if angles[i] <= WIDEST]
    if not chosen:
        found = f"{len(angles) - 1} later frames, none of them so near"
        expected = f"one within {WIDEST:g} degrees of the first"
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
    return StillFilm(grid, chosen, angles[chosen], len(frames) - 1 - len(chosen))


def ranges(angles: Sequence[float]) -> dict[str, list[int]]:
    """Return which of the angles lie in each range, by its name; ranges without any are left out.

    A range has its lower edge, the last one both.
    """
    bins = np.digitize(angles, EDGES[1:-1])
    members = {
        f"{EDGES[i]}-{EDGES[i + 1]}°": np.flatnonzero(bins == i).tolist()
        for i in range(len(EDGES) - 1)
    }
    return {name: numbers for name, numbers in members.items() if numbers}


def _from_first(source: Grid, video: Path) -> Grid:
    """Return a source with the points alone that its first frame sees.

    Raises:
      InputError: there are too few of them to tell the scale of its path.
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
    return np.asarray(drop_depth_edges(jnp.asarray(settled), EDGE))[0], in_unit(source, unit)


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
        height, width = sides(taken[0], taken[1], rows, MULTIPLE)
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
