"""Registration of the views of one instant by COLMAP (`pycolmap`), as photographs of one place.

COLMAP (Schönberger and Frahm 2016) finds SIFT points, matches and verifies them, and places camera
after camera; it knows the commanded intrinsics, but no pose. A similarity then lays its poses over
the commanded ones.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.structure import quiet_colmap, repeatable_matching
from input_pipeline.cameras import centers
from input_pipeline.conventions import homogeneous

ALIGNED = 3  # views at least: fewer lie on one line, and everything fits


class Registration(NamedTuple):
    """How well COLMAP placed the views of one instant."""

    registered: float
    """Share of the views that were placed, in the largest model; 0 without any."""
    points: int
    """3D points that views agree on."""
    reprojection: float
    """Mean error of the points in pixels; NaN without a model."""
    rotation: float
    """Median angle between placed and commanded views, degrees; NaN for fewer than 3 views."""
    position: float
    """Median distance of placed from commanded centres over the root mean square distance of the
    commanded centres from their mean; NaN for fewer than 3 views."""


def register(
    frames: UInt8[np.ndarray, "v t h w 3"], cameras: Cameras, instant: int
) -> Registration:
    """Let COLMAP place the views of one instant.

    Args:
      frames: sRGB, undistorted.
      cameras: the commanded cameras, any unit. COLMAP keeps their intrinsics; their poses are only
        compared with what it finds.
      instant: number of the instant.

    Raises:
      InputError: the package is not installed.
    """
    intrinsics = np.asarray(cameras.intrinsics)
    poses = np.asarray(cameras.world_to_camera)
    placed, points, reprojection = _reconstruct(frames[:, instant], intrinsics)
    rotation = position = float("nan")
    views = sorted(placed)
    if len(views) >= ALIGNED:
        placed_poses = np.stack([placed[view] for view in views])
        rotation, position = pose_errors(placed_poses, poses[views, instant].astype(np.float64))
    return Registration(len(views) / len(frames), points, reprojection, rotation, position)


def pose_errors(
    estimated: Float[np.ndarray, "v 4 4"], commanded: Float[np.ndarray, "v 4 4"]
) -> tuple[float, float]:
    """Return median angle (degrees) and distance of cameras after a similarity.

    The centres of both are moved to the origin and divided by their spread; what turns them onto
    one another (orthogonal Procrustes) is found from centres and unit axes of the cameras
    together, since centres on one line would leave it open.
    """
    places = [centers(poses) for poses in (estimated, commanded)]
    spreads = [np.sqrt(((x - x.mean(0)) ** 2).sum(-1).mean()) for x in places]
    scales = [max(spread, 1e-12) for spread in spreads]
    # Rows of R are the axes of a camera in the world.
    clouds = [
        np.concatenate([(x - x.mean(0)) / scale, poses[:, :3, :3].reshape(-1, 3)])
        for x, scale, poses in zip(places, scales, (estimated, commanded), strict=True)
    ]
    u, _, vt = np.linalg.svd(clouds[1].T @ clouds[0])
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    moved = clouds[0] @ turn.T
    count = len(estimated)
    distance = np.linalg.norm(moved[:count] - clouds[1][:count], axis=-1)
    relative = commanded[:, :3, :3] @ turn @ estimated[:, :3, :3].swapaxes(-1, -2)
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return float(np.median(angle)), float(np.median(distance))


def _reconstruct(
    frames: UInt8[np.ndarray, "v h w 3"], intrinsics: Float[np.ndarray, "v 3 3"]
) -> tuple[dict[int, Float[np.ndarray, "4 4"]], int, float]:
    """Return world-to-camera by view in the largest model, its points and their error, pixels."""
    with quiet_colmap("registration") as pycolmap, TemporaryDirectory() as name:
        folder = Path(name)
        database = Path(name) / "database.db"
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "PINHOLE"
        for view, (frame, lens) in enumerate(zip(frames, intrinsics, strict=True)):
            cv2.imwrite(str(folder / f"{view}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            numbers = (lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2])
            reader.camera_params = ",".join(str(float(number)) for number in numbers)
            each = pycolmap.CameraMode.PER_IMAGE
            pycolmap.extract_features(database, folder, [f"{view}.png"], each, reader)
        pycolmap.match_exhaustive(database, **repeatable_matching(pycolmap))
        options = pycolmap.IncrementalPipelineOptions()
        options.ba_refine_focal_length = options.ba_refine_principal_point = False
        options.ba_refine_extra_params = options.multiple_models = False
        options.min_model_size = 2
        options.random_seed = 0
        options.num_threads = 1
        models = pycolmap.incremental_mapping(database, folder, folder / "models", options)
        if not models:
            return {}, 0, float("nan")
        model = max(models.values(), key=lambda candidate: candidate.num_reg_images())
        images = [image for image in model.images.values() if image.has_pose]
        placed = {
            int(Path(image.name).stem): homogeneous(image.cam_from_world().matrix())
            for image in images
        }
        return placed, model.num_points3D(), model.compute_mean_reprojection_error()
