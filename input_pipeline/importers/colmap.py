"""Synchronized videos, folders of pictures, or photos, with COLMAP's sparse/0."""

from pathlib import Path, PurePosixPath

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import VIDEOS, find_footage, listed
from input_pipeline.importers.colmap_files import Image, model_files, read_model
from input_pipeline.importers.rig import Films, check_lengths, pair
from input_pipeline.opening import check_field

MODELS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")


def matches(path: Path) -> Path | None:
    """Return the folder of the model that shows this layout."""
    return next((path / name for name in MODELS if model_files(path / name)), None)


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture: cameras that filmed, or every photo a view of one instant.

    Raises:
      ValueError: naming the file or camera that does not fit.
    """
    lenses, images = read_model(matches(path) or path)
    # Videos, or subfolders of pictures; nothing where all pictures lie in one folder.
    loose: Films = {file.stem: (file,) for file in listed(path, VIDEOS)}
    films = loose or find_footage(path, ("videos", "images"))
    by_camera: dict[str, list[Image]] = {}
    for image in images:
        by_camera.setdefault(_camera(image.name) if films else image.name, []).append(image)
    films = films or {image.name: (path / "images" / image.name,) for image in images}
    check_lengths(films, path)
    views = []
    for camera, name in pair(films, list(by_camera), path).items():
        registered = by_camera[camera]
        used = [lenses[image.camera] for image in registered]
        lens = used[0]
        one = all(repr(other) == repr(lens) for other in used)
        check_field(path, one, f"several lenses of {camera}", "one (COLMAP's --single_camera)")
        view = make_view(
            name,
            films[name],
            world_to_camera=_poses(name, registered, films[name]),
            fps=fps,
            beside=path,
            **lens._asdict(),
        )
        views.append(view)
    return [make_capture(path.name, views)]


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
    found = f"{len(registered)} different poses for {len(files)} frames, none for {lost[:1]}"
    check_field(f"camera {camera}", not lost, found, "one pose, or one a frame")
    return np.stack([by_name[file.name] for file in files])
