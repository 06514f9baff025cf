"""Contributions of Gaussians, against pictures that `render` draws without them."""

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import cameras

from full4d_jax.scene import contributions as module
from gaussians import Camera, Gaussians, render
from gaussians.motion import still
from input_pipeline.pinhole import resize_intrinsics

PIXELS = 2**14  # of pictures, fewer than usual
APART = np.column_stack([np.linspace(-0.4, 0.4, 5), np.full(5, -0.2), np.ones(5)])
OPACITIES = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


def scene() -> Gaussians:
    """White spots beside each other."""
    arrays = (
        APART,
        np.tile([1, 0, 0, 0], (5, 1)),
        np.full((5, 3), np.log(0.02)),
        np.log(OPACITIES / (1 - OPACITIES)),
        np.full((5, 1, 3), 1.7),
    )
    return Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))


@pytest.fixture(scope="module")
def added() -> np.ndarray:
    """Contributions for an orbit that stays at the first camera."""
    pivot = np.array([0.0, 0.0, 1.0])
    up = np.array([0.0, -1.0, 0.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PICTURE_PIXELS", PIXELS)
        return module.contributions(still(scene()), cameras(), pivot, up, (0.0, 0.0))


def test_it_is_the_mean_of_pixels_and_of_the_distance_to_pictures_without_it(added):
    seen = cameras()
    scale = (PIXELS / (seen.width * seen.height)) ** 0.5
    lens = resize_intrinsics(np.asarray(seen.intrinsics[0]), rows=scale, columns=scale)
    size = round(seen.width * scale), round(seen.height * scale)
    camera = Camera(jnp.eye(4), jnp.asarray(lens), *size)
    gaussians = scene()

    def without(i: int | None) -> np.ndarray:
        logits = gaussians.logit_opacities
        logits = logits if i is None else logits.at[i].set(-20.0)
        shown = gaussians._replace(logit_opacities=logits)
        return np.asarray(
            render(shown, camera, antialiased=True, max_intersections=2**14).rgb
        )

    whole = without(None)
    expected = []
    for i in range(len(OPACITIES)):
        change = whole - without(i)
        pixels = change[..., 0].sum() / change[..., 0].max() * OPACITIES[i]
        expected.append(np.sqrt(pixels * np.linalg.norm(change)))
    # Random signs give the distance to about a fifth, and of five equal views the largest counts.
    np.testing.assert_allclose(added, expected, rtol=0.25)
