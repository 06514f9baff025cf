"""A folder as the app Stray Scanner writes it: a phone that walks through a room."""

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation
from textured_room import FOV, render, ring, textures

from full4d_jax.media.video_io import write_video
from input_pipeline.pinhole import intrinsics_from_fov, invert

SIZE = 96, 128  # rows and columns of the video
DEPTH_SIZE = 48, 64
FPS = 60
BOOT = 4711.5  # seconds of the phone's clock at the first frame
# Columns of depth, at the left, whose confidence is 0 and whose numbers are wrong.
UNSURE = 8
HEADER = "timestamp, frame, x, y, z, qx, qy, qz, qw"


def write_stray(path: Path, count: int, *, lenses: bool = False) -> np.ndarray:
    """Write so many frames; with `lenses`, as newer versions do, a lens a frame.

    Returns:
      World-to-camera (count 4 4).
    """
    poses = ring(count)
    lens, small = (intrinsics_from_fov(FOV, *size) for size in (SIZE, DEPTH_SIZE))
    walls = textures(0)
    more = ", fx, fy, cx, cy, distortion_center_x, distortion_center_y"
    lines = [HEADER + more * lenses]
    frames = []
    for i, pose in enumerate(poses):
        frames.append(render(lens, pose, *SIZE, walls, np.zeros(8))[0])
        metres = render(small, pose, *DEPTH_SIZE, walls, np.zeros(8))[1]
        levels = np.round(1000 * metres).astype(np.uint16)
        levels[:, :UNSURE] = 100
        confidence = np.full(DEPTH_SIZE, 1 + i % 2, np.uint8)
        confidence[:, :UNSURE] = 0
        for kind, picture in (("depth", levels), ("confidence", confidence)):
            (path / kind).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path / kind / f"{i:06}.png"), picture)
        # As OdometryEncoder.swift: ARKit's pose, of axes right, up, backward, turned about x.
        arkit = invert(pose) @ np.diag([1.0, -1, -1, 1])
        turned = Rotation.from_matrix(arkit[:3, :3]) * Rotation.from_quat([1, 0, 0, 0])
        numbers = [*arkit[:3, 3], *turned.as_quat()]
        numbers += [lens[0, 0] + i, lens[1, 1] + i, lens[0, 2], lens[1, 2]] * lenses
        row = ", ".join(f"{number:.8f}" for number in numbers)
        lines.append(f"{BOOT + i / FPS:.9f}, {i:06}, {row}" + ", , " * lenses)
    write_video(path / "rgb.mp4", np.stack(frames), FPS)
    (path / "odometry.csv").write_text("\n".join(lines) + "\n")
    matrix = "\n".join(", ".join(f"{x:.6f}" for x in row) for row in lens)
    (path / "camera_matrix.csv").write_text(matrix)
    return poses
