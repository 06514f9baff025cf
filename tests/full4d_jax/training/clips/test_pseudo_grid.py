"""Planar warps: against OpenCV, and that they never look over the border."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.training.clips.pseudo_views import CORNERS, VIDEO_PER_CROP, pseudo_grid, warp_path


def smooth_video(frames: int = 3, side: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, (frames, 8, 8, 3)).astype(np.float32)
    resize = [cv2.resize(x, (side, side), interpolation=cv2.INTER_CUBIC) for x in noise]
    return np.clip(np.stack(resize), 0, 1)


def test_paths_start_at_the_centre_and_stay_inside():
    keys = jax.random.split(jax.random.key(0), 500)
    paths = np.asarray(jax.jit(jax.vmap(lambda key: warp_path(key, 4)))(keys))
    centre = np.diag([1 / VIDEO_PER_CROP, 1 / VIDEO_PER_CROP, 1])
    np.testing.assert_allclose(paths[:, 0], np.broadcast_to(centre, (500, 3, 3)), atol=1e-6)
    corners = paths @ CORNERS.T
    assert (corners[:, :, 2] > 0.3).all()
    assert np.abs(corners[:, :, :2] / corners[:, :, 2:]).max() < 1 + 1e-5
    affine = np.abs(paths[:, :, 2, :2]).max((1, 2)) == 0
    assert 0.4 < affine.mean() < 0.6
    assert np.abs(paths[:, -1, :2, 2]).max() > 0.1


def test_views_are_those_of_opencv():
    video, key, side = smooth_video(), jax.random.key(3), 32
    found = np.asarray(pseudo_grid(key, jnp.asarray(video), 4, side, side))
    # From pixels of the crop to those of the video, centres of pixels at integers as in OpenCV.
    to_unit = np.array([[2 / side, 0, 1 / side - 1], [0, 2 / side, 1 / side - 1], [0, 0, 1]])
    from_unit = np.linalg.inv([[2 / 48, 0, 1 / 48 - 1], [0, 2 / 48, 1 / 48 - 1], [0, 0, 1]])
    for view, homography in enumerate(np.asarray(warp_path(key, 4))):
        matrix = from_unit @ homography @ to_unit
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        border = cv2.BORDER_REPLICATE
        for time in range(3):
            expected = cv2.warpPerspective(
                video[time], matrix, (side, side), flags=flags, borderMode=border
            )
            # OpenCV interpolates with 1/32 of a pixel.
            np.testing.assert_allclose(found[view, time], expected, atol=0.02)
