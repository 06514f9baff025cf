"""Scenes that no file can hold or no reader takes are refused before anything is written."""

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import (
    FormatError,
    Gaussians,
    save_dynamic_ply,
    save_packed_ply,
    save_ply,
    save_splat,
    still,
)

WRITERS = [save_ply, save_packed_ply, save_splat, save_dynamic_ply]


@pytest.mark.parametrize("save", WRITERS)
@pytest.mark.parametrize(
    "bad",
    [
        lambda s: Gaussians(*(x[:0] for x in s)),
        lambda s: s._replace(logit_opacities=jnp.full(9, np.nan)),
        lambda s: s._replace(means=s.means[:5]),
    ],
)
def test_scenes_that_no_reader_would_take_are_not_written(tmp_path, save, bad, make_scene):
    wrong = bad(make_scene(9))
    if save is save_dynamic_ply:
        wrong = still(make_scene(9))._replace(gaussians=wrong)
    with pytest.raises(FormatError, match=r"bad\.x: "):
        save(tmp_path / "bad.x", wrong)
    assert not list(tmp_path.iterdir())
