"""Scenes that no file can hold or no reader takes are refused before anything is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import (
    FormatError,
    Gaussians,
    load_ply,
    load_splat,
    save_dynamic_ply,
    save_packed_ply,
    save_ply,
    save_splat,
    still,
)

WRITERS = [save_ply, save_packed_ply, save_splat, save_dynamic_ply]


def scene() -> Gaussians:
    rng = np.random.default_rng(0)
    shapes = ((9, 3), (9, 4), (9, 3), (9,), (9, 1, 3))
    return Gaussians(*(jnp.float32(rng.normal(size=s)) for s in shapes))


def several(count=2):
    return jax.tree.map(lambda x: jnp.stack([x] * count), scene())


@pytest.mark.parametrize("save", WRITERS)
@pytest.mark.parametrize(
    "bad",
    [
        lambda s: Gaussians(*(x[:0] for x in s)),
        lambda s: s._replace(logit_opacities=jnp.full(9, np.nan)),
        lambda _: several(),
        lambda s: s._replace(means=s.means[:5]),
        lambda s: s._replace(harmonics=jnp.zeros((9, 5, 3))),
    ],
)
def test_scenes_that_no_reader_would_take_are_not_written(tmp_path, save, bad):
    wrong = bad(scene())
    if save is save_dynamic_ply:
        wrong = still(scene())._replace(gaussians=wrong)
    with pytest.raises(FormatError, match=r"bad\.x: "):
        save(tmp_path / "bad.x", wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [1e-30, 1e30])
@pytest.mark.parametrize(("save", "load"), [(save_packed_ply, load_ply), (save_splat, load_splat)])
def test_rotations_of_any_length_are_kept(tmp_path, save, load, length):
    one = jax.tree.map(lambda x: x[:1], scene())
    turned = jnp.array([[0.5, -0.5, 0.5, 0.5]])
    save(tmp_path / "one.x.ply", one._replace(quaternions=turned * length))
    np.testing.assert_allclose(load(tmp_path / "one.x.ply").quaternions, turned, atol=1e-2)
