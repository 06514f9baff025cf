"""What the viewer reads is close to what was packed, in no more than 40 bytes a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from moving_scene import bending_scene, random_scene

from full4d_jax.scene.packing import pack_rotations, pack_scene
from gaussians.formats.scene_files import mean_colors, sigmoid
from gaussians.rotation import rotation_matrix


def unpack_rotations(packed: np.ndarray) -> np.ndarray:
    """The quaternions (g 4) in 32 bits each, as splats.vert reads them."""
    levels = np.stack([packed >> shift & 1023 for shift in (0, 10, 20)], -1)
    three = (levels - 511.5) / 511.5 * np.sqrt(0.5)
    four = np.sqrt(np.maximum(0, 1 - (three**2).sum(-1)))
    rows = [
        np.insert(row, index, x) for row, x, index in zip(three, four, packed >> 30, strict=True)
    ]
    return np.array(rows)


def angles_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Radians between rotations given as quaternions of any length."""
    left, right = (np.asarray(rotation_matrix(jnp.asarray(x, jnp.float32))) for x in (a, b))
    # Of the small angle, the chord is exact where the trace would cancel.
    return np.linalg.norm(left - right, axis=(1, 2)) / np.sqrt(2)


def kept(scene) -> np.ndarray:
    return sigmoid(np.asarray(scene.gaussians.logit_opacities)) > 1 / 255


def test_everything_is_kept_to_the_bits_that_it_has():
    scene = random_scene(2000)
    records, seen = pack_scene(scene).records, kept(scene)
    assert 1500 < len(records) == seen.sum() < 2000
    gaussians = scene.gaussians

    def check(name: str, wanted: ArrayLike, relative: float, absolute: float) -> None:
        shown = np.asarray(wanted)[seen]
        np.testing.assert_allclose(records[name], shown, rtol=relative, atol=absolute)

    np.testing.assert_array_equal(records["position"], np.asarray(gaussians.means)[seen])
    half = 2.0**-11
    check("velocity", scene.velocities, half, 1e-6)
    check("moment", scene.moments, half, 1e-6)
    check("log_scale", gaussians.log_scales, half, 1e-6)
    check("log_duration", scene.log_durations, half, 1e-6)
    check("color", np.maximum(mean_colors(np.asarray(gaussians.harmonics)), 0), half, 1e-6)
    for name, logits in (("opacity", gaussians.logit_opacities), ("gate", scene.logit_gates)):
        shares = sigmoid(np.asarray(logits))[seen]
        np.testing.assert_allclose(records[name] / 255, shares, atol=0.5001 / 255)


def test_rotations_are_turned_by_less_than_a_quarter_of_a_degree():
    rng = np.random.default_rng(0)
    special = np.array([[1, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, -1, 1, -1]])
    quaternions = np.concatenate([special, rng.normal(size=(5000, 4))]).astype(np.float32)
    found = unpack_rotations(pack_rotations(quaternions))
    assert np.degrees(angles_between(found, quaternions).max()) < 0.25


def test_what_is_never_drawn_is_left_out():
    scene = random_scene(5)
    means = np.array(scene.gaussians.means)
    means[0, 1], means[1, 2] = np.nan, 1e16
    hidden = scene.gaussians.logit_opacities.at[:].set(2.0).at[2].set(-9.0)
    gaussians = scene.gaussians._replace(means=jnp.asarray(means), logit_opacities=hidden)
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
        turned = angles_between((1 - share) * p + share * q, np.asarray(truth.quaternions)[seen])
        assert np.degrees(turned.mean()) < 0.4
