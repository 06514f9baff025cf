"""Further real views fill what it does not see, the nearest camera first."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import cameras_of
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.generation.several_views import project_several
from input_pipeline.procedural.scene import procedural_scene

AZIMUTHS = jnp.array([40.0, 30.0, 2.0])  # one real view, two targets


@pytest.fixture(scope="module")
def clip():
    make = partial(procedural_scene, views=4, frames=2, azimuths=AZIMUTHS)
    return jax.jit(make)(3)


@pytest.fixture(scope="module")
def both(clip):
    frames = 2 * clip.frames[:2] - 1
    depth = clip.depth[:2]
    cameras = cameras_of(clip)
    one = jax.jit(project_video)(frames[0], depth[0], cameras)
    return one, jax.jit(project_several)(frames, depth, cameras)


def test_a_second_view_fills_holes_of_the_first(clip, both):
    one, two = both
    assert float(two.mask.mean()) > float(one.mask.mean()) + 0.05
    assert bool((two.mask >= one.mask).all())
    truth, new = clip.frames[2], (two.mask[1] > one.mask[1])[..., None]
    error = jnp.abs(two.frames[1] / 2 + 0.5 - truth)
    assert float(jnp.median(error[jnp.broadcast_to(new, error.shape)])) < 0.05


def test_the_nearer_camera_decides(both):
    """The target at 2 degrees keeps the source's pixels, the one at 30 takes the other view's."""
    one, two = both
    apart = np.abs(np.asarray(two.frames - one.frames)) * np.asarray(one.mask)[..., None]
    assert apart[2].max() < 1e-5
    assert apart[1].max() > 0.1
