"""Panoptic sports as Dynamic 3D Gaussians lays it out: train_meta.json and test_meta.json, ims/.

`w`, `h`; `k`, `w2c`, `fn` and `cam_id` as lists over instants and cameras
(https://github.com/JonathonLuiten/Dynamic3DGaussians).
"""

from pathlib import Path

from input_pipeline import capture, media_files
from input_pipeline.importers import calibrated
from input_pipeline.plain_files import check_field, field, load_json, numbers

FILES = ("train_meta.json", "test_meta.json")
LISTS = ("k", "w2c", "fn", "cam_id")
DEFAULT_FPS = 30.0


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return media_files.first_file(path, FILES[:1])


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture of the training and the test cameras.

    Raises:
      ValueError: naming the file and field that is missing or does not fit.
    """
    files = [path / name for name in FILES if (path / name).is_file()]
    views = [view for file in files for view in _views(path, file, fps or DEFAULT_FPS)]
    notes = [] if fps else [f"{DEFAULT_FPS:g} frames a second, as the dataset says"]
    folders = {x for x in (path / "ims").iterdir() if x.is_dir()}
    unused = folders - {file.parent for view in views for file in view.files}
    if unused:
        ratio = f"{len(unused)} of {len(folders)} folders in ims"
        notes.append(f"{ratio} have no pose and are left out")
    return [capture.make_capture(path.name, views, notes=notes)]


def _views(path: Path, file: Path, fps: float) -> list[capture.View]:
    table = load_json(file)
    rows, columns, *lists = (
        field(table, name, str(file)) for name in ("h", "w", *LISTS)
    )
    cameras_per_instant = {len(instant) for values in lists for instant in values}
    counts = list(map(len, lists))
    fits = len(set(counts)) == len(cameras_per_instant) == 1
    lengths = ", ".join(f"{name} {n}" for name, n in zip(LISTS, counts, strict=True))
    check_field(file, fits, f"{lengths} instants", "cameras in each")
    size = round(rows), round(columns)
    videos: dict[str, list[tuple[calibrated.CalibratedCamera, str]]] = {}
    for instant in zip(*lists, strict=True):
        for lens, pose, picture, camera in zip(*instant, strict=True):
            where = f"{file}, camera {camera}"
            lens = numbers(lens, (3, 3), f"{where}, k")
            pose = numbers(pose, (4, 4), f"{where}, w2c")
            there = calibrated.CalibratedCamera(lens, pose, size, fps=fps)
            videos.setdefault(str(camera), []).append((there, picture))
    views = []
    for camera, video in videos.items():
        cameras, pictures = zip(*video, strict=True)
        masks = [
            path / "seg" / Path(picture).with_suffix(".png") for picture in pictures
        ]
        # The dataset has masks of the training cameras only.
        has_masks = file.name == FILES[0] or masks[0].parent.is_dir()
        masks = masks if has_masks and (path / "seg").is_dir() else ()
        files = [path / "ims" / picture for picture in pictures]
        joined = calibrated.join_poses(cameras, f"{file}, camera {camera}")._asdict()
        views.append(capture.make_view(f"cam{camera}", files, masks=masks, **joined))
    return views
