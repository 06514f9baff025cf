"""Scenes that no file can hold or no reader takes are refused before anything is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import (
    FormatError,
    Gaussians,
    deforming,
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


@pytest.mark.usefixtures("unchecked")
def test_other_kinds_of_scenes_are_refused_or_taken_at_an_instant(tmp_path):
    bent = deforming(scene(), 3, jax.random.key(0))
    for save, wrong in (
        (save_packed_ply, still(scene())),
        (save_splat, bent),
        (save_dynamic_ply, bent),
        (save_dynamic_ply, scene()),
    ):
        with pytest.raises(FormatError, match=f"scene: found {type(wrong).__name__}"):
            save(tmp_path / "bad.x", wrong)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())
    save_ply(tmp_path / "bent.ply", bent, time=0.5)
    np.testing.assert_array_equal(load_ply(tmp_path / "bent.ply").means, bent.at(0.5).means)


def test_packed_files_hold_ranges_wider_than_a_float(tmp_path):
    ends = jnp.array([-3e38, 0.0, 3e38])
    wide = scene()._replace(means=scene().means.at[:3, 0].set(ends))
    save_packed_ply(tmp_path / "wide.ply", wide)
    x = np.sort(load_ply(tmp_path / "wide.ply").means[:, 0])
    np.testing.assert_allclose(x[[0, -1]], ends[jnp.array([0, 2])])
    assert np.abs(x[1:-1]).max() < 6e38 / 2**11  # a step of the format


@pytest.mark.parametrize("length", [1e-30, 1e30])
@pytest.mark.parametrize(("save", "load"), [(save_packed_ply, load_ply), (save_splat, load_splat)])
def test_rotations_of_any_length_are_kept(tmp_path, save, load, length):
    one = jax.tree.map(lambda x: x[:1], scene())
    turned = jnp.array([[0.5, -0.5, 0.5, 0.5]])
    save(tmp_path / "one.x.ply", one._replace(quaternions=turned * length))
    np.testing.assert_allclose(load(tmp_path / "one.x.ply").quaternions, turned, atol=1e-2)
