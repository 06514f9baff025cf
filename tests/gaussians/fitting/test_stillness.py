"""What stands still before a moving camera: the walls of a room, not what passes before them."""

import jax
import jax.numpy as jnp
import numpy as np
from handheld_clips import LENS, arc, film

from gaussians.fitting.initialization import initialize
from gaussians.fitting.stillness import shows_farthest, still_points
from input_pipeline.cameras import unproject

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


def test_walls_stand_still_and_are_taken_once():
    frames, depth, thing = clip()
    still, again = still_points(frames, depth, LENS, arc(5), 0.25)
    assert still[~thing].mean() > 0.7
    assert still[thing].mean() < 0.05
    assert not again[0].any()
    assert again[1:][still[1:]].mean() > 0.8


def test_gaussians_of_a_moving_camera_last_where_the_room_stands_still():
    frames, depth, thing = clip()
    pictures, maps, lenses, poses = (
        jnp.asarray(x[None], jnp.float32) for x in (frames, depth, LENS, arc(5))
    )
    scene = initialize(pictures, maps, lenses, poses, 4000, jax.random.key(0))
    lasting = np.asarray(scene.logit_gates) > 0
    assert 0.2 < lasting.mean() < 1
    points = np.stack([unproject(z, LENS, pose) for z, pose in zip(depth, arc(5), strict=True)])
    dark = points[thing]
    for chosen, near in ((lasting, False), (~lasting, True)):
        means = np.asarray(scene.gaussians.means)[chosen][:200]
        distance = np.linalg.norm(means[:, None] - dark[None, ::50], axis=-1).min(1)
        assert (distance < 0.05).mean() > 0.1 if near else (distance > 0.05).mean() > 0.95


def test_one_depth_that_is_little_farther_than_the_others_is_an_outlier():
    depth = np.full((8, 2, 2), 2.0)
    depth[3, 0, 0] = 2.1  # a rim, filled in from behind
    depth[4:6, 0, 0] = 1.0  # somebody passes before it
    depth[3, 1, 1] = 3.0  # what somebody hides at all other instants
    rests = shows_farthest(depth)
    assert rests[:, 0, 0].tolist() == [True] * 4 + [False] * 2 + [True] * 2
    assert rests[:, 1, 1].tolist() == [False] * 3 + [True] + [False] * 4
