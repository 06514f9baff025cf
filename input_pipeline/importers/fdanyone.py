"""4DAnyone's results: cameras.json and videos/dense/NN.mp4, all generated, of one person.

A camera has `camera_id`, `K`, `camera_to_world` (OpenCV axes, metres), `image_width`,
`image_height` and `video`, the video's place (https://github.com/ant-research/4DAnyone). The
skeletons and the sparse views beside them are not read.
"""

from pathlib import Path

from input_pipeline import capture, conventions, plain_files

FILE = "cameras.json"
FILMS = "videos/dense"
MODEL = "OPENCV"


def matches(path: Path) -> Path | None:
    """Return the folder that shows this layout."""
    return path / FILMS if (path / FILE).is_file() and (path / FILMS).is_dir() else None


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture of the generated views.

    Raises:
      ValueError: naming the camera and field that is missing or does not fit its video.
    """
    file = path / FILE
    table = plain_files.load_json(file)
    model = plain_files.field(table, "camera_model", str(file))
    plain_files.check_field(
        f"{file}, camera_model", model == MODEL, f"{model!r:.40}", MODEL
    )
    views = []
    for index, entry in enumerate(plain_files.field(table, "cameras", str(file))):
        where = f"{file}, camera {index}"
        video = path / str(plain_files.field(entry, "video", where))
        height = round(plain_files.field_number(entry, "image_height", where))
        width = round(plain_files.field_number(entry, "image_width", where))
        to_world = plain_files.field_numbers(entry, "camera_to_world", (4, 4), where)
        pose = conventions.to_opencv(to_world, "opencv_c2w")
        lens = plain_files.field_numbers(entry, "K", (3, 3), where)
        size = height, width
        view = capture.make_view(
            video.stem, [video], lens, pose, size=size, fps=fps, beside=path
        )
        views.append(view)
    source = f"4DAnyone, {path.name}"
    return [
        capture.make_capture(path.name, views, unit=1.0, source=source, generated=True)
    ]
