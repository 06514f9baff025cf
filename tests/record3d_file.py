"""A .r3d file as the app Record3D writes it: a phone that walks past a wall."""

import json
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np

METRES = 2.0  # to the wall, which the camera looks at squarely
FPS = 30


def write_record3d(file: Path, count: int) -> None:
    """Write so many pictures of 64 x 48, a centimetre apart, and their depth of 16 x 12."""
    import lzfse

    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 255, (12, 20, 3), np.uint8), (200, 120))
    depth = lzfse.compress(np.full((12, 16), METRES, np.float32).tobytes())
    table: dict[str, object] = {"w": 64, "h": 48, "dw": 16, "dh": 12, "fps": FPS}
    table |= {"K": [60, 0, 0, 0, 60, 0, 32, 24, 1]}
    table["poses"] = [[0, 0, 0, 1, 0.01 * i, 0, 0] for i in range(count)]
    with ZipFile(file, "w") as archive:
        for i in range(count):
            shift = 0.01 * i * 60 / METRES
            moved = np.array([[1, 0, -20 - shift], [0, 1, -20]])
            picture = cv2.imencode(".jpg", cv2.warpAffine(wall, moved, (64, 48)))[1]
            archive.writestr(f"rgbd/{i}.jpg", picture.tobytes())
            archive.writestr(f"rgbd/{i}.depth", depth)
            archive.writestr(f"rgbd/{i}.conf", b"")
        archive.writestr("metadata", json.dumps(table))
        archive.writestr("sound.m4a", b"")
