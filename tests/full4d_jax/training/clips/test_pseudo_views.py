"""Views of one video: planar warps against OpenCV, and double reprojection with known depth."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.training.clips.pseudo_views import (
    CORNERS,
    VIDEO_PER_CROP,
    pseudo_grid,
    several_views,
    two_views,
    warp_path,
)
from input_pipeline.procedural.scene import procedural_scene


def smooth_video(frames: int = 3, side: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, (frames, 8, 8, 3)).astype(np.float32)
    resize = [cv2.resize(x, (side, side), interpolation=cv2.INTER_CUBIC) for x in noise]
    return np.clip(np.stack(resize), 0, 1)


def test_paths_start_at_the_centre_and_stay_inside():
    keys = jax.random.split(jax.random.key(0), 500)
    paths = np.asarray(jax.jit(jax.vmap(lambda key: warp_path(key, 4)))(keys))
    centre = np.diag([1 / VIDEO_PER_CROP, 1 / VIDEO_PER_CROP, 1])
    np.testing.assert_allclose(
        paths[:, 0], np.broadcast_to(centre, (500, 3, 3)), atol=1e-6
    )
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
    to_unit, of_video = (
        np.array([[2 / n, 0, 1 / n - 1], [0, 2 / n, 1 / n - 1], [0, 0, 1]])
        for n in (side, 48)
    )
    from_unit = np.linalg.inv(of_video)
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


SIZE = 48
jitted_project = jax.jit(project_video)


@pytest.fixture(scope="module")
def clip():
    """A rich scene of two instants, its source at rest."""
    draw = partial(procedural_scene, views=2, frames=2, worlds="rich", orbit=True)
    return jax.jit(partial(draw, height=SIZE, width=SIZE, azimuths=jnp.array([8.0])))(4)


def test_source_is_what_another_camera_sees(clip):
    """With true depth: rendered there, the scene has the colours that are drawn."""
    video, pose = 2 * clip.frames[0] - 1, clip.world_to_camera[1, 0]
    made, _ = jax.jit(two_views)(video, clip.depth[0], clip.intrinsics[0], pose)
    rendered, seen = 2 * clip.frames[1] - 1, made.depth > 0
    assert 0.5 < seen.mean() < 1
    error = np.abs(np.asarray(made.frames[0] - rendered)).mean(-1)
    assert np.median(error[seen]) < 0.05
    ratio = np.asarray(made.depth / clip.depth[1])[seen]
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.01


def test_turned_views_agree_with_their_cameras(clip):
    """The source, drawn into each target view, has the colours of its pictures."""
    video = 2 * clip.frames[0] - 1
    pose = clip.world_to_camera[1, 0]
    draw = jax.jit(partial(several_views, size=(4, 32, 32)))
    lens = clip.intrinsics[0]
    made = draw(jax.random.key(0), video, clip.depth[0], lens, pose)
    assert made.frames.shape == (4, 2, 32, 32, 3)
    np.testing.assert_array_equal(made.frames[1], video[:, 8:40, 8:40])
    assert np.median(made.depth[0][made.depth[0] > 0]) == pytest.approx(1, abs=1e-5)
    back = jitted_project(made.frames[0], made.depth, made.cameras)
    for view in (1, 2, 3):
        error = np.abs(np.asarray(back.frames[view - 1] - made.frames[view])).mean(-1)
        seen = np.asarray(back.mask[view - 1]) > 0
        assert seen.mean() > 0.4
        assert np.median(error[seen]) < 0.05
        other = made.frames[1 + view % 3]
        away = np.abs(np.asarray(back.frames[view - 1] - other)).mean(-1)
        assert np.median(away[seen]) > 2 * np.median(error[seen])
