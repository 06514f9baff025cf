"""`.splat` files: the layout byte by byte, what 8 bits keep, and another tool's reading."""

import struct

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.ply import load_ply
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.formats.splat import load_splat, save_splat
from gaussians.types import Gaussians


def test_the_layout_is_32_bytes_a_gaussian(tmp_path):
    one = Gaussians(
        means=jnp.array([[1.0, -2.0, 3.0]]),
        quaternions=jnp.array([[0.0, -2.0, 0.0, 0.0]]),
        log_scales=jnp.log(jnp.array([[0.5, 0.25, 0.125]])),
        logit_opacities=jnp.array([-1e6]),
        harmonics=jnp.array([[[1.7724539, 0.0, -9.0]]]),  # sqrt(pi): mean colour 1
    )
    save_splat(tmp_path / "one.splat", one)
    content = (tmp_path / "one.splat").read_bytes()
    numbers = struct.unpack("<6f", content[:24])
    np.testing.assert_allclose(numbers, [1, -2, 3, 0.5, 0.25, 0.125])
    assert list(content[24:28]) == [255, 128, 0, 0]
    assert list(content[28:]) == [128, 0, 128, 128]


def test_round_trip_within_the_steps_of_the_format(tmp_path, make_scene):
    scene = make_scene(500, degree=1)
    save_splat(tmp_path / "scene.splat", scene)
    assert (tmp_path / "scene.splat").stat().st_size == 500 * 32
    again = load_splat(tmp_path / "scene.splat")
    np.testing.assert_array_equal(again.means, scene.means)
    np.testing.assert_allclose(again.log_scales, scene.log_scales, atol=1e-6)
    after, before = (sigmoid(np.asarray(x.logit_opacities)) for x in (again, scene))
    np.testing.assert_allclose(after, before, atol=0.5 / 255 + 1e-6)
    step = 0.5 / 255 / 0.28209479
    mean = scene.harmonics[:, :1]
    np.testing.assert_allclose(again.harmonics, mean, atol=step + 1e-6)
    unit = scene.quaternions / jnp.linalg.norm(scene.quaternions, axis=1, keepdims=True)
    np.testing.assert_allclose(again.quaternions, unit, atol=1 / 128 + 1e-6)


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.splat"
    with pytest.raises(FileNotFoundError, match=r"bad\.splat"):
        load_splat(path)
    save_splat(path, make_scene(3))
    whole = path.read_bytes()
    for content in (
        b"",
        whole[:-1],
        whole[:32] + struct.pack("<f", np.nan) + whole[36:],
        whole[:12] + struct.pack("<f", -1) + whole[16:],
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"bad.splat: .+: found .+, expected"):
            load_splat(path)
    with pytest.raises(FormatError, match="a folder"):
        load_splat(tmp_path)


def test_another_tool_reads_the_same_numbers(tmp_path, make_scene, splat_transform):
    path = tmp_path / "scene.splat"
    save_splat(path, make_scene(700))
    splat_transform(path, tmp_path / "scene.ply")
    ours, theirs = load_splat(path), load_ply(tmp_path / "scene.ply")
    assert len(theirs.means) == 700
    np.testing.assert_array_equal(ours.means, theirs.means)
    np.testing.assert_allclose(ours.log_scales, theirs.log_scales, atol=1e-5)
    np.testing.assert_allclose(ours.logit_opacities, theirs.logit_opacities, atol=1e-4)
    np.testing.assert_allclose(ours.harmonics, theirs.harmonics, atol=1e-5)
    turns = ours.quaternions, theirs.quaternions
    unit = [x / jnp.linalg.norm(x, axis=1)[:, None] for x in turns]
    np.testing.assert_allclose(*unit, atol=0.012)
