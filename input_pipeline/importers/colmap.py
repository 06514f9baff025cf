"""Synchronized videos, folders of pictures, or photos, with cameras from COLMAP."""

from pathlib import Path, PurePosixPath

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import VIDEOS, find_footage, listed
from input_pipeline.importers.colmap_files import Image, model_files, read_model
from input_pipeline.importers.pairing import Films, check_lengths, pair

NEEDS = "sparse/0 (or sparse, colmap/sparse/0) with cameras and images, .bin or .txt, and images/"
MODELS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    folder = _model(path)
    if folder is None:
        return False, f"none of {', '.join(MODELS)} holds cameras and images"
    return True, f"{folder.relative_to(path)} holds COLMAP's cameras and images"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture: cameras that filmed, or every photo a view of one instant.

    Raises:
      ValueError: naming the file or camera that does not fit.
    """
    lenses, images = read_model(_model(path) or path)
    # Videos, or subfolders of pictures; nothing where all pictures lie in one folder.
    loose: Films = {file.stem: (file,) for file in listed(path, VIDEOS)}
    films = loose or find_footage(path, ("videos", "images"))
    if not films:
        films = {image.name: (path / "images" / image.name,) for image in images}
        by_camera = {image.name: [image] for image in images}
    else:
        check_lengths(films, path)
        by_camera = {}
        for image in images:
            by_camera.setdefault(_camera(image.name), []).append(image)
    pairs = pair(films, list(by_camera), path)
    views = []
    for camera, registered in by_camera.items():
        name = pairs[camera]
        lens = lenses[registered[0].camera]
        other_cameras = {image.camera for image in registered if lenses[image.camera] is not lens}
        if any(repr(lenses[other]) != repr(lens) for other in other_cameras):
            found = f"{len(other_cameras) + 1} lenses of {camera}"
            raise ValueError(f"{path}: found {found}, expected one (COLMAP's --single_camera)")
        view = make_view(
            name,
            films[name],
            lens.intrinsics,
            _poses(name, registered, films[name]),
            size=lens.size,
            distortion=lens.distortion,
            fps=fps,
            beside=path,
        )
        views.append(view)
    return [make_capture(path.name, views)]


def _model(path: Path) -> Path | None:
    return next((path / name for name in MODELS if model_files(path / name)), None)


def _camera(image: str) -> str:
    """Return the camera of an image: its first folder, or its name without the ending."""
    name = PurePosixPath(image)
    return name.parts[0] if len(name.parts) > 1 else name.stem


def _poses(camera: str, registered: list[Image], files: tuple[Path, ...]) -> np.ndarray:
    """Return one pose of a camera that stands, or one a picture of a camera that moves."""
    poses = np.stack([image.world_to_camera for image in registered])
    if len(registered) == 1 or np.ptp(poses, 0).max() < 1e-9:
        return poses[0]
    by_name = {PurePosixPath(image.name).name: image.world_to_camera for image in registered}
    lost = [file.name for file in files if file.name not in by_name]
    if lost:
        found = f"{len(registered)} different poses for {len(files)} frames, none for {lost[0]}"
        raise ValueError(f"camera {camera}: found {found}, expected one pose, or one a frame")
    return np.stack([by_name[file.name] for file in files])
