"""Double reprojection of clips whose depth is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.training.clips.pseudo_views import several_views, two_views
from input_pipeline.procedural.scene import procedural_scene

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
    np.testing.assert_allclose(np.median(np.abs(ratio / np.median(ratio) - 1)), 0, atol=0.01)


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
        away = np.abs(np.asarray(back.frames[view - 1] - made.frames[1 + view % 3])).mean(-1)
        assert np.median(away[seen]) > 2 * np.median(error[seen])
