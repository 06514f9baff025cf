"""MultiCamVideo and SynCamVideo: cameras/camera_extrinsics.json and videos/camNN.mp4.

Unreal Engine's matrices as text, "[r r r 0] [r r r 0] [r r r 0] [x y z 1]", for row vectors, in
centimetres, by `frameN` and `camNN`. The focal length is the one in the name of a folder above
(f24_aperture5), of a sensor 23.76 mm wide (https://github.com/KwaiVGI/ReCamMaster).
"""

import re
from pathlib import Path

import numpy as np

from input_pipeline import capture, conventions, lenses, media_files, pinhole
from input_pipeline.importers.calibrated import pair
from input_pipeline.plain_files import check_field, load_json, numbers

CENTIMETRE_METRES = 0.01
# Both ways.
SENSOR_MILLIMETRES = 23.76
FILES = ("cameras/camera_extrinsics.json", "camera_extrinsics.json")


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return media_files.first_file(path, FILES)


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture of all cameras.

    Raises:
      ValueError: no focal length, a broken matrix, videos or frames that do not fit.
    """
    focal = named_focal_length(path)
    poses = read_rig_poses(media_files.first_file(path, FILES) or path / FILES[0])
    videos = media_files.find_videos(path, ("videos", "."))
    views = []
    for camera, name in pair(
        videos, sorted(poses, key=media_files.natural), path
    ).items():
        files = videos[name]
        own = lens(focal, media_files.picture_size(files[0])), poses[camera]
        views.append(capture.make_view(name, files, *own, fps=fps, beside=path))
    scene = f"{path.resolve().parent.name}/{path.name}"
    source = f"{scene}, {len(videos)} cameras"
    return [capture.make_capture(scene, views, unit=CENTIMETRE_METRES, source=source)]


def named_focal_length(path: Path) -> float:
    """Return the focal length in millimetres in the name of a folder above.

    Raises:
      ValueError: none does.
    """
    lengths = re.findall(r"/f(\d+(?:\.\d+)?)_aperture", path.resolve().as_posix())
    expected = "a folder above named like f24_aperture5, which has the focal length"
    check_field(path, lengths, "no focal length", expected)
    return float(lengths[-1])


def lens(focal: float, size: tuple[int, int]) -> pinhole.Lens:
    """Return intrinsics of pictures of that many rows and columns, of a focal length in mm."""
    height, width = size
    pixels = focal / SENSOR_MILLIMETRES * max(height, width)
    return lenses.lens_matrix(pixels, pixels, width / 2, height / 2)


def read_rig_poses(file: Path) -> dict[str, pinhole.Poses]:
    """Return world-to-camera of each camera, OpenCV axes, centimetres.

    Raises:
      ValueError: a broken matrix, or frames that are missing.
    """
    table = load_json(file)
    frames = sorted(table, key=media_files.natural)
    names = [f"frame{index}" for index in range(len(frames))]
    expected = f"{names[:3]}... without gaps"
    check_field(file, frames == names, f"{frames[:3]}...", expected)
    poses = {}
    for camera in table["frame0"]:
        rows = []
        for frame in frames:
            values = re.sub(r"[\[\]]", " ", str(table[frame].get(camera))).split()
            rows.append(numbers(values, (16,), f"{file}, {frame}, {camera}"))
        poses[camera] = conventions.to_opencv(np.reshape(rows, (-1, 4, 4)), "unreal")
    return poses
