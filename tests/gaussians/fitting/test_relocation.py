"""Relocation: what it keeps, whom it moves, and that the picture hardly changes."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.fitting.relocation import dead, relocate, split, with_room
from gaussians.motion import still


@pytest.fixture
def scene(make_scene):
    """A function of opacities: a still scene that has them."""

    def make(opacities):
        opacities = np.asarray(opacities, np.float64)
        logits = jax.device_put(np.float32(np.log(opacities / (1 - opacities))))
        return still(make_scene(len(opacities))._replace(logit_opacities=logits))

    return make


@pytest.mark.parametrize(("opacity", "copies"), [(0.02, 2), (0.97, 16)])
def test_shares_follow_the_double_sum_of_the_paper(scene, opacity, copies):
    gaussians = scene([opacity]).gaussians
    shared = jax.jit(split)(gaussians, jnp.array([copies]))
    o = 1 - (1 - opacity) ** (1 / copies)
    np.testing.assert_allclose(jax.nn.sigmoid(shared.logit_opacities), o, rtol=1e-4)
    series = sum(
        comb(i - 1, k) * (-1) ** k * o ** (k + 1) / np.sqrt(k + 1)
        for i in range(1, copies + 1)
        for k in range(i)
    )
    ratio = np.exp(np.asarray(shared.log_scales - gaussians.log_scales))
    np.testing.assert_allclose(ratio, opacity / series, rtol=1e-4)


def test_the_dead_move_onto_the_living_and_moments_restart_at_both_ends(scene):
    opacities = np.full(400, 0.002)
    opacities[:100] = np.linspace(0.1, 0.9, 100)
    before = scene(opacities)
    jitted = jax.jit(relocate, static_argnames="growth")
    ones = before.map_gaussians(jnp.ones_like)
    after, (mu, nu) = jitted(before, (ones, ones), jax.random.key(0), growth=0.5)
    assert int(dead(before.gaussians).sum()) == 300
    assert int(dead(after.gaussians).sum()) == 250  # half as many as lived came back
    old, new = np.asarray(before.gaussians.means), np.asarray(after.gaussians.means)
    moved = (old != new).any(1)
    assert moved.sum() == 50
    assert not moved[:100].any()
    assert all((row == old[:100]).all(1).any() for row in new[moved])
    logits = [scene.gaussians.logit_opacities for scene in (before, after)]
    changed = np.asarray(logits[0] != logits[1])
    kept = np.where(changed[:, None], 0.0, 1.0)
    assert changed[:100].sum() > 20
    for moment in (mu, nu):
        for leaf in jax.tree.leaves(moment):
            rows = np.asarray(leaf).reshape(400, -1)
            np.testing.assert_array_equal(rows, kept + 0 * rows)
    # the opaque are copied more often
    chosen = changed[:100]
    assert opacities[:100][chosen].mean() > opacities[:100].mean()


def test_room_is_dead_and_what_was_there_stays(scene):
    before = scene([0.5, 0.9])
    after = with_room(before, 5)
    assert dead(after.gaussians).tolist() == [False, False, True, True, True]
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        assert a.shape[0] == 5
        np.testing.assert_array_equal(a[:2], b)
    with pytest.raises(ValueError, match="capacity 1 is less than the 2 Gaussians"):
        with_room(before, 1)
