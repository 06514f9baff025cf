"""4DAnyone's results: cameras.json and videos/dense/NN.mp4, all generated, of one person.

A camera has `camera_id`, `K`, `camera_to_world` (OpenCV axes, metres), `image_width`,
`image_height` and `video`, the film's place (https://github.com/ant-research/4DAnyone). The
skeletons and the sparse views beside them are not read.
"""

from pathlib import Path

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import to_opencv
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "cameras.json with K, camera_to_world and video of each camera, and videos/dense/NN.mp4"
FILE = "cameras.json"
FILMS = "videos/dense"
MODEL = "OPENCV"


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    if not (path / FILE).is_file() or not (path / FILMS).is_dir():
        return False, f"no {FILE} beside {FILMS}"
    return True, f"{FILE} and {FILMS} are there"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of the generated views.

    Raises:
      ValueError: naming the camera and field that is missing or does not fit its film.
    """
    metres = 1.0
    file = path / FILE
    table = load_json(file)
    model = field(table, "camera_model", str(file))
    if model != MODEL:
        raise ValueError(f"{file}, camera_model: found {model!r:.40}, expected {MODEL}")
    views = []
    for index, entry in enumerate(field(table, "cameras", str(file))):
        where = f"{file}, camera {index}"
        film = path / str(field(entry, "video", where))
        height = numbers(field(entry, "image_height", where), (), f"{where}, image_height")
        width = numbers(field(entry, "image_width", where), (), f"{where}, image_width")
        pose = numbers(field(entry, "camera_to_world", where), (4, 4), f"{where}, camera_to_world")
        view = make_view(
            film.stem,
            [film],
            numbers(field(entry, "K", where), (3, 3), f"{where}, K"),
            to_opencv(pose, "opencv_c2w"),
            size=(round(float(height)), round(float(width))),
            fps=fps,
            beside=path,
        )
        views.append(view)
    source = f"4DAnyone, {path.name}"
    return [make_capture(path.name, views, unit=metres, source=source, generated=True)]
