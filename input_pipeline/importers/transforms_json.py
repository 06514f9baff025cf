"""transforms.json as instant-ngp and nerfstudio write it, and its relatives with a time.

Camera-to-world in OpenGL axes; `applied_transform` is what nerfstudio did to the original world,
and is undone. Format: https://docs.nerf.studio/quickstart/data_conventions.html
"""

import re
from pathlib import Path

import numpy as np

from input_pipeline import capture, lenses, media_files
from input_pipeline.conventions import homogeneous, to_opencv
from input_pipeline.plain_files import (
    check_field,
    field,
    field_number,
    load_json,
    numbers,
)

FILE = "transforms.json"
FISHEYE = "OPENCV_FISHEYE"
LENSES = (
    "OPENCV",
    "PINHOLE",
    "SIMPLE_PINHOLE",
    "PERSPECTIVE",
    "SIMPLE_RADIAL",
    "RADIAL",
    FISHEYE,
)
FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
LENS = (*FOCAL, "cx", "cy", "w", "h")
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
FISHEYE_DISTORTION = ("k1", "k2", "k3", "k4")
# Of nerfstudio's depth files unless they say otherwise.
METRES_PER_MILLIMETRE = 1e-3


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return media_files.first_file(path, (FILE,))


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture; see `read_transforms`."""
    return [read_transforms(path / FILE, path.name, fps)]


def read_transforms(file: Path, scene_id: str, fps: float | None) -> capture.Capture:
    """Read videos of moving cameras, whose frames have a `time`, or views of one instant.

    A video is the frames of one folder, or where cameras share it, of one name but for the number
    at its end (images/cam00_0041). With `fps` times are shares of the whole, which lasts as long as
    the longest video at that rate; without it they are seconds.

    Raises:
      ValueError: naming the frame and field that is missing or impossible.
    """
    frames = _read(file)
    for frame in frames:
        place = file.parent / field(frame, "file_path", frame["where"])
        frame["file"] = media_files.picture_named(place)
    timed = sum("time" in frame for frame in frames)
    found = f"a time in {timed} of {len(frames)} frames"
    check_field(file, timed in (0, len(frames)), found, "it in all or none")
    if timed:
        videos = _videos(file, frames)
    else:
        frames.sort(key=lambda frame: media_files.natural(str(frame["file"])))
        videos = {str(frame["file_path"]): [frame] for frame in frames}
    # Of the whole.
    seconds = (max(map(len, videos.values())) - 1) / fps if timed and fps else 1.0
    views = [_view(file, name, video, seconds) for name, video in videos.items()]
    note = "times are taken as seconds (--fps if they are shares of the whole)"
    if fps:
        note = f"times are shares of the whole at {fps:g} frames a second"
    return capture.make_capture(scene_id, views, notes=[note] if timed else [])


def read_moving_camera(
    file: Path,
) -> tuple[list[str], np.ndarray, np.ndarray | None, tuple[int, int] | None]:
    """Return names and poses (n 4 4) of the frames of one camera, its intrinsics and their size.

    Nothing is said of pictures but their names; intrinsics are None where their size is unknown.

    Raises:
      ValueError: naming the frame and field that is missing or impossible.
    """
    frames = _read(file)
    names = [str(field(frame, "file_path", frame["where"])) for frame in frames]
    poses = np.stack([_pose(frame) for frame in frames])
    first = frames[0]
    if not {"w", "h"} <= set(first) or not set(FOCAL) & set(first):
        return names, poses, None, None
    return names, poses, *_lens(first, file)


def _read(file: Path) -> list[dict]:
    """Return the frames with what the table says of all, and `where` they stand, for messages.

    Paths that were written on Windows get slashes.
    """
    table = load_json(file)
    frames = field(table, "frames", str(file))
    fits = (
        isinstance(frames, list) and frames and all(isinstance(x, dict) for x in frames)
    )
    check_field(f"{file}, frames", fits, f"{frames!r:.40}", "a list of frames")
    return [
        table | frame | _paths(frame) | {"where": f"{file}, frame {i}"}
        for i, frame in enumerate(frames)
    ]


def _paths(frame: dict) -> dict[str, str]:
    """Return the paths of a frame's table, with slashes."""
    names = ("file_path", "depth_file_path", "mask_path")
    return {
        name: str(frame[name]).replace("\\", "/") for name in names if name in frame
    }


def _view(file: Path, name: str, video: list[dict], seconds: float) -> capture.View:
    first = video[0]
    for frame in video:
        changed = [
            key for key in (*LENS, *DISTORTION) if frame.get(key) != first.get(key)
        ]
        where = f"{frame['where']}, lens"
        check_field(where, not changed, f"another {changed}", "a fixed one")
    intrinsics, size = _lens(first, first["file"])
    is_fisheye = first.get("camera_model") == FISHEYE or bool(first.get("is_fisheye"))
    bent = FISHEYE_DISTORTION if is_fisheye else DISTORTION
    times = None
    if "time" in first:
        times = [
            field_number(frame, "time", frame["where"]) * seconds for frame in video
        ]
    return capture.make_view(
        name,
        [frame["file"] for frame in video],
        intrinsics,
        np.stack([_pose(frame) for frame in video]),
        size=size,
        distortion=[float(first.get(name, 0)) for name in bent],
        is_fisheye=is_fisheye,
        timestamps=times,
        depth=[
            file.parent / f["depth_file_path"] for f in video if "depth_file_path" in f
        ],
        masks=[file.parent / f["mask_path"] for f in video if "mask_path" in f],
        depth_scale=float(first.get("depth_unit_scale_factor", METRES_PER_MILLIMETRE)),
    )


def _videos(file: Path, frames: list[dict]) -> dict[str, list[dict]]:
    """Group frames, in order of time, by folder, or by name prefixes in a folder of several videos.

    Raises:
      ValueError: a time comes twice in one video.
    """
    videos: dict[str, list[dict]] = {}
    for frame in sorted(frames, key=lambda frame: frame["time"]):
        videos.setdefault(frame["file"].parent.name, []).append(frame)
    for folder in [name for name, video in videos.items() if _repeats(video)]:
        shared: dict[str, list[dict]] = {}
        for frame in videos.pop(folder):
            named = re.fullmatch(r"(.+)[-_.]\d+", frame["file"].stem)
            shared.setdefault(named[1] if named else "", []).append(frame)
        once = not any(map(_repeats, shared.values())) and shared.keys().isdisjoint(
            videos
        )
        found = f"times twice among the frames of folder {folder}"
        check_field(file, once, found, "a folder per camera, or names like cam00_0041")
        videos |= {
            name: shared[name] for name in sorted(shared, key=media_files.natural)
        }
    return videos


def _repeats(video: list[dict]) -> bool:
    return len({frame["time"] for frame in video}) < len(video)


def _pose(frame: dict) -> np.ndarray:
    where = f"{frame['where']}, transform_matrix"
    matrix = field(frame, "transform_matrix", where)
    shape = (3, 4) if np.shape(matrix) == (3, 4) else (4, 4)
    pose = homogeneous(numbers(matrix, shape, where))
    if "applied_transform" in frame:
        applied = numbers(frame["applied_transform"], (3, 4), "applied_transform")
        pose = np.linalg.inv(homogeneous(applied)) @ pose
    return to_opencv(pose, "nerfstudio")


def _focal_length(table: dict, axis: str, side: int) -> float:
    """Return pixels along a side of so many, by length or else angle of view; 0 without both."""
    length = f"fl_{axis}"
    angle = f"camera_angle_{axis}"
    if length in table:
        return field_number(table, length, table["where"])
    if angle in table:
        return side / 2 / np.tan(field_number(table, angle, table["where"]) / 2)
    return 0.0


def _lens(table: dict, file: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """Return intrinsics of a frame's table, and the size they belong to."""
    where = table["where"]
    model = table.get("camera_model", "OPENCV")
    check_field(where, model in LENSES, f"camera_model {model}", f"one of {LENSES}")
    is_sized = {"w", "h"} <= set(table)
    size = (table["h"], table["w"]) if is_sized else media_files.picture_size(file)
    rows, columns = map(round, size)
    along_x = _focal_length(table, "x", columns)
    along_y = _focal_length(table, "y", rows)
    # As in instant-ngp, one counts for both sides.
    fx = along_x or along_y
    fy = along_y or along_x
    named = " ".join(key for key in LENS if key in table) or "nothing"
    check_field(f"{where}, lens", fx and fy, named, f"one of {', '.join(FOCAL)}")
    cx = float(table.get("cx", columns / 2))
    cy = float(table.get("cy", rows / 2))
    return lenses.lens_matrix(fx, fy, cx, cy), (rows, columns)
