"""A lift that is killed goes on where it was; nothing else is taken for its rest."""

import dataclasses

import jax
import numpy as np
import pytest
from random_grids import noisy_wall

from full4d_jax.config import LiftConfig
from full4d_jax.scene.fit_checkpoint import PartialFit
from full4d_jax.scene.scene_reader import from_arrays, to_arrays
from full4d_jax.scene.source_fit import lift_grid
from gaussians import DeformingGaussians, DynamicGaussians


@pytest.mark.parametrize("motion", ["freetime", "deformation"])
@pytest.mark.slow
def test_a_killed_lift_goes_on_to_the_same_bits(tmp_path, motion):
    said: list[str] = []
    partial = PartialFit(tmp_path / "fit.npz", "this one", said.append)

    def killed(step, metrics):
        if step == 200:
            raise KeyboardInterrupt

    def run(**options):
        settings = LiftConfig(
            steps=250, capacity=100, motion=motion, distillation="none"
        )
        grid = noisy_wall(2, 2, 16)
        return to_arrays(lift_grid(settings, grid, jax.random.key(0), **options))

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(report=killed, partial=partial)
    steps: list[int] = []
    resumed = run(report=lambda step, metrics: steps.append(step), partial=partial)
    assert steps == [250]
    assert said == [f"fitting goes on after step 200 from {tmp_path / 'fit.npz'}"]
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])
    kind = {"freetime": DynamicGaussians, "deformation": DeformingGaussians}[motion]
    again = from_arrays(whole)
    assert isinstance(again, kind)
    assert again.gaussians.means.shape == (100, 3)

    # the file of another fit, or of another version of the program, is no use
    steps.clear()
    other = dataclasses.replace(partial, mark="another")
    run(report=lambda step, metrics: steps.append(step), partial=other)
    assert steps == [100, 200, 250]
    np.savez(partial.path, mark=np.array("this one"), leaf_0=np.zeros(3))
    run(partial=partial)
    partial.remove()
    assert list(tmp_path.iterdir()) == []
