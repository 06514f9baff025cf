"""A COLMAP project for each instant: colmap_{t}/images/camNN.png and colmap_{t}/sparse/0.

Cameras come from COLMAP's own files; camera_extrinsic.json and camera_intrinsic_wh.json beside them
repeat them in a form that is documented nowhere, and are not read. An instant whose sparse/0 has
points alone has the cameras before it: Spacetime Gaussians reads those of the first instant only.
"""

from pathlib import Path

from input_pipeline import capture, media_files, plain_files
from input_pipeline.importers import calibrated, colmap

DEFAULT_FPS = 30.0


def matches(path: Path) -> Path | None:
    """Return the first folder of this layout."""
    return next((folder for _, folder in _instants(path)), None)


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture: the cameras that the first instant names, at all instants.

    Raises:
      ValueError: an instant without a camera that the first one has, or without a project.
    """
    model = None
    borrowed = 0
    rate = fps or DEFAULT_FPS
    videos: dict[str, list[tuple[int, Path, calibrated.CalibratedCamera]]] = {}
    folders = _instants(path)
    for number, folder in folders:
        project = folder / "sparse" / "0"
        projects = colmap.model_folders(folder)
        if model is None or projects or not project.is_dir():
            (_, model), *_ = colmap.read_models(projects or [project])
        else:
            borrowed += 1
        for image, there in model:
            file = folder / "images" / image
            videos.setdefault(file.stem, []).append((number, file, there))
    views = []
    for camera in sorted(videos, key=media_files.natural):
        numbers, files, cameras = zip(*videos[camera], strict=True)
        where = f"camera {camera}"
        found = f"it at {len(files)} of {len(folders)} instants"
        plain_files.check_field(where, len(files) == len(folders), found, "it at all")
        joined = calibrated.join_poses(cameras, where)
        joined = joined._replace(timestamps=[number / rate for number in numbers])
        views.append(capture.make_view(camera, files, **joined._asdict()))
    notes = (
        [] if fps else [f"no --fps given: assuming {DEFAULT_FPS:g} instants a second"]
    )
    if borrowed:
        bare = f"{borrowed} instants have no cameras of their own"
        notes.append(f"{bare} and take those before them")
    return [capture.make_capture(path.name, views, notes=notes)]


def _instants(path: Path) -> list[tuple[int, Path]]:
    numbered = [(x.name.removeprefix("colmap_"), x) for x in path.glob("colmap_*")]
    return sorted((int(number), x) for number, x in numbered if number.isdecimal())
