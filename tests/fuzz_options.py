"""Files that options name, for `fuzz_readers`: camera paths, points, networks, packed depth."""

import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
from fuzz_importers import transforms
from record3d_file import write_record3d

from full4d_jax.config import DataConfig
from full4d_jax.media.video import write_video
from full4d_jax.source.camera_paths import read_targets
from full4d_jax.source.capture_source import load_points, open_capture
from full4d_jax.source.depth.estimators import load_estimator
from full4d_jax.source.handheld.pose_files import read_poses
from full4d_jax.source.options import CaptureOptions, PathOptions
from input_pipeline.footage import read_depth

SIDE = 16  # pixels


def option_files(scratch: Path) -> dict[str, tuple]:
    """By name: whole files, how their names end, and what reads them."""
    return camera_paths(scratch) | points() | record3d(scratch) | networks(scratch)


def camera_paths(scratch: Path) -> dict[str, tuple]:
    """Paths of target cameras and of the source's own camera: our JSON and nerfstudio's."""
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(4)
    ours = {
        "world_to_camera": poses.tolist(),
        "intrinsics": [[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]],
        "image_size": [SIDE, SIDE],
        "times": [0, 0.3, 0.6, 1],
        "fps": 8,
    }
    cameras = [
        {"camera_to_world": pose.ravel().tolist(), "fov": 50, "render_time": i / 3}
        for i, pose in enumerate(poses)
    ]
    path = {"camera_type": "perspective", "render_height": SIDE, "render_width": SIDE, "fps": 8}
    nerfstudio = json.dumps(path | {"camera_path": cameras}).encode()
    data = DataConfig(views=3, frames=2, height=SIDE, width=SIDE)

    def targets(path: Path) -> None:
        read = read_targets(PathOptions(path=str(path)), data)
        require_finite(
            read.world_to_camera, *([] if read.intrinsics is None else [read.intrinsics])
        )

    film = scratch / "film.mp4"
    write_video(film, np.zeros((4, SIDE, SIDE, 3), np.uint8), 8)

    def own_path(path: Path) -> None:
        require_finite(read_poses(path, film).world_to_camera)

    return {
        "target_path": ([nerfstudio, transforms()], ".json", targets),
        "own_path": ([json.dumps(ours).encode(), nerfstudio], ".json", own_path),
    }


def points() -> dict[str, tuple]:
    """Points to start from, in the three formats of `--points`."""
    rows = np.random.default_rng(0).normal(size=(5, 3)).tolist()
    binary = struct.pack("<Q", len(rows))
    for number, row in enumerate(rows):
        binary += struct.pack("<Q3d3BdQii", number, *row, 9, 99, 199, 0.5, 1, 0, 0)
    text = "\n".join(f"{i} {x} {y} {z} 9 99 199 0.5 0 0" for i, (x, y, z) in enumerate(rows))
    lines = ["ply", "format ascii 1.0", f"element vertex {len(rows)}"]
    lines += [f"property {kind} {name}" for kind, names in KINDS for name in names.split()]
    lines += ["end_header", *(f"{x} {y} {z} 9 99 199" for x, y, z in rows)]

    def read(path: Path) -> None:
        require_finite(load_points(path, np.eye(4), 2.0))

    return {
        "points_bin": ([binary], ".bin", read),
        "points_txt": ([text.encode()], ".txt", read),
        "points_ply": (["\n".join(lines).encode()], ".ply", read),
    }


KINDS = (("float", "x y z"), ("uchar", "red green blue"))


def record3d(scratch: Path) -> dict[str, tuple]:
    """Record3D's archives and their depth, where the module for the latter is installed."""
    if importlib.util.find_spec("lzfse") is None:
        return {}
    import lzfse  # pyright: ignore[reportMissingImports]

    metres = np.random.default_rng(0).uniform(1, 3, (SIDE, SIDE)).astype("<f4")

    def read(path: Path) -> None:
        require_finite(read_depth(path, None, (SIDE, SIDE)))

    archive = scratch / "walk.r3d"
    write_record3d(archive, 2)

    def capture(path: Path) -> None:
        grid = open_capture(CaptureOptions(path))
        assert grid.cameras is not None
        require_finite(grid.cameras.world_to_camera)

    return {
        "record3d_depth": ([lzfse.compress(metres.tobytes())], ".depth", read),
        "record3d_file": ([archive.read_bytes()], ".r3d", capture),
    }


def networks(scratch: Path) -> dict[str, tuple]:
    """Networks of depth in ONNX's format, where the modules that write and run them are there."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")):
        return {}
    from published_graphs import published

    files = [published(scratch, name).read_bytes() for name in ("da2", "moge2")]
    frame = np.zeros((28, 28, 3), np.uint8)

    def read(path: Path) -> None:
        require_finite(load_estimator(str(path))(frame))

    return {"onnx": (files, ".onnx", read)}


def require_finite(*arrays: np.ndarray) -> None:
    """Raise AssertionError for NaN and infinite numbers, which a reader must refuse."""
    assert all(np.isfinite(array).all() for array in arrays), "numbers that are not finite"
