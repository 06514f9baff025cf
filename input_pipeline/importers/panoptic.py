"""Panoptic sports as Dynamic 3D Gaussians lays it out: train_meta.json and test_meta.json, ims/.

`w`, `h`; `k`, `w2c`, `fn` and `cam_id` as lists over instants and cameras
(https://github.com/JonathonLuiten/Dynamic3DGaussians).
"""

from pathlib import Path

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import has_one
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "train_meta.json with w, h, k, w2c, fn, cam_id, and the pictures in ims/"
FILES = ("train_meta.json", "test_meta.json")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    return has_one(path, FILES[:1])


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of the training and the test cameras.

    Raises:
      ValueError: naming the file and field that is missing or does not fit.
    """
    default_fps = 30.0
    views = []
    for name in FILES:
        if (path / name).is_file():
            views += _views(path, path / name, fps or default_fps)
    note = "" if fps else f"{default_fps:g} frames a second, as the dataset says"
    return [make_capture(path.name, views, notes=[note])]


def _views(path: Path, file: Path, fps: float) -> list:
    table = load_json(file)
    rows, columns, *lists = (field(table, name, str(file)) for name in ("h", "w", *_LISTS))
    size = (round(rows), round(columns))
    counts = [len(instant) for values in lists for instant in values]
    if len({len(values) for values in lists}) != 1 or len(set(counts)) != 1:
        lengths = [f"{name} {len(values)}" for name, values in zip(_LISTS, lists, strict=True)]
        raise ValueError(f"{file}: found {', '.join(lengths)} instants, expected cameras in each")
    frames: dict[str, list[tuple]] = {}
    for instant in zip(*lists, strict=True):
        for lens, pose, picture, camera in zip(*instant, strict=True):
            frames.setdefault(str(camera), []).append((lens, pose, picture))
    views = []
    for camera, film in frames.items():
        where = f"{file}, camera {camera}"
        lenses = np.stack([numbers(lens, (3, 3), where + ", k") for lens, _, _ in film])
        if np.ptp(lenses, 0).max() > 0:
            raise ValueError(f"{where}, k: found intrinsics that change, expected fixed ones")
        pictures = [picture for _, _, picture in film]
        masks = [path / "seg" / Path(picture).with_suffix(".png") for picture in pictures]
        # The dataset has masks of the training cameras only.
        has_masks = file.name == FILES[0] or masks[0].parent.is_dir()
        view = make_view(
            f"cam{camera}",
            [path / "ims" / picture for picture in pictures],
            lenses[0],
            np.stack([numbers(pose, (4, 4), where + ", w2c") for _, pose, _ in film]),
            size=size,
            fps=fps,
            masks=masks if has_masks and (path / "seg").is_dir() else (),
        )
        views.append(view)
    return views


_LISTS = ("k", "w2c", "fn", "cam_id")
