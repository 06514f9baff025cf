"""Drawings of cameras turn the right way."""

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from input_pipeline import pinhole


def test_a_camera_to_the_right_and_above_is_drawn_there():
    intrinsics = np.stack([pinhole.intrinsics_from_fov(60.0, 32, 32)] * 2)
    poses = pinhole.orbit(np.array([0.0, 50.0]), np.array([0.0, 40.0]))[:, None]
    drawing = pictures.frustums(Cameras(intrinsics, poses, 32, 32), side=100).astype(
        int
    )

    def middle(panel: np.ndarray, channel: int) -> np.ndarray:
        others = panel.sum(-1) - panel[..., channel]
        return np.argwhere(panel[..., channel] > others / 2 + 60).mean(0)

    above, beside = drawing[:100], drawing[100:]
    # Blue target right of the red source.
    assert middle(above, 2)[1] > middle(above, 0)[1] + 10
    assert middle(above, 2)[0] < middle(above, 0)[0]  # and nearer to the pivot in z
    assert middle(beside, 2)[0] < middle(beside, 0)[0] - 10  # and higher
