"""transforms.json as instant-ngp and nerfstudio write it, and its relatives with a time.

Camera-to-world in OpenGL axes; `applied_transform` is what nerfstudio did to the original world,
and is undone. Format: https://docs.nerf.studio/quickstart/data_conventions.html
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import homogeneous, to_opencv
from input_pipeline.footage import PICTURES, has_one, natural, picture_size
from input_pipeline.lenses import usual_lens
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "transforms.json with frames[].file_path and frames[].transform_matrix"
FISHEYE = "OPENCV_FISHEYE"
LENSES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", FISHEYE)
LENS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x")
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
FISHEYE_DISTORTION = ("k1", "k2", "k3", "k4")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    return has_one(path, ("transforms.json",))


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture; see `read_transforms`."""
    return [read_transforms(path / "transforms.json", path.name, fps)]


def read_transforms(file: Path, scene_id: str, fps: float | None) -> Capture:
    """Read films of moving cameras, whose frames have a `time`, or views of one instant.

    A film is the frames of one folder, or where cameras share it, of one name but for the number at
    its end (images/cam00_0041). With `fps` times are taken as shares of the whole, which
    lasts as long as the longest film at that rate, else as seconds.

    Raises:
      ValueError: naming the frame and field that is missing or impossible.
    """
    table, frames = _read(file)
    for index, frame in enumerate(frames):
        frame["where"] = f"{file}, frame {index}"
        frame["file"] = _file(file.parent, frame, frame["where"])
    timed = [frame for frame in frames if "time" in frame]
    if timed and len(timed) < len(frames):
        found = f"a time in {len(timed)} of {len(frames)} frames"
        raise ValueError(f"{file}: found {found}, expected it in all or none")
    if not timed:
        ordered = sorted(frames, key=lambda frame: natural(str(frame["file"])))
        films = {str(frame["file_path"]): [frame] for frame in ordered}
    else:
        films = _films(file, frames)
    seconds = (max(map(len, films.values())) - 1) / fps if timed and fps else 1.0  # of the whole
    views = [_view(file, table, name, film, seconds) for name, film in films.items()]
    shares = f"times are shares of the whole at {fps or 0:g} frames a second"
    taken = shares if fps else "times are taken as seconds (--fps if they are shares of the whole)"
    notes = [taken] if timed else []
    return make_capture(scene_id, views, notes=notes)


def read_moving_camera(
    file: Path,
) -> tuple[list[str], np.ndarray, np.ndarray | None, tuple[int, int] | None]:
    """Return names and poses (n 4 4) of the frames of one camera, its intrinsics and their size.

    Nothing is said of pictures but their names; intrinsics are None where their size is unknown.

    Raises:
      ValueError: naming the frame and field that is missing or impossible.
    """
    table, frames = _read(file)
    places = [f"{file}, frame {index}" for index in range(len(frames))]
    names = [
        str(field(frame, "file_path", where)) for frame, where in zip(frames, places, strict=True)
    ]
    poses = [_pose(frame, table, where) for frame, where in zip(frames, places, strict=True)]
    merged = {**table, **frames[0]}
    if not {"w", "h"} <= set(merged) or not {"fl_x", "camera_angle_x"} & set(merged):
        return names, np.stack(poses), None, None
    intrinsics, size, _ = _lens(merged, file, places[0])
    return names, np.stack(poses), intrinsics, size


def _read(file: Path) -> tuple[dict, list[dict]]:
    table = load_json(file)
    frames = field(table, "frames", str(file))
    if not isinstance(frames, list) or not frames:
        raise ValueError(f"{file}, frames: found {frames!r:.40}, expected a list of frames")
    return table, frames


def _view(file: Path, table: dict, name: str, film: list[dict], seconds: float):
    millimetres = 1e-3  # nerfstudio's depth files unless they say otherwise
    first = film[0]
    intrinsics, size, distortion = _lens({**table, **first}, first["file"], first["where"])
    for frame in film:
        changed = [key for key in (*LENS, *DISTORTION) if frame.get(key) != first.get(key)]
        if changed:
            where = f"{frame['where']}, {changed[0]}"
            raise ValueError(f"{where}: found a lens that changes, expected a fixed one")
    times = None
    if "time" in first:
        units = [float(numbers(f["time"], (), f["where"] + ", time")) for f in film]
        times = (np.array(units) * seconds).tolist()
    poses = np.stack([_pose(frame, table, frame["where"]) for frame in film])
    return make_view(
        name,
        [frame["file"] for frame in film],
        intrinsics,
        poses,
        size=size,
        distortion=distortion,
        timestamps=times,
        depth=[file.parent / f["depth_file_path"] for f in film if "depth_file_path" in f],
        masks=[file.parent / f["mask_path"] for f in film if "mask_path" in f],
        depth_scale=float(table.get("depth_unit_scale_factor", millimetres)),
    )


def _films(file: Path, frames: list[dict]) -> dict[str, list[dict]]:
    """Frames in order of time, by folder, or by the beginnings of names in a folder of many films.

    Raises:
      ValueError: a time comes twice in one film.
    """
    films: dict[str, list[dict]] = {}
    for frame in sorted(frames, key=lambda frame: frame["time"]):
        films.setdefault(frame["file"].parent.name, []).append(frame)
    for folder in [name for name, film in films.items() if _repeats(film)]:
        shared: dict[str, list[dict]] = {}
        for frame in films.pop(folder):
            named = re.fullmatch(r"(.+)[-_.]\d+", frame["file"].stem)
            shared.setdefault(named[1] if named else "", []).append(frame)
        if any(_repeats(film) for film in shared.values()) or set(shared) & set(films):
            found = f"times twice among the frames of folder {folder}"
            expected = "a folder for each camera, or names like cam00_0041"
            raise ValueError(f"{file}: found {found}, expected {expected}")
        films |= {name: shared[name] for name in sorted(shared, key=natural)}
    return films


def _repeats(film: list[dict]) -> bool:
    return len({frame["time"] for frame in film}) < len(film)


def _pose(frame: dict, table: dict, where: str) -> np.ndarray:
    where += ", transform_matrix"
    matrix = field(frame, "transform_matrix", where)
    pose = homogeneous(numbers(matrix, (3, 4) if np.shape(matrix) == (3, 4) else (4, 4), where))
    if "applied_transform" in table:
        applied = numbers(table["applied_transform"], (3, 4), "applied_transform")
        pose = np.linalg.inv(homogeneous(applied)) @ pose
    return to_opencv(pose, "nerfstudio")


def _lens(table: dict, file: Path, where: str) -> tuple[np.ndarray, tuple[int, int], list[float]]:
    """Return intrinsics, the size they belong to, and distortion."""
    model = table.get("camera_model", "OPENCV")
    if model not in LENSES:
        raise ValueError(f"{where}: found camera_model {model}, expected one of {LENSES}")
    rows, columns = picture_size(file) if not {"w", "h"} <= set(table) else (table["h"], table["w"])
    rows = round(rows)
    columns = round(columns)
    if "fl_x" in table:
        fx = float(table["fl_x"])
        fy = float(table.get("fl_y", fx))
    else:
        angle = float(field(table, "camera_angle_x", where))
        fx = fy = 0.5 * columns / np.tan(angle / 2)
    cx = float(table.get("cx", columns / 2))
    cy = float(table.get("cy", rows / 2))
    intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if model == FISHEYE or table.get("is_fisheye"):
        bent = np.array([float(table.get(name, 0)) for name in FISHEYE_DISTORTION])
        return intrinsics, (rows, columns), usual_lens(bent, intrinsics, rows, columns).tolist()
    distortion = [float(table.get(name, 0)) for name in DISTORTION]
    return intrinsics, (rows, columns), distortion


def _file(folder: Path, frame: Any, where: str) -> Path:
    """Return the picture of a frame; D-NeRF leaves the ending out."""
    named = folder / field(frame, "file_path", where)
    if named.is_file():
        return named
    ended = [
        file for end in sorted(PICTURES) if (file := named.with_name(named.name + end)).is_file()
    ]
    if not ended:
        raise ValueError(f"{where}: found no {named}, expected a picture")
    return ended[0]
