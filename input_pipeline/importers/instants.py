"""A COLMAP project for each instant: colmap_{t}/images/camNN.png and colmap_{t}/sparse/0.

Cameras come from COLMAP's own files; camera_extrinsic.json and camera_intrinsic_wh.json beside them
repeat them in a form that is documented nowhere, and are not read. An instant whose sparse/0 has
points alone has the cameras before it: Spacetime Gaussians reads those of the first instant only.
"""

import re
from pathlib import Path

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import natural
from input_pipeline.importers.colmap_files import Lens, model_files, read_model

NEEDS = "colmap_0, colmap_1, ... each with images/camNN.png and sparse/0"


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    folders = _instants(path)
    if not folders:
        return False, "no folders colmap_0, colmap_1, ..."
    return True, f"{len(folders)} folders like {folders[0][1].name}"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture: the cameras that the first instant names, at all instants.

    Raises:
      ValueError: an instant without a camera that the first one has, or without a project.
    """
    default_fps = 30.0
    model = None
    borrowed = 0
    films: dict[str, list[tuple[float, Path, Lens, np.ndarray]]] = {}
    folders = _instants(path)
    for number, folder in folders:
        project = folder / "sparse" / "0"
        if model_files(project):
            model = read_model(project)
        elif model and project.is_dir():
            borrowed += 1
        else:
            raise ValueError(f"{project}: found no cameras and images, expected COLMAP's files")
        lenses, images = model
        for image in images:
            file = folder / "images" / image.name
            frame = (
                number / (fps or default_fps),
                file,
                lenses[image.camera],
                image.world_to_camera,
            )
            films.setdefault(Path(image.name).stem, []).append(frame)
    views = []
    for camera in sorted(films, key=natural):
        times, files, cameras, poses = zip(*films[camera], strict=True)
        if len(files) < len(folders):
            found = f"it at {len(files)} of {len(folders)} instants"
            raise ValueError(f"camera {camera}: found {found}, expected it at all")
        if any(np.abs(lens.intrinsics - cameras[0].intrinsics).max() > 1e-6 for lens in cameras):
            raise ValueError(f"camera {camera}: found a lens that changes, expected a fixed one")
        view = make_view(
            camera,
            files,
            cameras[0].intrinsics,
            np.stack(poses),
            size=cameras[0].size,
            distortion=cameras[0].distortion,
            timestamps=times,
        )
        views.append(view)
    notes = [] if fps else [f"no --fps given: assuming {default_fps:g} instants a second"]
    if borrowed:
        notes += [f"{borrowed} instants have no cameras of their own and take those before them"]
    return [make_capture(path.name, views, notes=notes)]


def _instants(path: Path) -> list[tuple[int, Path]]:
    folders = [(re.fullmatch(r"colmap_(\d+)", f.name), f) for f in path.glob("colmap_*")]
    return sorted((int(match[1]), folder) for match, folder in folders if match)
