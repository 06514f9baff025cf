"""Gaussians of a moving camera: the walls of a room last, not what passes before them."""

import jax
import jax.numpy as jnp
import numpy as np
from handheld_clips import LENS, arc, film

from gaussians.fitting.initialization import initialize
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
