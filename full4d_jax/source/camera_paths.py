"""Target cameras: named presets, or a JSON file.

The world is the source camera at the first frame (OpenCV axes: x right, y down, z forward) and its
unit is the median depth there. Presets look at the pivot, a point on the source's optical axis, and
keep its distance from the source: azimuth moves the camera to the right of the source around an
upright axis, elevation up. The pivot is at depth 1, or nearer where what moves is nearer
(`look_at_subject`).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import Size
from full4d_jax.geometry import arrays
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.lines import UP, Direction
from full4d_jax.source.options import PathOptions
from input_pipeline import pinhole
from input_pipeline.importers.camera_path import read_path
from input_pipeline.plain_files import check_field, field, load_json, named, numbers

PIVOT = np.array([0.0, 0.0, 1.0])
# Levels by which a pixel that moves differs from the median picture.
MOVED_LEVELS = 0.1 * 255
# Share of the pixels of a clip that locates the subject.
LEAST_MOVING_SHARE = 0.01
# World units.
NEAREST_PIVOT_DEPTH = 0.2
PRESETS = ("arc", "ring", "spiral")
FORMAT = "give arc, ring, spiral or a file as docs/cameras.md says"

RigPoses = Float[ndarray, "v t 4 4"]


class TargetCameras(NamedTuple):
    """Target cameras, in the world of the source camera.

    Attributes:
      intrinsics: pixels; None where the source's apply.
      world_to_camera: rigid motions, world units.
    """

    intrinsics: Float[ndarray, "v 3 3"] | None
    world_to_camera: RigPoses


def directions(
    preset: str, phase: Float[ndarray, " n"], azimuth: float, elevation: float
) -> Float[ndarray, "n 2"]:
    """Return azimuth and elevation in degrees along a preset, at `phase` in [0, 1].

    `arc` sweeps from the left of the source to its right, `ring` goes around it once, `spiral`
    twice while it widens. None leaves +-`azimuth`, +-`elevation` degrees.
    """
    turn = 2 * np.pi * phase
    if preset == "arc":
        return np.stack([(2 * phase - 1) * azimuth, np.zeros_like(phase)], -1)
    if preset == "ring":
        return np.stack([azimuth * np.cos(turn), elevation * np.sin(turn)], -1)
    across = azimuth * phase * np.cos(2 * turn)
    return np.stack([across, elevation * phase * np.sin(2 * turn)], -1)


def read_targets(options: PathOptions, size: Size) -> TargetCameras:
    """Return the target cameras of the options: a preset, or those of a JSON file.

    Raises:
      InputError: the camera file is unusable.
    """
    if options.path in PRESETS:
        phase = _phases(options.path, size.views - 1)
        angles = directions(options.path, phase, options.azimuth, options.elevation)
        still = pinhole.orbit(angles[:, 0], angles[:, 1])[:, None]
        return TargetCameras(None, np.repeat(still, size.frames, 1).astype(np.float32))
    path = Path(options.path)
    with input_errors("camera file", FORMAT, path):
        content = load_json(path)
        found = type(content).__name__
        check_field(path, isinstance(content, dict), found, "a JSON object")
        if {"camera_path", "frames"} & content.keys():
            return _along(path, size)
        return _listed(path, content, size)


def _along(path: Path, size: Size) -> TargetCameras:
    """Return still cameras evenly spaced along a path of nerfstudio's, both ends included."""
    read = read_path(path)
    own = read.world_to_camera
    chosen = np.linspace(0, len(own) - 1, size.views - 1).round().astype(int)
    poses = np.repeat(own[chosen][:, None], size.frames, 1).astype(np.float32)
    if read.intrinsics is None or read.size is None:
        return TargetCameras(None, poses)
    rows, columns = read.size
    scale = {"rows": size.height / rows, "columns": size.width / columns}
    scaled = pinhole.resize_intrinsics(read.intrinsics, **scale)
    lenses = np.repeat(scaled[None], len(poses), 0).astype(np.float32)
    return TargetCameras(lenses, poses)


def _listed(path: Path, content: dict[str, Any], size: Size) -> TargetCameras:
    """Return the target cameras that a JSON file lists.

    The file holds `world_to_camera`, (v, 4, 4) or for moving cameras (v, t, 4, 4), in the world of
    the module docstring, and optionally `intrinsics` (v, 3, 3) in pixels of pictures of
    `image_size` [width, height]; the source's apply otherwise.

    Raises:
      ValueError: the file holds a wrong shape, NaN or no rigid motion.
    """
    frames, width, height = size.frames, size.width, size.height
    where = f"{path}, world_to_camera"
    listed = field(content, "world_to_camera", str(path))
    poses = numbers(listed, np.shape(listed), where)
    found = f"shape {poses.shape}"
    if poses.ndim == 3:
        poses = np.repeat(poses[:, None], frames, 1)
    fits = poses.size and poses.shape[1:] == (frames, 4, 4)
    check_field(where, fits, found, f"(v, 4, 4) or (v, {frames}, 4, 4)")
    lenses = None
    if "intrinsics" in content:
        own_size = content.get("image_size", [width, height])
        columns, rows = numbers(own_size, (2,), f"{path}, image_size")
        own = numbers(content["intrinsics"], (len(poses), 3, 3), f"{path}, intrinsics")
        scale = {"rows": height / rows, "columns": width / columns}
        lenses = pinhole.resize_intrinsics(own, **scale)
    with named(f"{path}, "):
        pinhole.check_poses(poses)
        if lenses is not None:
            pinhole.check_cameras(lenses, poses)
            lenses = lenses.astype(np.float32)
    return TargetCameras(lenses, poses.astype(np.float32))


def subject_depth(depth: arrays.Maps, passing: arrays.Masks) -> float:
    """Return the depth of what passes in a clip, at most 1.

    It is 1, the median depth of the scene, where too little does to measure it.

    Args:
      depth: z of the source, world units, 0 where unknown.
      passing: its pixels that show what passes.
    """
    moving_depth = depth[passing & (depth > 0)]
    if moving_depth.size < LEAST_MOVING_SHARE * depth.size:
        return 1.0
    return float(np.clip(np.median(moving_depth), NEAREST_PIVOT_DEPTH, 1.0))


def around_upright(targets: TargetCameras, up: Direction) -> TargetCameras:
    """Return the cameras of a preset at the same angles around an axis along `up`."""
    azimuth, elevation = np.moveaxis(angles_of(targets.world_to_camera), -1, 0)
    poses = pinhole.orbit(azimuth, elevation, up=up).astype(np.float32)
    return targets._replace(world_to_camera=poses)


def look_at_subject(targets: TargetCameras, distance: float) -> TargetCameras:
    """Return the cameras of a preset around the point at depth `distance` instead of 1.

    Every angle stays; the way from the source to each camera shrinks with the distance.
    """
    poses = targets.world_to_camera.copy()
    poses[..., :3, 3] *= distance
    return targets._replace(world_to_camera=poses)


def pivot_of(world_to_camera: RigPoses) -> Float[ndarray, "3"]:
    """Return the point on the source's axis that is nearest to where all cameras look.

    It is at depth 1 where they do not look at one place.
    """
    middle = pinhole.nearest_to_axes(np.asarray(world_to_camera[:, 0], np.float64))
    if middle is None or middle[2] < NEAREST_PIVOT_DEPTH / 2:
        return PIVOT
    return PIVOT * middle[2]


def up_of(world_to_camera: RigPoses) -> Float[ndarray, "3"]:
    """Return the direction to which no camera's right side rises: up, where none of them rolls.

    Where several are so, it is the one nearest to up of a level source.
    """
    # Of what cameras say, by which up of a level source counts.
    level_share = 1e-5
    rights = np.asarray(world_to_camera[..., 0, :3], np.float64).reshape(-1, 3)
    rise = rights.T @ rights / len(rights) - level_share * np.outer(UP, UP)
    up = np.linalg.eigh(rise)[1][:, 0]
    return up if up @ np.asarray(UP) > 0 else -up


def still_camera(lens: arrays.Lens, size: Size) -> Cameras:
    """Return the camera of a source: the world is its own frame at all instants."""
    poses = np.broadcast_to(np.eye(4, dtype=np.float32), (1, size.frames, 4, 4))
    return Cameras(lens[None].astype(np.float32), poses, size.height, size.width)


def grid_cameras(source: Cameras, targets: TargetCameras) -> Cameras:
    """Return the source's camera with the target cameras after it."""
    lens = np.asarray(source.intrinsics)
    pose = np.asarray(source.world_to_camera)
    lenses = targets.intrinsics
    if lenses is None:
        lenses = np.repeat(lens, len(targets.world_to_camera), 0)
    poses = np.concatenate([pose, targets.world_to_camera])
    return Cameras(np.concatenate([lens, lenses]), poses, source.height, source.width)


def following(targets: TargetCameras, source: Cameras) -> TargetCameras:
    """Return targets that keep their place relative to the source's camera, which moves."""
    poses = targets.world_to_camera @ np.asarray(source.world_to_camera)
    return targets._replace(world_to_camera=poses)


def angles_of(
    world_to_camera: Float[ndarray, "... 4 4"], pivot: Float[ndarray, "3"] = PIVOT
) -> Float[ndarray, "... 2"]:
    """Return azimuth and elevation in degrees of the camera centres, seen from the pivot."""
    x, y, z = np.moveaxis(pinhole.centers(world_to_camera) - pivot, -1, 0)
    return np.degrees(np.stack([np.arctan2(x, -z), np.arctan2(-y, np.hypot(x, z))], -1))


def beside_source(world_to_camera: RigPoses) -> RigPoses:
    """Return poses in the frame of the first view's camera at the same instant."""
    return world_to_camera @ np.linalg.inv(world_to_camera[:1])


def orbit_limit(world_to_camera: RigPoses, least: float) -> tuple[float, float]:
    """Return azimuth and elevation in degrees around the pivot that an orbit of a grid reaches.

    Args:
      world_to_camera: of the grid's cameras; the orbit is around the source's of each instant.
      least: degrees that it reaches where the cameras stand closer together.
    """
    relative = beside_source(world_to_camera)
    angles = angles_of(relative, pivot_of(relative))
    azimuth, elevation = np.abs(angles).reshape(-1, 2).max(0)
    return max(float(azimuth), least), max(float(elevation), least)


def middle_angles(angles: Float[ndarray, "v 2"]) -> Float[ndarray, "2"]:
    """Return the middle of the angles of cameras side by side, degrees, on the way that they go."""
    turned = np.unwrap(angles, axis=0, period=360)
    return (turned.min(0) + turned.max(0)) / 2


def range_warning(
    world_to_camera: RigPoses, max_azimuth: float, max_elevation: float
) -> str:
    """Return a sentence when cameras leave the angles that the prior was trained on, else "".

    Angles are those from the source's camera at the same instant.
    """
    relative = beside_source(world_to_camera)
    azimuth, elevation = np.abs(angles_of(relative, pivot_of(relative))).max((0, 1))
    if azimuth <= max_azimuth + 0.5 and elevation <= max_elevation + 0.5:
        return ""
    reached = f"azimuth {azimuth:.0f} and elevation {elevation:.0f} degrees"
    trained = f"{max_azimuth:.0f} and {max_elevation:.0f} of this checkpoint's training"
    blur = "expect blur and invention there"
    return f"the camera path reaches {reached}, beyond the {trained}: {blur}"


def _phases(preset: str, targets: int) -> Float[ndarray, " n"]:
    """Spread the targets over a preset, so that none repeats another or the source."""
    if preset == "ring":
        return np.arange(targets) / targets
    if preset == "spiral":
        return np.arange(1, targets + 1) / targets
    if targets % 2 == 0:
        return np.linspace(0, 1, targets)
    return np.delete(np.linspace(0, 1, targets + 1), (targets + 1) // 2)
