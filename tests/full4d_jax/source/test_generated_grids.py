"""A generator's folder is a grid of generated pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from full4d_jax.grid import Origin, all_real, grid_arrays, grid_from
from full4d_jax.media.video import write_video
from full4d_jax.source.capture_source import open_capture
from full4d_jax.source.options import CaptureOptions
from input_pipeline.cameras import intrinsics_from_fov, invert, orbit

VIEWS = 9
INSTANTS = 6
FPS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine films of 4DAnyone's layout of a ball that grows, 48x32 pixels before black."""
    path = tmp_path_factory.mktemp("generated") / "clip"
    poses = orbit(40.0 * np.arange(VIEWS), np.zeros(VIEWS), 1.0, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(40.0, 48, 32)
    y, x = np.mgrid[:48, :32] + 0.5
    off = np.hypot(x - 16, y - 24)
    film = np.zeros((INSTANTS, 48, 32, 3), np.uint8)
    for instant in range(INSTANTS):
        film[instant, off < 8 + instant] = [200, 80, 40]
    (path / "videos/dense").mkdir(parents=True)
    cameras = []
    for view, pose in enumerate(poses):
        name = f"videos/dense/{view:02d}.mp4"
        write_video(path / name, film, FPS)
        camera = {
            "camera_id": view,
            "K": lens.tolist(),
            "camera_to_world": invert(pose).tolist(),
            "image_width": 32,
            "image_height": 48,
            "video": name,
        }
        cameras.append(camera)
    table = {"camera_model": "OPENCV", "cameras": cameras}
    (path / "cameras.json").write_text(json.dumps(table))
    return path


def test_generated_pictures_are_thinned_out_and_said_to_be_generated(folder):
    grid = open_capture(CaptureOptions(folder))
    assert grid.only_generated
    assert (grid.origin != Origin.REAL).all()
    assert grid.frames.shape == (VIEWS, 2, 48, 32, 3)  # 8 frames a second of 24
    np.testing.assert_allclose(grid.fps, 8, rtol=0.01)
    assert grid_from(grid_arrays(grid)).only_generated
    assert not replace(grid, origin=all_real(grid.frames)).only_generated
