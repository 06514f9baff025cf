"""The path of a camera through a still scene by structure from motion (COLMAP, `pycolmap`).

SIFT points of neighbouring frames are matched and verified, and camera after camera is placed
(Schönberger and Frahm 2016), with a lens that is known. A short way of a hand leaves the first pair
of frames little parallax, so that attempts may go astray or end early; of several, the one with
most points is kept. What moves by itself disagrees with the epipolar geometry of two frames; where
tracked corners do, nothing is matched.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.geometry import paths, tracking
from full4d_jax.geometry.arrays import Lens, Pictures, Poses
from full4d_jax.session.extras import load_extra
from input_pipeline import conventions, pinhole
from input_pipeline.depth_alignment import SparseDepth, joined

# Of the frames that must be placed.
LEAST_PLACED_SHARE = 0.8

# Options of COLMAP, so that the same pictures give the same cameras each time: threads would decide
# about the order of pairs.
ONE_THREAD = {"num_threads": 1}
VERIFICATION = {"ransac": {"random_seed": 0}}
MAPPING: dict[str, Any] = ONE_THREAD | {
    "ba_refine_extra_params": False,
    "extract_colors": False,
    "mapper": {"init_min_tri_angle": 4.0},
    "multiple_models": False,
}


class Structure(NamedTuple):
    """Result of structure from motion.

    Attributes:
      world_to_camera: at every instant, the first camera as the world; its unit is arbitrary.
      points: points of the still scene, pixels of the frames that were given.
      placed: share of the frames that were placed; the others lie between their neighbours.
      reprojection: mean error of the points, pixels.
      angle: median of the largest angles between the rays to a point, degrees.
      coverage: share of the parts of a frame with corners where points are, the median over frames;
        small where it follows one thing that moves instead of the scene.
      ends: the first and the last frame that was placed; beyond them the camera stands still.
    """

    world_to_camera: Poses
    points: SparseDepth
    placed: float
    reprojection: float
    angle: float
    coverage: float
    ends: tuple[int, int]


def find_structure(
    frames: Pictures, lens: Lens, *, frozen: bool = False
) -> Structure | None:
    """Return the path of a video's camera; None if structure from motion fails.

    Args:
      frames: the video.
      lens: intrinsics of its frames, pixels.
      frozen: whether nothing in the scene moves; else what seems to is left out.

    Raises:
      InputError: the package is not installed.
    """
    with quiet_colmap("video") as pycolmap, TemporaryDirectory() as name:
        everywhere = np.full(frames.shape[:3], 255, np.uint8)
        still = everywhere if frozen else still_masks(frames, lens)
        model = _largest_model(pycolmap, frames, still, lens, Path(name))
        if model is None:
            return None
        images = placed_images(model)
        placed = np.array([*images])
        poses = np.stack([pose_of(image) for image in images.values()])
        instants = np.arange(float(len(frames)))
        path = paths.interpolate_poses(poses, placed.astype(float), instants)
        points = _sparse_depth(model, images)
        return Structure(
            pinhole.relative_to(path, path[0]),
            points,
            len(placed) / len(frames),
            float(model.compute_mean_reprojection_error()),
            median_angle(model, images),
            _coverage(frames, points),
            (int(placed[0]), int(placed[-1])),
        )


def still_masks(frames: Pictures, lens: Lens) -> UInt8[np.ndarray, "t h w"]:
    """Return masks: 0 at corners that move by themselves, else 255.

    Corners of all parts of the pictures count alike, so that the larger part stands still. All is
    255 where most corners seem to move.
    """
    # Share of the corners: of more, the epipolar geometry is that of what moves.
    most_moving = 0.5
    # Of a cell's corners that move by themselves: nothing is matched there and around it.
    astray_share = 0.25
    # Columns and rows of cells of a frame.
    frame_cells = 24, 16
    # Pixels from its epipolar line, from where on a corner moves by itself.
    epipolar_pixels = 1.0
    fewest_corners = 50
    most_corners = 1500
    # Frames between two whose corners are compared.
    compared_steps = (1, 3)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = frames.shape[1:3]
    columns, rows = frame_cells
    corners, astray = np.zeros((2, len(gray), rows, columns))
    pairs = [(i, i + step) for step in compared_steps for i in range(len(gray) - step)]
    for first, second in pairs:
        points = tracking.track_corners(gray[first], gray[second], most=most_corners)
        if len(points) < fewest_corners:
            continue
        cv2.setRNGSeed(0)
        before, after = (np.ascontiguousarray(points[:, side]) for side in (0, 1))
        _, agree = cv2.findEssentialMat(
            before,
            after,
            lens,
            method=cv2.RANSAC,
            prob=0.999,
            threshold=epipolar_pixels,
        )
        if agree is None or agree.mean() < 1 - most_moving:
            continue
        for index, places in ((first, before), (second, after)):
            x, y = (
                np.floor(places * np.array(frame_cells) / (width, height)).astype(int).T
            )
            where = index, y.clip(0, rows - 1), x.clip(0, columns - 1)
            np.add.at(corners, where, 1)
            np.add.at(astray, where, agree[:, 0] == 0)
    moving = astray > astray_share * np.maximum(corners, 1)
    grown = [cv2.dilate(x.astype(np.uint8), np.ones((3, 3), np.uint8)) for x in moving]
    size = {"dsize": (width, height), "interpolation": cv2.INTER_NEAREST}
    return np.stack([255 * (1 - cv2.resize(x, **size)) for x in grown])


@contextmanager
def quiet_colmap(what: str) -> Iterator[Any]:
    """Yield the library with a fixed seed and without its log lines.

    Raises:
      InputError: it is not installed; the message names what needs it.
    """
    pycolmap = load_extra("pycolmap", what, "COLMAP")
    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    pycolmap.set_random_seed(0)
    try:
        yield pycolmap
    finally:
        pycolmap.logging.minloglevel = before


def placed_images(model: Any) -> dict[int, Any]:
    """Return the images that a reconstruction places, by the number that their names begin with."""
    placed = sorted((int(x.name[:4]), x) for x in model.images.values() if x.has_pose)
    return dict(placed)


def pose_of(image: Any) -> Float[np.ndarray, "4 4"]:
    """Return the world-to-camera of an image of COLMAP."""
    return conventions.homogeneous(image.cam_from_world().matrix())


def _largest_model(
    pycolmap: Any,
    frames: Pictures,
    still: UInt8[np.ndarray, "t h w"],
    lens: Lens,
    folder: Path,
) -> Any:
    """Return the reconstruction with most points, of those that place enough frames, if any do."""
    # Degrees between the rays to a point: a hand moves little in two seconds.
    smallest_angle = 0.5
    # Attempts at placing the cameras, each with a seed of its own.
    attempted_seeds = 5
    # Frames before and after that each is matched with, and again twice as far each time.
    matched_frames = 8
    database = folder / "database.db"
    pictures = folder / "frames"
    masks = folder / "masks"
    pictures.mkdir()
    masks.mkdir()
    names = [f"{i:04d}.png" for i in range(len(frames))]
    for name, frame, mask in zip(names, frames, still, strict=True):
        cv2.imwrite(str(pictures / name), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(masks / f"{name}.png"), mask)
    numbers = (lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2])
    reader = {
        "camera_model": "PINHOLE",
        "camera_params": ",".join(str(float(number)) for number in numbers),
        "mask_path": str(masks),
    }
    single = pycolmap.CameraMode.SINGLE
    pycolmap.extract_features(database, pictures, names, single, reader, ONE_THREAD)
    pairing = {"overlap": matched_frames}
    pycolmap.match_sequential(database, ONE_THREAD, pairing, VERIFICATION)
    mapper = {
        "abs_pose_refine_extra_params": False,
        "abs_pose_refine_focal_length": False,
        "filter_min_tri_angle": smallest_angle,
    }
    options = MAPPING | {
        "ba_refine_focal_length": False,
        "ba_refine_principal_point": False,
        "mapper": MAPPING["mapper"] | mapper,
        "min_model_size": 3,
        "triangulation": {"min_angle": smallest_angle},
    }
    models = []
    for seed in range(attempted_seeds):
        seeded = options | {"random_seed": seed}
        attempt = folder / f"models_{seed}"
        models += pycolmap.incremental_mapping(
            database, pictures, attempt, seeded
        ).values()

    fewest = LEAST_PLACED_SHARE * len(frames)

    def worth(model):
        return model.num_reg_images() >= fewest, model.num_points3D()

    return max(models, key=worth, default=None)


def _sparse_depth(model: Any, images: dict[int, Any]) -> SparseDepth:
    """Return the points that each placed frame sees, and their depth there."""
    sightings = []
    for instant, image in images.items():
        seen = [x for x in image.points2D if x.has_point3D()]
        if seen:
            ahead = pose_of(image)[2]
            depth = [
                ahead[:3] @ model.points3D[x.point3D_id].xyz + ahead[3] for x in seen
            ]
            places = np.array([x.xy for x in seen], np.float64)
            sightings.append((np.full(len(seen), instant), places, np.array(depth)))
    return joined(sightings)


def _coverage(frames: Pictures, points: SparseDepth) -> float:
    """Return the share of the parts with corners that have points, the median over the frames."""
    # Columns and rows of parts of a frame.
    frame_parts = 8, 6
    size = np.array(frame_parts) / frames.shape[2:0:-1]
    shares = []
    for instant in np.unique(points.instants):
        gray = cv2.cvtColor(frames[instant], cv2.COLOR_RGB2GRAY)
        corners = tracking.spread_corners(gray, 1000)
        seen = points.pixels[points.instants == instant]
        both = (corners[:, 0], seen)
        there, known = ({*map(tuple, (x * size).astype(int))} for x in both)
        if there:
            shares.append(len(there & known) / len(there))
    return float(np.median(shares)) if shares else 0.0


def median_angle(model: Any, images: dict[int, Any]) -> float:
    """Return the median over the points of the angle between its first and last ray, degrees."""
    places = {
        image.image_id: pinhole.centers(pose_of(image)) for image in images.values()
    }
    angles = [0.0]
    for point in model.points3D.values():
        eyes = np.array([places[x.image_id] for x in point.track.elements])
        rays = point.xyz - eyes
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        angles.append(float(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return float(np.degrees(np.median(angles)))
