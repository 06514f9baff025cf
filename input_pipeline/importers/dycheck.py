"""Nerfies, HyperNeRF and DyCheck's iPhone captures: camera/*.json, rgb/1x, metadata.json.

`orientation` is the rotation of world-to-camera in OpenCV axes and `position` the camera's centre;
pixel centres lie at +0.5. scene.json's centre and scale normalise the world and are not applied.
Formats: https://github.com/google/nerfies, https://github.com/KAIR-BAIR/dycheck docs/DATASETS.md
"""

from pathlib import Path

import numpy as np

from input_pipeline.cameras import rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import PICTURES
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "dataset.json, metadata.json, camera/*.json and rgb/1x (or 2x, 4x, 8x)"
SCALES = ("1x", "2x", "4x", "8x", "16x")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    required = ("dataset.json", "metadata.json", "camera", "rgb")
    missing = [name for name in required if not (path / name).exists()]
    if missing:
        return False, f"no {', '.join(missing)}"
    return True, "dataset.json, metadata.json, camera and rgb are there"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture, a view for each camera_id, instants by time_id (or warp_id).

    Raises:
      ValueError: naming the file and field that is missing or impossible.
    """
    default_fps = 15.0  # of most of these captures, where extra.json does not say
    dataset = load_json(path / "dataset.json")
    metadata = load_json(path / "metadata.json")
    scale = next((name for name in SCALES if (path / "rgb" / name).is_dir()), None)
    if scale is None:
        raise ValueError(f"{path / 'rgb'}: found none of {SCALES}, expected one")
    note = ""
    extra = path / "extra.json"
    if fps is None:
        fps = float(load_json(extra)["fps"]) if extra.is_file() else default_fps
        note = (
            ""
            if extra.is_file()
            else f"no extra.json and no --fps: assuming {default_fps:g} frames a second"
        )
    films: dict[int, list[tuple[int, str]]] = {}
    for item in field(dataset, "ids", str(path / "dataset.json")):
        entry = field(metadata, item, str(path / "metadata.json"))
        time = entry.get("time_id", entry.get("warp_id"))
        if time is None:
            raise ValueError(f"{path / 'metadata.json'}, {item}: found no time_id, expected one")
        films.setdefault(int(field(entry, "camera_id", item)), []).append((int(time), item))
    views = [_view(path, scale, camera, sorted(films[camera]), fps) for camera in sorted(films)]
    return [make_capture(path.name, views, notes=[note])]


def _view(path: Path, scale: str, camera: int, film: list[tuple[int, str]], fps: float):
    lenses = [_camera(path / "camera" / f"{item}.json") for _, item in film]
    intrinsics, size, distortion, _ = lenses[0]
    changed = max(np.abs(lens[0] - intrinsics).max() for lens in lenses)
    if changed > 1e-3 * intrinsics[0, 0]:
        found = f"intrinsics that change by {changed:.2f} pixels"
        raise ValueError(f"camera {camera}: found {found}, expected fixed ones")
    depth = [path / "depth" / scale / f"{item}.npy" for _, item in film]
    return make_view(
        f"camera{camera}",
        [_picture(path / "rgb" / scale, item) for _, item in film],
        intrinsics,
        np.stack([pose for *_, pose in lenses]),
        size=size,
        distortion=distortion,
        timestamps=[time / fps for time, _ in film],
        depth=depth if all(file.is_file() for file in depth) else (),
    )


def _camera(file: Path) -> tuple[np.ndarray, tuple[int, int], list[float], np.ndarray]:
    """Return intrinsics, size, distortion and world-to-camera."""
    table = load_json(file)
    where = str(file)
    rotation = numbers(field(table, "orientation", where), (3, 3), where)
    center = numbers(field(table, "position", where), (3,), where)
    focal = float(field(table, "focal_length", where))
    cx, cy = numbers(field(table, "principal_point", where), (2,), where)
    columns, rows = numbers(field(table, "image_size", where), (2,), where)
    aspect = table.get("pixel_aspect_ratio", 1.0)
    skew = table.get("skew", 0.0)
    k1, k2, k3 = numbers(table.get("radial_distortion", [0, 0, 0]), (3,), where)
    tangential = table.get("tangential_distortion", table.get("tangential", [0, 0]))
    p1, p2 = numbers(tangential, (2,), where)
    pose = rigid(rotation, -rotation @ center)
    lens = np.array([[focal, skew, cx], [0, focal * aspect, cy], [0, 0, 1]])
    return lens, (round(rows), round(columns)), [k1, k2, p1, p2, k3], pose


def _picture(folder: Path, item: str) -> Path:
    files = [file for end in sorted(PICTURES) if (file := folder / f"{item}{end}").is_file()]
    return files[0] if files else folder / f"{item}.png"
