"""Poses of static cameras by structure from motion over their synchronized videos.

At one instant the world is rigid, whatever moves in it, and the cameras stand where they stood at
every other instant. So the points of all instants are put into one picture a camera, matched within
an instant only, and COLMAP (`pycolmap`) places as many pictures as there are cameras, with one lens
that it refines (Schönberger and Frahm 2016). What moves gives more points, not outliers.

A camera that moves bends the whole rig, and its epipolar lines may fit still. It seems to move
where, between two instants of its video, hardly any corner stays. That is a hint: a thing that
fills the picture looks the same, and before a plain background a camera that moves does not show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.geometry import arrays, tracking
from full4d_jax.session.extras import load_extra
from input_pipeline import conventions, pinhole
from input_pipeline.matches import epipolar_distances

Videos = UInt8[np.ndarray, "v t h w 3"]

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


class Rig(NamedTuple):
    """Cameras that stand still.

    Attributes:
      placed: numbers of the videos whose cameras are known, in order.
      intrinsics: of all, pixels of the frames that were given; the centre is the pictures' middle.
      world_to_camera: of those placed, in any world and unit.
      points: number of points.
      reprojection: mean error of the points, pixels of these frames.
      angle: median of the largest angles between the rays to a point, degrees.
      agreement: share of the matches between two pictures, of those that obey one epipolar geometry
        by themselves, that obey that of these cameras.
    """

    placed: list[int]
    intrinsics: arrays.Lens
    world_to_camera: Float[np.ndarray, "n 4 4"]
    points: int
    reprojection: float
    angle: float
    agreement: float


def find_rig(frames: Videos, what: str) -> Rig | None:
    """Return the poses of the cameras of synchronized videos; None if no two fit together.

    Args:
      frames: the videos at some instants.
      what: what they are, for a message.

    Raises:
      InputError: the package is not installed.
    """
    # Pixels, at least, of the longer side of pictures in which points are sought.
    least_side = 640
    height, width = frames.shape[2:4]
    scale = max(1.0, least_side / max(height, width))
    with quiet_colmap(what) as pycolmap, TemporaryDirectory() as name:
        folder = Path(name)
        _match(pycolmap, frames, scale, folder)
        _pool(pycolmap, len(frames), frames.shape[1], folder)
        model = _best_model(pycolmap, folder, len(frames), scale * max(height, width))
        if model is None:
            return None
        images = placed_images(model)
        poses = {view: pose_of(image) for view, image in images.items()}
        (camera,) = model.cameras.values()
        focal = camera.focal_length / scale
        return Rig(
            [*poses],
            np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]),
            np.stack([*poses.values()]),
            model.num_points3D(),
            float(model.compute_mean_reprojection_error()) / scale,
            median_angle(model, images),
            _agreement(pycolmap, folder, camera.calibration_matrix(), poses),
        )


def moving_cameras(frames: Videos) -> list[int]:
    """Return numbers of the videos whose cameras seem to move, while most others do not.

    Where half of the videos or more seem to move, a thing that fills all pictures may: none is
    named.

    Args:
      frames: the videos at some instants.
    """
    moving = []
    for number, video in enumerate(frames):
        gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video])
        if tracking.standing_share(gray) < tracking.LEAST_STANDING_SHARE:
            moving.append(number)
    return moving if len(moving) < len(frames) / 2 else []


def _match(pycolmap: Any, frames: Videos, scale: float, folder: Path) -> None:
    """Write pictures and apart.db: the points of each, and matches of every instant's pictures."""
    # Most points of a view, in all instants.
    most_features = 3000
    views, instants = frames.shape[:2]
    (folder / "frames").mkdir()
    cubic: dict[str, Any] = {"fx": scale, "fy": scale, "interpolation": cv2.INTER_CUBIC}
    for v, t in np.ndindex(views, instants):
        large = cv2.cvtColor(cv2.resize(frames[v, t], None, **cubic), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / "frames" / _name(v, t)), large)
    pycolmap.extract_features(
        folder / "apart.db",
        folder / "frames",
        [_name(v, t) for v, t in np.ndindex(views, instants)],
        pycolmap.CameraMode.SINGLE,
        extraction_options=ONE_THREAD
        | {"sift": {"max_num_features": most_features // instants}},
    )
    pairs = [
        (_name(i, t), _name(j, t)) for i, j in _pairs(views) for t in range(instants)
    ]
    pairing = {"match_list_path": _write_pairs(pairs, folder / "apart.txt")}
    unverified = ONE_THREAD | {"skip_geometric_verification": True}
    pycolmap.match_image_pairs(folder / "apart.db", unverified, pairing)


def _pool(pycolmap: Any, views: int, instants: int, folder: Path) -> None:
    """Write pooled.db: one picture a view, with the points and the matches of all its instants.

    Two pictures agree where their matches of all instants obey one epipolar geometry.
    """
    firsts = [_name(v, 0) for v in range(views)]
    database = pycolmap.Database.open
    # An empty one.
    database(folder / "pooled.db").close()
    pycolmap.import_images(
        folder / "pooled.db",
        folder / "frames",
        pycolmap.CameraMode.SINGLE,
        firsts,
        {"camera_model": "SIMPLE_PINHOLE"},
    )
    with (
        database(folder / "apart.db") as apart,
        database(folder / "pooled.db") as pooled,
    ):
        ids = {image.name: image.image_id for image in apart.read_all_images()}
        pooled_ids = _ids(pooled)
        # Where the points of an instant begin among those of its view.
        begins = np.zeros((views, instants), int)
        for v in range(views):
            numbers = [ids[_name(v, t)] for t in range(instants)]
            points = [apart.read_keypoints(number)[:, :2] for number in numbers]
            begins[v, 1:] = np.cumsum([len(x) for x in points])[:-1]
            pooled.write_keypoints(pooled_ids[v], np.concatenate(points))
        for i, j in _pairs(views):
            matches = [
                apart.read_matches(ids[_name(i, t)], ids[_name(j, t)]).astype(int)
                + begins[[i, j], t]
                for t in range(instants)
            ]
            together = np.concatenate(matches).astype(np.uint32)
            pooled.write_matches(pooled_ids[i], pooled_ids[j], together)
    pairs = [(firsts[i], firsts[j]) for i, j in _pairs(views)]
    file = _write_pairs(pairs, folder / "pooled.txt")
    pycolmap.verify_matches(folder / "pooled.db", file, VERIFICATION)


def _best_model(pycolmap: Any, folder: Path, views: int, side: float) -> Any:
    """Return the first reconstruction with all cameras, else the one with most, if there is one.

    A lens that is far off leads astray, so that several are tried.
    """
    # Points that place the first two.
    fewest_first_points = 50
    # Points that place a camera.
    fewest_points = 15
    # Of the longer side, from which the lens is refined: 50, 30, 80 and 17 degrees.
    focal_guesses = (1.07, 1.87, 0.6, 3.3)
    mapper = {
        "abs_pose_min_num_inliers": fewest_points,
        "init_min_num_inliers": fewest_first_points,
    }
    options = MAPPING | {
        "mapper": MAPPING["mapper"] | mapper,
        "min_model_size": 2,
        "random_seed": 0,
    }
    models = []
    for number, guess in enumerate(focal_guesses):
        with pycolmap.Database.open(folder / "pooled.db") as database:
            (camera,) = database.read_all_cameras()
            camera.params = [guess * side, *camera.params[1:]]
            database.update_camera(camera)
        places = (folder / x for x in ("pooled.db", "frames", f"models_{number}"))
        models += pycolmap.incremental_mapping(*places, options).values()
        if any(model.num_reg_images() == views for model in models):
            break
    return max(models, key=lambda model: model.num_reg_images(), default=None)


def _agreement(
    pycolmap: Any, folder: Path, lens: arrays.Lens, poses: dict[int, np.ndarray]
) -> float:
    """Return the share of the verified matches of placed cameras that lie near epipolar lines."""
    # Pixels from its epipolar line, at most, of a match that agrees with the cameras.
    max_epipolar_distance = 2.0
    distances = [np.zeros(0)]
    with pycolmap.Database.open(folder / "pooled.db") as pooled:
        ids = _ids(pooled)
        points = {view: pooled.read_keypoints(ids[view])[:, :2] for view in poses}
        for i, j in combinations(poses, 2):
            rows = pooled.read_two_view_geometry(ids[i], ids[j]).inlier_matches.astype(
                int
            )
            if len(rows):
                matched = np.stack([points[i][rows[:, 0]], points[j][rows[:, 1]]], 1)
                pair = np.stack([poses[i], poses[j]])
                apart = epipolar_distances(matched, np.stack([lens, lens]), pair)
                distances.append(apart)
    return float(np.mean(np.concatenate(distances) < max_epipolar_distance))


def _pairs(views: int) -> list[tuple[int, int]]:
    return list(combinations(range(views), 2))


def _name(view: int, instant: int) -> str:
    return f"{view:04d}_{instant:04d}.png"


def _ids(pooled: Any) -> dict[int, int]:
    """Return the picture's number in a database of one picture a view."""
    return {int(image.name[:4]): image.image_id for image in pooled.read_all_images()}


def _write_pairs(pairs: list[tuple[str, str]], file: Path) -> Path:
    """Write pairs of pictures as COLMAP reads them, and return the file."""
    file.write_text("".join(f"{one} {other}\n" for one, other in pairs))
    return file


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
