"""A packed scene that bends is read back closely by the viewer."""

import jax
import jax.numpy as jnp
import numpy as np
from moving_scene import bending_scene, random_scene

from full4d_jax.scene.packing import pack_scene
from gaussians.formats.scene_files import sigmoid
from gaussians.rotation import rotation_matrix


def unpack_rotations(packed: np.ndarray) -> np.ndarray:
    """The quaternions (g 4) in 32 bits each, as splats.vert reads them."""
    levels = np.stack([packed >> shift & 1023 for shift in (0, 10, 20)], -1)
    three = (levels - 511.5) / 511.5 * np.sqrt(0.5)
    four = np.sqrt(np.maximum(0, 1 - (three**2).sum(-1)))
    rows = [
        np.insert(row, index, x)
        for row, x, index in zip(three, four, packed >> 30, strict=True)
    ]
    return np.array(rows)


def angles_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Radians between rotations given as quaternions of any length."""
    left, right = (
        np.asarray(rotation_matrix(jnp.asarray(x, jnp.float32))) for x in (a, b)
    )
    # Of the small angle, the chord is exact where the trace would cancel.
    return np.linalg.norm(left - right, axis=(1, 2)) / np.sqrt(2)


def kept(scene) -> np.ndarray:
    return sigmoid(np.asarray(scene.gaussians.logit_opacities)) > 1 / 255


def test_what_is_never_drawn_is_left_out():
    scene = random_scene(5)
    means = np.array(scene.gaussians.means)
    means[0, 1], means[1, 2] = np.nan, 1e16
    hidden = scene.gaussians.logit_opacities.at[:].set(2.0).at[2].set(-9.0)
    gaussians = scene.gaussians._replace(
        means=jnp.asarray(means), logit_opacities=hidden
    )
    moments = scene.moments.at[3].set(jnp.inf)
    packed = pack_scene(scene._replace(gaussians=gaussians, moments=moments))
    np.testing.assert_array_equal(packed.records["position"], means[4:])


def test_between_samples_a_bending_scene_is_where_its_network_takes_it():
    scene = bending_scene(400)
    packed, seen = pack_scene(scene), kept(scene)
    assert packed.instants.dtype.itemsize == 16
    at = jax.jit(type(scene).at)
    start, later = at(scene, 0.0), at(scene, 0.4)
    moved = np.linalg.norm(np.asarray(later.means - start.means), axis=1).mean()
    assert moved > 0.1  # so that the bounds below say something
    for time in (0.0, 0.21, 0.5, 0.77, 1.0):
        place = time * (packed.instants.shape[1] - 1)
        before = min(int(place), packed.instants.shape[1] - 2)
        share = place - before
        first, second = packed.instants[:, before], packed.instants[:, before + 1]

        def between(name: str, a=first, b=second, share=share) -> np.ndarray:
            return (1 - share) * a[name].astype(float) + share * b[name].astype(float)

        truth = at(scene, np.float32(time))
        means = packed.records["position"] + between("offset")
        error = np.linalg.norm(means - np.asarray(truth.means)[seen], axis=1)
        assert error.mean() < 0.02 * moved
        assert error.max() < 0.15 * moved
        wanted = np.asarray(truth.log_scales)[seen]
        assert np.abs(between("log_scale") - wanted).mean() < 0.004
        p, q = (unpack_rotations(each["rotation"]) for each in (first, second))
        q *= np.sign((p * q).sum(1, keepdims=True))
        wanted = np.asarray(truth.quaternions)[seen]
        turned = angles_between((1 - share) * p + share * q, wanted)
        assert np.degrees(turned.mean()) < 0.4
