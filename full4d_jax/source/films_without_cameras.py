"""Synchronized films of one scene by cameras that stand still at unknown places.

They are found by structure from motion over all films and some instants (`geometry.rig`). The
films count as `generated`, since their views disagree as a generator's do: exposures and cameras
are corrected while a scene is fitted. A camera that seems to move is named, in a warning where the
cameras fit together, else in the refusal.
"""

import math
from pathlib import Path

import numpy as np

from full4d_jax.geometry.rig import Rig, find_rig, moving_cameras
from full4d_jax.session.errors import log
from input_pipeline import capture_clips, media_files, pinhole, transforms
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.importers import detect, opencv
from input_pipeline.plain_files import check_field

# Of the films, at most, in which points are sought.
INSTANTS_MATCHED = 6
# A scene's layout, where there are films and nothing else that is known.
FILMS = "films"


def find_captures(path: Path) -> tuple[list[detect.SceneFolder], list[str]]:
    """Find a folder's scenes as `detect.find_scenes` does, else films without cameras as one.

    Raises:
      ValueError: there are neither, or a file that may hold the cameras of the films is broken.
    """
    try:
        return detect.find_scenes(path)
    except ValueError:
        films = media_files.find_videos(path, media_files.VIDEO_FOLDERS)
        if not films:
            raise
        if broken := opencv.broken_tables(path):
            raise ValueError(f"{broken[0]}: mend it or move it away") from None
        why = f"nothing tells cameras of the films {', '.join(films)}"
        return [(path, FILMS, why, [])], []


def read_scene_captures(
    path: Path, layout: str, fps: float | None, *, inside: Path | None
) -> list[Capture]:
    """Return the captures of a scene of `find_captures`.

    Args:
      path: of the scene.
      layout: of the scene.
      fps: of pictures without times.
      inside: the folder that all files must lie in; None for anywhere.

    Raises:
      ValueError: naming the file or camera that does not fit.
      InputError: pycolmap is not installed, which films without cameras need.
    """
    if layout == FILMS:
        captures = detect.apply_sync(path, [_without_cameras(path, fps)])
    else:
        captures = detect.read_captures(path, layout, fps)
    if inside:
        detect.require_inside(inside, captures)
    return [with_cameras(path, captures[0])] if layout == FILMS else captures


def with_cameras(path: Path, capture: Capture) -> Capture:
    """Return a capture of films with the cameras that are found, in an arbitrary world and unit.

    Args:
      path: the folder.
      capture: its films, with cameras that mean nothing.

    Raises:
      ValueError: some films do not fit together; the message names these, and films whose cameras
        seem to move.
      InputError: pycolmap is not installed.
    """
    # Pixels, at most, of pictures in which points are sought.
    short_side = 540
    names = [view.name for view in capture.views]
    count = capture_clips.align(capture.views, f"{path}").shape[1]
    stride = math.ceil(count / INSTANTS_MATCHED)
    example = capture_clips.CaptureClips(
        [capture], stride=stride, size=short_side, finest=True
    )[0]
    height, width = transforms.view_size(example.frames.item(0, 0))
    frames = transforms.decode(example, height=height, width=width).frames
    log(f"{path}: looking for the cameras of {len(names)} films, which takes minutes")
    rig = find_rig(frames, f"{path}")
    moving = ", ".join(names[number] for number in moving_cameras(frames))
    seems = f"the camera of film {moving} seems to move" * bool(moving)
    if why := rig_objection(rig, names, max(height, width)):
        reasons = "; ".join(filter(None, [why, seems]))
        expected = "films of much the same from 5 to 20 degrees aside, or cameras.json"
        found = f"no cameras by structure from motion ({reasons})"
        raise ValueError(f"{path}: found {found}, expected {expected}")
    assert rig is not None, "there is no objection"
    rows, columns = media_files.picture_size(capture.views[0].files[0])
    lens = pinhole.resize_intrinsics(
        rig.intrinsics, rows=rows / height, columns=columns / width
    )
    pairs = zip(capture.views, rig.world_to_camera, strict=True)
    views = []
    for view, pose in pairs:
        poses = np.tile(pose, (len(view.timestamps), 1, 1))
        views.append(view._replace(intrinsics=lens, world_to_camera=poses))
    fov = 2 * math.degrees(math.atan(columns / 2 / lens[0, 0]))
    points = f"{rig.points} points of {frames.shape[1]} instants"
    found = f"{points}, {rig.reprojection:.2f} pixels off"
    agree = f"{rig.agreement:.0%} of matches agree; field of view {fov:.0f} degrees"
    note = f"cameras by structure from motion: {found}, {agree}"
    warning = f"{seems}: if it does, leave the film out or give cameras.json"
    note = "; ".join(filter(None, [note, capture.note]))
    own_warning = warning * bool(seems)
    return capture._replace(views=tuple(views), note=note, warning=own_warning)


def rig_objection(rig: Rig | None, names: list[str], side: int) -> str:
    """Return why the cameras of these films are not to be trusted; empty where they are.

    Args:
      rig: what was found.
      names: of all films.
      side: the longer side of the pictures in which points were sought.
    """
    # Of the matches between films, at least.
    least_agreement = 0.85
    # Of the longer side, at most.
    max_reprojection = 0.002
    # Degrees, at least, that half of the points are seen from; less has no depth.
    least_angle = 2.0
    if rig is None:
        return "no films fit together"
    lost = [name for number, name in enumerate(names) if number not in rig.placed]
    if lost:
        return f"{', '.join(lost)} of {len(names)} films not placed"
    if rig.angle < least_angle:
        return f"half of its points are seen from within {rig.angle:.1f} degrees"
    if rig.reprojection > max_reprojection * side:
        return f"its points are {rig.reprojection:.1f} pixels off"
    # Without matches the agreement is NaN.
    if not rig.agreement >= least_agreement:
        return f"{rig.agreement:.0%} of the matches between films agree with them"
    return ""


def _without_cameras(path: Path, fps: float | None) -> Capture:
    """Return the films with a lens and poses that mean nothing.

    Raises:
      ValueError: there are too few, or of several sizes.
    """
    # Degrees, until the lens is found.
    assumed_fov = 60.0
    fewest_films = 3
    films = media_files.find_videos(path, media_files.VIDEO_FOLDERS)
    found = f"{len(films)} film{'s' * (len(films) > 1)} without cameras"
    expected = f"at least {fewest_films} of one scene, or cameras.json"
    check_field(path, len(films) >= fewest_films, found, expected)
    sizes = {name: media_files.picture_size(files[0]) for name, files in films.items()}
    size, *others = set(sizes.values())
    found = ", ".join(f"{name} of {w}x{h}" for name, (h, w) in sizes.items())
    check_field(path, not others, f"films {found}", "one size and lens")
    lens = pinhole.intrinsics_from_fov(assumed_fov, *size)
    views = []
    for name, files in films.items():
        masks = media_files.files_of_camera(path, "masks", name)
        views.append(make_view(name, files, lens, np.eye(4), fps=fps, masks=masks))
    return make_capture(path.name, views, generated=True)
