"""Nerfies, HyperNeRF and DyCheck's iPhone captures: camera/*.json, rgb/1x, metadata.json.

`orientation` is the rotation of world-to-camera in OpenCV axes and `position` the camera's centre;
pixel centres lie at +0.5. scene.json's centre and scale normalise the world and are not applied.
Formats: https://github.com/google/nerfies, https://github.com/KAIR-BAIR/dycheck docs/DATASETS.md
"""

from pathlib import Path

import numpy as np

from input_pipeline import capture, media_files
from input_pipeline.importers.calibrated import CalibratedCamera, join_poses
from input_pipeline.pinhole import rigid
from input_pipeline.plain_files import (
    check_field,
    field,
    field_number,
    field_numbers,
    load_json,
)

SCALES = ("1x", "2x", "4x", "8x", "16x")
# Of most of these captures, where extra.json does not say.
DEFAULT_FPS = 15.0
PIXELS = {"skew": 0.0, "pixel_aspect_ratio": 1.0, "radial_distortion": [0, 0, 0]}


def matches(path: Path) -> Path | None:
    """Return a file that shows this layout."""
    parts = ("dataset.json", "metadata.json", "camera", "rgb")
    return path / parts[0] if all((path / part).exists() for part in parts) else None


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture, a view for each camera_id, instants by time_id (or warp_id).

    Raises:
      ValueError: naming the file and field that is missing or impossible.
    """
    dataset = load_json(path / "dataset.json")
    metadata = load_json(path / "metadata.json")
    scale = next((name for name in SCALES if (path / "rgb" / name).is_dir()), "")
    check_field(f"{path / 'rgb'}", scale, f"none of {SCALES}", "one")
    notes = []
    extra = path / "extra.json"
    if fps is None and extra.is_file():
        fps = float(load_json(extra)["fps"])
    elif fps is None:
        fps = DEFAULT_FPS
        notes.append(f"no extra.json and no --fps: assuming {fps:g} frames a second")
    videos: dict[int, list[tuple[int, str]]] = {}
    for item in field(dataset, "ids", str(path / "dataset.json")):
        entry = field(metadata, item, str(path / "metadata.json"))
        where = f"{path / 'metadata.json'}, {item}"
        time = int(field(entry, "time_id" if "time_id" in entry else "warp_id", where))
        videos.setdefault(int(field(entry, "camera_id", where)), []).append(
            (time, item)
        )
    views = []
    for camera in sorted(videos):
        times, items = zip(*sorted(videos[camera]), strict=True)
        cameras = [_camera(path / "camera" / f"{item}.json") for item in items]
        joined = join_poses(cameras, f"camera {camera}")
        joined = joined._replace(timestamps=[t / fps for t in times])._asdict()
        pictures = [
            media_files.picture_named(path / "rgb" / scale / item) for item in items
        ]
        depth = [path / "depth" / scale / f"{item}.npy" for item in items]
        stored = sum(file.is_file() for file in depth)
        if 0 < stored < len(depth):
            ratio = f"{stored} of {len(depth)} frames"
            notes.append(
                f"camera{camera}: depth of {ratio} is left out, others have none"
            )
        depth = depth if stored == len(depth) else ()
        view = capture.make_view(f"camera{camera}", pictures, depth=depth, **joined)
        views.append(view)
    return [capture.make_capture(path.name, views, notes=notes)]


def _camera(file: Path) -> CalibratedCamera:
    table = load_json(file)
    where = str(file)
    rotation = field_numbers(table, "orientation", (3, 3), where)
    center = field_numbers(table, "position", (3,), where)
    focal = field_number(table, "focal_length", where)
    cx, cy = field_numbers(table, "principal_point", (2,), where)
    columns, rows = field_numbers(table, "image_size", (2,), where)
    table = PIXELS | table
    tangential = "tangential" if "tangential" in table else "tangential_distortion"
    k1, k2, k3 = field_numbers(table, "radial_distortion", (3,), where)
    p1, p2 = field_numbers({tangential: [0, 0]} | table, tangential, (2,), where)
    tall = focal * table["pixel_aspect_ratio"]
    lens = np.array([[focal, table["skew"], cx], [0, tall, cy], [0, 0, 1]])
    pose = rigid(rotation, -rotation @ center)
    size = round(rows), round(columns)
    return CalibratedCamera(lens, pose, size, (k1, k2, p1, p2, k3))
