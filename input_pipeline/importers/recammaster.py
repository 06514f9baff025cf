"""ReCamMaster's results: cam_typeN/videoM.mp4, a film along trajectory N of each source video M.

They come without cameras: these are `camNN` of the camera_extrinsics.json that they were made with,
as `multicam` reads it, recognized by the first frame, where every film has the source's own view
(https://github.com/KwaiVGI/ReCamMaster). The focal length is in the name of a folder above.
"""

import re
from pathlib import Path

from input_pipeline.cameras import invert
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import VIDEOS, listed, natural, picture_size
from input_pipeline.importers import multicam

NEEDS = f"cam_typeN/videoM.mp4, and beside them {multicam.FILES[0]}"


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    films = _films(path)
    if not films:
        return False, "no cam_typeN/videoM.mp4"
    return True, f"films like {next(iter(films.values()))[0].relative_to(path)}"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return a capture of each source video.

    Raises:
      ValueError: there are no cameras or no focal length, or a film has no camera.
    """
    file = next((path / name for name in multicam.FILES if (path / name).is_file()), None)
    if file is None:
        found = "films of ReCamMaster without cameras"
        expected = f"{multicam.FILES[0]} beside them, the file that they were made with"
        raise ValueError(f"{path}: found {found}, expected {expected}")
    focal = multicam.named_focal_length(path)
    poses = multicam.read_rig_poses(file)
    captures = []
    for source, films in _films(path).items():
        views = []
        for film in films:
            number = int(film.parent.name.removeprefix("cam_type"))
            name = f"cam{number:02d}"
            if name not in poses:
                raise ValueError(f"{file}: found no {name}, expected it for {film}")
            moving = poses[name] @ invert(poses[name][0])
            size = picture_size(film)
            view = make_view(name, [film], multicam.lens(focal, size), moving, fps=fps)
            views.append(view)
        captures.append(
            make_capture(
                f"{path.name}/{source}",
                views,
                unit=multicam.CENTIMETRE_METRES,
                source=f"ReCamMaster, {path.name}, {source}",
                generated=True,
            )
        )
    return captures


def _films(path: Path) -> dict[str, list[Path]]:
    """Return the films of each source video, in order of the trajectories."""
    folders = [f for f in path.glob("cam_type*") if re.fullmatch(r"cam_type\d+", f.name)]
    films: dict[str, list[Path]] = {}
    for folder in sorted(folders, key=natural):
        for film in listed(folder, VIDEOS):
            if re.fullmatch(r"video\d+", film.stem):
                films.setdefault(film.stem, []).append(film)
    return dict(sorted(films.items(), key=lambda item: natural(item[0])))
