"""Synchronized videos, folders of pictures, or photos, with COLMAP's sparse/0.

Where COLMAP left several models, sparse/0, sparse/1 and so on, the largest is taken. Cameras,
images and points are binary or text (https://colmap.github.io/format.html). Poses are OpenCV
world-to-camera and pixel centres lie at +0.5, both as ours.
"""

import struct
from collections.abc import Sequence
from io import SEEK_CUR, BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.spatial.transform import Rotation

from input_pipeline import capture, media_files, pinhole
from input_pipeline.importers import calibrated
from input_pipeline.lenses import lens_matrix
from input_pipeline.plain_files import check_field, damage_of, read_regular

PLACES = ("sparse", "colmap/sparse")
PARAMETERS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
}
ONE_FOCAL_LENGTH = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")

# Model, width, height, parameters; name, number of the camera, pose.
RawLens = tuple[str, int, int, tuple[float, ...]]
RawImage = tuple[str, int, Float64[np.ndarray, "4 4"]]


def matches(path: Path) -> Path | None:
    """Return the first folder of a model, which shows this layout."""
    return next(iter(model_folders(path)), None)


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture: video cameras, or every photo as a view of one instant.

    Raises:
      ValueError: naming the file or camera that does not fit.
    """
    folders = model_folders(path) or [path]
    (model, images), *_ = read_models(folders)
    notes = []
    if len(folders) > 1:
        place = model.relative_to(path)
        notes.append(f"{place} is taken, the largest of {len(folders)} COLMAP models")
    # Videos, or subfolders of pictures; nothing where all pictures lie in one folder.
    loose: calibrated.Videos = {
        file.stem: (file,) for file in media_files.listed(path, media_files.VIDEOS)
    }
    videos = loose or media_files.find_videos(path, ("videos", "images"))
    by_camera: dict[str, dict[str, calibrated.CalibratedCamera]] = {}
    for image, there in images:
        place = PurePosixPath(image)
        folder, *inside = place.parts
        # Its first folder is the camera, or its name without the ending.
        camera = folder if inside else place.stem
        by_camera.setdefault(camera if videos else image, {})[place.name] = there
    videos = videos or {image: (path / "images" / image,) for image, _ in images}
    calibrated.check_lengths(videos, path)
    views = []
    for camera, name in calibrated.pair(videos, list(by_camera), path).items():
        registered = by_camera[camera]
        files = videos[name]
        own = f"{path}, camera {camera}"
        joined = calibrated.join_poses([*registered.values()], own)
        if len(registered) == 1 or np.ptp(joined.world_to_camera, 0).max() < 1e-9:
            # It stands.
            poses = joined.world_to_camera[0]
        else:
            lost = [file.name for file in files if file.name not in registered]
            found = f"{len(registered)} different poses for {len(files)} frames"
            found += f", none for {lost[:1]}"
            check_field(f"camera {name}", not lost, found, "one pose, or one a frame")
            poses = np.stack([registered[file.name].world_to_camera for file in files])
            unused = len(registered) - len(files)
            if unused:
                ratio = f"{unused} of {len(registered)} poses"
                notes.append(f"camera {name}: {ratio} have no picture and are left out")
        joined = joined._replace(world_to_camera=poses, fps=fps)
        views.append(capture.make_view(name, files, beside=path, **joined._asdict()))
    return [capture.make_capture(path.name, views, notes=notes)]


def model_folders(path: Path) -> list[Path]:
    """Return the folders of models in the first place that has any; COLMAP numbers them."""
    for place in PLACES:
        numbered = [x for x in (path / place).glob("*") if x.name.isdecimal()]
        folders = [*sorted(numbered, key=media_files.natural), path / place]
        if models := [folder for folder in folders if model_files(folder)]:
            return models
    return []


def read_models(
    folders: Sequence[Path],
) -> list[tuple[Path, list[tuple[str, calibrated.CalibratedCamera]]]]:
    """Return folders and what `read_model` reads there, that of most images first.

    Raises:
      ValueError: see `read_model`.
    """
    models = [(folder, read_model(folder)) for folder in folders]
    return sorted(models, key=lambda model: -len(model[1]))


def model_files(folder: Path) -> list[Path]:
    """Return the files of cameras and images, both binary or else both text; empty for none."""
    for end in ("bin", "txt"):
        files = [folder / f"cameras.{end}", folder / f"images.{end}"]
        if all(file.is_file() for file in files):
            return files
    return []


def read_model(folder: Path) -> list[tuple[str, calibrated.CalibratedCamera]]:
    """Return the names of images, sorted, and their cameras; binary files are preferred.

    Raises:
      ValueError: naming the file: damaged, a lens we cannot draw, an unknown camera.
    """
    text = [folder / "cameras.txt", folder / "images.txt"]
    lenses_file, images_file = model_files(folder) or text
    binary = lenses_file.suffix == ".bin"
    with damage_of(lenses_file, "COLMAP cameras"):
        raw = (_binary_lenses if binary else _text_lenses)(lenses_file)
        lenses = {number: _lens(lenses_file, *items) for number, items in raw.items()}
    with damage_of(images_file, "COLMAP images"):
        images = (_binary_images if binary else _text_images)(images_file)
    check_field(images_file, images, "no images", "registered ones")
    registered = []
    for name, camera, pose in sorted(images, key=lambda image: image[0]):
        expected = f"one in {lenses_file.name}"
        found = f"camera {camera} of {name}"
        check_field(images_file, camera in lenses, found, expected)
        registered.append((name, lenses[camera]._replace(world_to_camera=pose)))
    return registered


def read_points(
    path: Path,
) -> tuple[Float64[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]]:
    """Return positions in the world of the cameras, and colours, of points3D.bin or points3D.txt.

    Raises:
      ValueError: naming the file if it is damaged or empty.
    """
    reader = _binary_points if path.suffix == ".bin" else _text_points
    with damage_of(path, "COLMAP points"):
        rows = np.array(reader(path)).reshape(-1, 6)
    finite = len(rows) and np.isfinite(rows).all()
    check_field(path, finite, "no finite points", "some")
    return rows[:, :3], rows[:, 3:].clip(0, 255).astype(np.uint8)


def _binary_points(path: Path) -> list[list[float]]:
    file = BytesIO(read_regular(path))
    (count,) = _unpack(file, "<Q")
    rows = []
    for _ in range(count):
        _, *row, _, track = _unpack(file, "<Q3d3BdQ")
        file.seek(8 * track, SEEK_CUR)
        rows.append(row)
    if file.tell() != len(file.getbuffer()):
        raise ValueError("another size")
    return rows


def _text_points(path: Path) -> list[list[float]]:
    return [[float(x) for x in line.split()[1:7]] for line in _lines(path)]


def _binary_lenses(path: Path) -> dict[int, RawLens]:
    """Return the lenses; the first of a model whose size is unknown is the last."""
    file = BytesIO(read_regular(path))
    names = dict(enumerate(PARAMETERS))
    (count,) = _unpack(file, "<Q")
    lenses = {}
    for _ in range(count):
        number, model, width, height = _unpack(file, "<iiQQ")
        name = names.get(model, f"number {model}")
        if name not in PARAMETERS:
            return {number: (name, width, height, ())}
        lenses[number] = (name, width, height, _unpack(file, f"<{PARAMETERS[name]}d"))
    return lenses


def _binary_images(path: Path) -> list[RawImage]:
    content = read_regular(path)
    file = BytesIO(content)
    (count,) = _unpack(file, "<Q")
    images = []
    for _ in range(count):
        _, *pose, camera = _unpack(file, "<i7di")
        end = content.index(b"\0", file.tell())
        name = file.read(end - file.tell()).decode()
        _, points = _unpack(file, "<cQ")
        _unpack(file, f"<{24 * points}x")
        images.append(_image(name, camera, pose))
    return images


def _text_lenses(path: Path) -> dict[int, RawLens]:
    lenses = {}
    for line in _lines(path):
        number, model, width, height, *values = line.split()
        parameters = tuple(float(value) for value in values)
        lenses[int(number)] = (model, int(width), int(height), parameters)
    return lenses


def _text_images(path: Path) -> list[RawImage]:
    """Return the images; the line of points behind one may be empty, or not be there at all."""
    images = []
    is_image = False
    for line in _lines(path):
        is_image = not (is_image and _lists_points(line))
        if is_image:
            _, *pose, camera, name = line.split(maxsplit=9)
            images.append(_image(name, int(camera), [float(value) for value in pose]))
    return images


def _lists_points(line: str) -> bool:
    """Return whether a line holds x, y and a whole number of each point, and nothing else."""
    words = line.split()
    try:
        [float(word) for word in words]
        [int(word) for word in words[2::3]]
    except ValueError:
        return False
    return len(words) % 3 == 0


def _lens(
    path: Path, model: str, width: int, height: int, values: tuple[float, ...]
) -> calibrated.CalibratedCamera:
    """Return the camera in the world's origin."""
    known = ", ".join(PARAMETERS)
    expected = f"one of {known}: undistort with COLMAP's image_undistorter"
    check_field(path, model in PARAMETERS, f"lens model {model}", expected)
    whole = len(values) == PARAMETERS[model] and np.isfinite(values).all()
    found = f"parameters {values} of {model}"
    check_field(path, whole, found, f"{PARAMETERS[model]} numbers")
    fx, fy, cx, cy, *rest = (
        (values[0], *values) if model in ONE_FOCAL_LENGTH else values
    )
    lens = lens_matrix(fx, fy, cx, cy)
    is_fisheye = model == "OPENCV_FISHEYE"
    return calibrated.CalibratedCamera(
        lens, np.eye(4), (height, width), rest, is_fisheye
    )


def _image(name: str, camera: int, pose: list[float]) -> RawImage:
    rotation = Rotation.from_quat(pose[:4], scalar_first=True).as_matrix()
    return name, camera, pinhole.rigid(rotation, np.array(pose[4:]))


def _lines(path: Path) -> list[str]:
    """Return all lines but comments and empty ones, which COLMAP skips."""
    lines = [line.strip() for line in read_regular(path).decode().split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def _unpack(file: BytesIO, form: str) -> tuple:
    return struct.unpack(form, file.read(struct.calcsize(form)))
