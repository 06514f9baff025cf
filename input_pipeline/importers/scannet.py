"""ScanNet as its SensReader exports it: color/, depth/, pose/, intrinsic/, one camera with depth.

pose/N.txt is camera-to-world in OpenCV axes, metres; a camera that was lost has infinities there,
and its pictures are left out. Depth is in millimetres, of fewer pixels than the colour, of the same
view. Format: https://github.com/ScanNet/ScanNet/tree/master/SensReader/python
"""

from pathlib import Path

import numpy as np

from input_pipeline.cameras import invert
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.footage import PICTURES, listed, natural, picture_size
from input_pipeline.importers.opencv_cameras import centred

FPS = 30.0  # of the structure sensor
FOLDERS = ("color", "depth", "pose", "intrinsic")
NEEDS = "color/N.jpg, depth/N.png, pose/N.txt and intrinsic/intrinsic_color.txt"
MILLIMETRES = 0.001


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    missing = [name for name in FOLDERS if not (path / name).is_dir()]
    return (
        (False, f"no {', '.join(missing)}")
        if missing
        else (True, f"{', '.join(FOLDERS)} are there")
    )


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of one view: the pictures whose pose is known.

    Raises:
      ValueError: a matrix is not one, or no picture has a pose.
    """
    pictures = sorted(listed(path / "color", PICTURES), key=natural)
    numbers = [int(file.stem) for file in pictures]
    poses = np.array([_matrix(path / "pose" / f"{file.stem}.txt") for file in pictures])
    rows = [i for i, pose in enumerate(poses) if np.isfinite(pose).all()]
    if not rows:
        raise ValueError(f"{path / 'pose'}: found no finite pose, expected at least one")
    # Their pixel centres are whole numbers.
    lens = centred(_matrix(path / "intrinsic" / "intrinsic_color.txt")[:3, :3])
    view, note = make_view(
        "camera",
        [pictures[i] for i in rows],
        lens,
        invert(poses[rows]),
        size=picture_size(pictures[rows[0]]),
        timestamps=[(numbers[i] - numbers[rows[0]]) / (fps or FPS) for i in rows],
        depth=[path / "depth" / f"{pictures[i].stem}.png" for i in rows],
        depth_scale=MILLIMETRES,
    )
    lost = len(pictures) - len(rows)
    notes = [f"{lost} of {len(pictures)} pictures have no pose"] if lost else []
    return [make_capture(path.name, [(view, note)], unit=1.0, source="ScanNet", notes=notes)]


def _matrix(file: Path) -> np.ndarray:
    """Return the (4 4) matrix in a file of text."""
    try:
        matrix = np.loadtxt(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: found no matrix ({error}), expected 4 x 4 numbers") from None
    if matrix.shape != (4, 4):
        raise ValueError(f"{file}: found {matrix.shape} numbers, expected (4, 4)")
    return matrix
