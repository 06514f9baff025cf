"""Our own cameras.json beside videos or folders of pictures.

    {"fps": 30, "unit": 1.0, "depth_scale": 0.001, "caption": "", "source": "", "license": "",
     "generated": false,
     "cameras": [{"name": "cam01", "width": 1920, "height": 1080,
                  "intrinsics": 3x3, "world_to_camera": 4x4 or one a frame,
                  "distortion": [k1, k2, p1, p2, ...], "fisheye": false,
                  "offset": 0.25 or "timestamps": [seconds of every frame]}]}

OpenCV axes, pixel centres at +0.5. Only name, intrinsics (or K) and world_to_camera (or w2c) are
required. `offset` is the second on the common clock at which a film begins; `timestamps` count.
`generated` says that a generator made the films, whose views disagree; `fisheye` that `distortion`
is cv2.fisheye's [k1, k2, k3, k4].
"""

from pathlib import Path

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import find_footage, has_one, picture_size
from input_pipeline.importers.opencv import FISHEYE_COUNTS, is_marked
from input_pipeline.importers.pairing import check_lengths, pair
from input_pipeline.lenses import usual_lens
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "cameras.json (or cameras_opencv.json) with cameras[], and videos or folders of pictures"
FILES = ("cameras.json", "cameras_opencv.json")
OURS = {"name", "width", "height", "intrinsics", "K", "world_to_camera", "w2c", "distortion"}
OURS |= {"fisheye", "offset", "timestamps", "fps"}


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    return has_one(path, FILES)


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture.

    Raises:
      ValueError: naming the camera and field that is missing or does not fit its film.
    """
    file = next(path / name for name in FILES if (path / name).is_file())
    table = load_json(file)
    # Films are paired with cameras by name, so a name that comes twice would lose a camera.
    entries = {}
    for index, entry in enumerate(field(table, "cameras", str(file))):
        name = str(field(entry, "name", f"{file}, camera {index}"))
        if name in entries:
            raise ValueError(f"{file}: found camera {name} twice, expected a name for each")
        entries[name] = entry
    films = find_footage(path, ("videos", ".", "images"))
    # Without times, pictures of one number are of one instant: folders must be equally long.
    if not all("timestamps" in entry for entry in entries.values()):
        check_lengths(films, path)
    pairs = pair(films, list(entries), path)
    views = []
    for name, entry in entries.items():
        where = f"{file}, camera {name}"
        film = pairs[name]
        lens = numbers(entry.get("intrinsics", entry.get("K")), (3, 3), f"{where}, intrinsics")
        pose = entry.get("world_to_camera", entry.get("w2c"))
        # A camera that moves has a pose for each frame.
        shape = (4, 4) if np.ndim(pose) < 3 else (len(pose), 4, 4)
        sized = {"width", "height"} <= set(entry)
        size = (round(entry["height"]), round(entry["width"])) if sized else None
        distortion = entry.get("distortion", ())
        # All later steps know the usual lens model alone, so a fisheye is converted here.
        if is_marked(entry.get("fisheye", False), f"{where}, fisheye"):
            four = numbers(distortion, FISHEYE_COUNTS, f"{where}, distortion")
            sides = size or picture_size(films[film][0])
            distortion = usual_lens(four, lens, *sides, f"{where}, fisheye").tolist()
        view = make_view(
            film,
            films[film],
            lens,
            numbers(pose, shape, f"{where}, world_to_camera"),
            size=size,
            distortion=distortion,
            timestamps=entry.get("timestamps"),
            fps=fps or entry.get("fps", table.get("fps")),
            offset=float(entry.get("offset", 0.0)),
            beside=path,
            depth_scale=float(table["depth_scale"]) if "depth_scale" in table else None,
        )
        views.append(view)
    # A misspelt field must not be ignored in silence.
    unread = sorted({key for entry in entries.values() for key in entry} - OURS)
    note = f"{file.name}: not read: {', '.join(unread)}" if unread else ""
    unit = float(table.get("unit", 0.0))
    capture = make_capture(
        path.name,
        views,
        unit=unit,
        notes=[note],
        caption=str(table.get("caption", "")),
        source=str(table.get("source", "")),
        license=str(table.get("license", "")),
        generated=bool(table.get("generated", False)),
    )
    return [capture]
