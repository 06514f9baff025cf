"""The first scene: where its points lie and which of them stand still."""

import jax
import jax.numpy as jnp
import numpy as np
from handheld_clips import LENS, arc, film

from gaussians.fitting.initialization import initialize
from gaussians.fitting.stillness import still_points
from input_pipeline.pinhole import unproject


def capture():
    """Two cameras before a slanted plane; the right half of view 0 flickers."""
    v, t, h, w = 2, 3, 12, 16
    intrinsics = np.tile(np.array([[14.0, 0, 8], [0, 14.0, 6], [0, 0, 1]]), (v, 1, 1))
    poses = np.tile(np.eye(4), (v, t, 1, 1))
    poses[1, :, 0, 3] = -0.3
    x = (np.arange(w) + 0.5 - 8) / 14
    # World z = 1 + 0.2 X, seen from X = 0 and X = 0.3.
    depth = np.stack([(1 + 0.2 * 0.3 * k) / (1 - 0.2 * x) for k in range(v)])
    depth = np.broadcast_to(depth[:, None, None], (v, t, h, w)).copy()
    depth[:, :, 0] = 0  # unknown
    frames = np.full((v, t, h, w, 3), 0.5)
    frames[0, :, :, 8:] = np.array([0.1, 0.5, 0.9])[:, None, None, None]
    return [jnp.float32(a) for a in (frames, depth, intrinsics, poses)]


def test_points_lie_on_the_surface_with_the_colour_and_time_of_their_pixel():
    frames, depth, lens, poses = capture()
    scene = initialize(frames, depth, lens, poses, 300, jax.random.key(0), sh_degree=1)
    x, _, z = scene.gaussians.means.T
    np.testing.assert_allclose(z, 1 + 0.2 * x, atol=1e-5)
    assert scene.gaussians.harmonics.shape == (300, 4, 3)
    moving = np.asarray(scene.logit_gates) < 0
    rgb = np.asarray(scene.gaussians.harmonics[:, 0, 0]) * 0.28209479 + 0.5
    moments = np.asarray(scene.moments)
    expected = np.asarray(np.interp(moments, [0, 0.5, 1], [0.1, 0.5, 0.9]))
    np.testing.assert_allclose(rgb[moving], expected[moving], atol=1e-5)
    np.testing.assert_allclose(rgb[~moving], 0.5, atol=1e-5)
    assert 0 < moving.sum() <= 11 * 8 * 3
    assert (np.asarray(scene.log_durations)[moving] < -1).all()
    # A pixel is about 1 / 14 wide at depth 1; nothing is much larger or smaller.
    sizes = np.exp(np.asarray(scene.gaussians.log_scales))
    assert sizes.min() > 0.3 / 14
    assert sizes.max() < 3 / 14


def test_whoever_stands_for_a_while_and_goes_is_not_always_there():
    """A dark thing hides a grey wall at the right for three instants of four, in one view."""
    frames, depth, intrinsics, poses = (np.asarray(x[:1]) for x in capture())
    frames, depth, poses = (np.repeat(x[:, :1], 4, 1) for x in (frames, depth, poses))
    frames[:] = 0.5
    frames[:, :3, 1:, 8:], depth[:, :3, 1:, 8:] = 0.1, 0.4
    scene = initialize(frames, depth, intrinsics, poses, 700, jax.random.key(0))
    always = np.asarray(scene.logit_gates) > 0
    dark = np.asarray(scene.gaussians.harmonics[:, 0, 0]) * 0.28209479 + 0.5 < 0.3
    assert dark.any()
    assert not (always & dark).any()
    assert (np.asarray(scene.moments)[dark] < 0.7).all()
    # The wall that it hides is seen at one instant only, and stays.
    behind = always & (np.asarray(scene.gaussians.means[:, 0]) > 0.1)
    assert behind.any()


SIDE = 50  # pixels of something that crosses the picture


def clip():
    """The room with a dark thing before it, which crosses; and where that is."""
    frames, depth = film(arc(5))
    frames, depth = frames / 255, depth.astype(np.float64)
    thing = np.zeros(depth.shape, bool)
    for i in range(len(frames)):
        thing[i, 40 : 40 + SIDE, 10 + 45 * i : 10 + 45 * i + SIDE] = True
    frames[thing], depth[thing] = 0.02, 0.4
    return frames, depth, thing


def test_gaussians_of_a_moving_camera_last_where_the_room_stands_still():
    frames, depth, thing = clip()
    pictures, maps, lenses, poses = (
        jnp.asarray(x[None], jnp.float32) for x in (frames, depth, LENS, arc(5))
    )
    scene = initialize(pictures, maps, lenses, poses, 4000, jax.random.key(0))
    lasting = np.asarray(scene.logit_gates) > 0
    assert 0.2 < lasting.mean() < 1
    pairs = zip(depth, arc(5), strict=True)
    points = np.stack([unproject(z, LENS, pose) for z, pose in pairs])
    dark = points[thing]
    for chosen, near in ((lasting, False), (~lasting, True)):
        means = np.asarray(scene.gaussians.means)[chosen][:200]
        away = np.linalg.norm(means[:, None] - dark[None, ::50], axis=-1).min(1)
        assert (away < 0.05).mean() > 0.1 if near else (away > 0.05).mean() > 0.95


def test_a_wall_is_still_in_the_middle_of_a_pan_whose_every_second_picture_tells_nothing():
    """Each picture shares half of its columns with the next but one, and none with later ones."""
    count, height, width = 31, 16, 32
    wall = np.random.default_rng(0).uniform(size=(height, 8 * count + width, 3))
    frames = np.stack([wall[:, 8 * t : 8 * t + width] for t in range(count)])
    depth = np.ones((count, height, width))
    lens = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = -8 * np.arange(count) / width
    passing = np.zeros(depth.shape, bool)
    passing[1::2] = True
    still, again = still_points(frames, depth, lens, poses, passing)
    assert still[14].mean() > 0.45
    assert not still[1::2].any()
    assert again[14].mean() > 0.45
