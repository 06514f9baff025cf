"""One rig of cameras, written in the layout of each test."""

import numpy as np
import pytest

from input_pipeline import cameras


@pytest.fixture
def rig():
    """Three cameras around (0, 0, 1): names, intrinsics (3 3) and poses (3 4 4) of 24x32 pixels."""
    poses = cameras.orbit(np.array([-30.0, 0.0, 30.0]), np.array([10.0, 0.0, -5.0]), 2.0)
    lens = np.array([[40.0, 0, 16], [0, 40.0, 12], [0, 0, 1]])
    return ["cam1", "cam2", "cam10"], lens, poses


@pytest.fixture
def check():
    """A function that compares views with the rig's poses and intrinsics, in its order."""

    def check_views(views, poses, lens):
        assert len(views) == len(poses)
        for view, pose in zip(views, poses, strict=True):
            np.testing.assert_allclose(view.world_to_camera[0], pose, atol=1e-9)
            np.testing.assert_allclose(view.intrinsics, lens, atol=1e-9)

    return check_views
