"""Our own cameras.json beside videos or folders of pictures.

    {"fps": 30, "unit": 1.0, "depth_scale": 0.001, "caption": "", "source": "", "license": "",
     "generated": false,
     "cameras": [{"name": "cam01", "width": 1920, "height": 1080,
                  "intrinsics": 3x3, "world_to_camera": 4x4 or one a frame,
                  "distortion": [k1, k2, p1, p2, ...], "fisheye": false,
                  "offset": 0.25 or "timestamps": [seconds of every frame]}]}

OpenCV axes, pixel centres at +0.5. Only name, intrinsics (or K) and world_to_camera (or w2c) are
required. `offset` is the second on the common clock at which a video begins; `timestamps` count.
`generated` says that a generator made the videos, whose views disagree; `fisheye` that `distortion`
is cv2.fisheye's [k1, k2, k3, k4].
"""

from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.capture import Capture, make_capture
from input_pipeline.importers import calibrated
from input_pipeline.media_files import first_file
from input_pipeline.plain_files import check_field, field, load_json, numbers

FILES = ("cameras.json", "cameras_opencv.json")
FIELDS = {"name", "width", "height", "intrinsics", "K", "world_to_camera", "w2c"}
FIELDS |= {"distortion", "fisheye", "offset", "timestamps", "fps"}


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return first_file(path, FILES)


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture.

    Raises:
      ValueError: naming the camera and field that is missing or does not fit its video.
    """
    file = first_file(path, FILES) or path / FILES[0]
    table = load_json(file)
    cameras: dict[str, calibrated.CalibratedCamera] = {}
    names = set()
    for index, entry in enumerate(field(table, "cameras", str(file))):
        name = str(field(entry, "name", f"{file}, camera {index}"))
        found = f"camera {name} twice"
        check_field(file, name not in cameras, found, "a name for each")
        rate = fps or entry.get("fps", table.get("fps"))
        cameras[name] = _camera(entry, f"{file}, camera {name}")._replace(fps=rate)
        names |= entry.keys()
    scale = float(table["depth_scale"]) if "depth_scale" in table else None
    # A misspelt field must not be ignored in silence.
    unread = sorted(names - FIELDS)
    capture = make_capture(
        path.name,
        calibrated.make_rig(path, cameras, scale),
        unit=float(table.get("unit", 0.0)),
        notes=[f"{file.name}: not read: {', '.join(unread)}"] if unread else [],
        caption=str(table.get("caption", "")),
        source=str(table.get("source", "")),
        license=str(table.get("license", "")),
        generated=bool(table.get("generated", False)),
    )
    return [capture]


def _camera(entry: dict[str, Any], where: str) -> calibrated.CalibratedCamera:
    stored = entry.get("intrinsics", entry.get("K"))
    lens = numbers(stored, (3, 3), f"{where}, intrinsics")
    pose: Any = entry.get("world_to_camera", entry.get("w2c"))
    # A camera that moves has a pose for each frame.
    shape = (4, 4) if np.ndim(pose) < 3 else (len(pose), 4, 4)
    is_sized = {"width", "height"} <= set(entry)
    return calibrated.CalibratedCamera(
        lens,
        numbers(pose, shape, f"{where}, world_to_camera"),
        size=(round(entry["height"]), round(entry["width"])) if is_sized else None,
        distortion=entry.get("distortion", ()),
        is_fisheye=bool(numbers(entry.get("fisheye", False), (), f"{where}, fisheye")),
        timestamps=entry.get("timestamps"),
        offset=float(entry.get("offset", 0.0)),
    )
