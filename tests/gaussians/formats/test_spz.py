"""`.spz` files: the layout byte by byte, what it keeps, and another tool's reading."""

import gzip
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.ply import load_ply
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.formats.spz import load_spz, save_spz
from gaussians.types import Gaussians


def test_the_layout_is_20_bytes_a_gaussian(tmp_path):
    one = Gaussians(
        means=jnp.array([[1.0, -2.0, 3.0]]),
        quaternions=jnp.array([[0.6, 0.0, 0.8, 0.0]]),
        log_scales=jnp.array([[-10.0, -4.0, 0.0]]),
        logit_opacities=jnp.array([0.0]),
        harmonics=jnp.array([[[0.0, 1.0, -1.0]]]),
    )
    save_spz(tmp_path / "one.spz", one)
    content = gzip.decompress((tmp_path / "one.spz").read_bytes())
    bits = content[13]
    assert content[:16] == struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, bits, 0, 0)
    body = content[16:]
    assert len(body) == 20
    places = [int.from_bytes(body[i : i + 3], "little", signed=True) for i in (0, 3, 6)]
    np.testing.assert_allclose(np.array(places) / 2**bits, [1, 2, -3])  # y up, z back
    assert list(body[9:16]) == [128, 128, 166, 89, 0, 96, 160]
    # x y z w = 0 -0.8 0 0.6: y is the largest, and made positive.
    (word,) = struct.unpack("<I", body[16:])
    assert word == 1 << 30 | 0 << 20 | 0 << 10 | 1 << 9 | round(0.6 * 2**0.5 * 511)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_round_trip_within_the_steps_of_the_format(tmp_path, make_scene, degree):
    scene = make_scene(500, degree)
    scene = scene._replace(harmonics=scene.harmonics.at[:, 1:].multiply(0.2))
    save_spz(tmp_path / "scene.spz", scene)
    again = load_spz(tmp_path / "scene.spz")
    np.testing.assert_allclose(again.means, scene.means, atol=np.exp(-4) / 10)
    np.testing.assert_allclose(again.log_scales, scene.log_scales, atol=1 / 32 + 1e-5)
    after, before = (sigmoid(np.asarray(x.logit_opacities)) for x in (again, scene))
    np.testing.assert_allclose(after, before, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(again.harmonics[:, 0], scene.harmonics[:, 0], atol=0.0132)
    np.testing.assert_allclose(again.harmonics[:, 1:], scene.harmonics[:, 1:], atol=0.0041)
    unit = scene.quaternions / jnp.linalg.norm(scene.quaternions, axis=1, keepdims=True)
    alike = np.abs((np.asarray(unit) * np.asarray(again.quaternions)).sum(1))
    assert alike.min() > 1 - 1e-5


@pytest.mark.parametrize("degree", [0, 1])
def test_another_tool_sees_the_same_picture(
    tmp_path, moving, picture, psnr, splat_transform, degree
):
    scene = moving(degree).at(0.5)
    save_spz(tmp_path / "scene.spz", scene)
    splat_transform(tmp_path / "scene.spz", tmp_path / "scene.ply")
    theirs = load_ply(tmp_path / "scene.ply")
    signs = np.array([1, -1, -1, 1], np.float32)[: (degree + 1) ** 2]
    # That tool leaves the axes as they are in the file; ours turns them.
    turned = theirs._replace(
        means=jnp.asarray(np.asarray(theirs.means) * np.array([1, -1, -1], np.float32)),
        quaternions=jnp.asarray(
            np.asarray(theirs.quaternions) * np.array([1, 1, -1, -1], np.float32)
        ),
        harmonics=jnp.asarray(np.asarray(theirs.harmonics) * signs[:, None]),
    )
    ours = picture(scene)
    assert psnr(picture(turned), ours) > 40
    assert psnr(picture(load_spz(tmp_path / "scene.spz")), ours) > 40


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.spz"
    with pytest.raises(FileNotFoundError, match=r"bad\.spz"):
        load_spz(path)
    save_spz(path, make_scene(3))
    whole = gzip.decompress(path.read_bytes())
    for content, said in (
        (b"", "file: found"),
        (b"ply and more", "file: found"),
        (gzip.compress(whole[:10]), "file: found"),
        (gzip.compress(whole[:-1]), "arrays: found 59 bytes, expected 60"),
        (gzip.compress(b"NGSP\2" + whole[5:]), "version: found .*2.*, expected 3"),
        (gzip.compress(whole[:12] + b"\4" + whole[13:]), "header: found 3 Gaussians of degree 4"),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=said):
            load_spz(path)
    far = make_scene(3)
    with pytest.raises(FormatError, match="means: found"):
        save_spz(path, far._replace(means=far.means.at[0, 0].set(1e9)))


def test_damaged_bytes_are_never_shown_as_others(tmp_path, make_scene):
    """Its checksum stands at the end, behind what is needed."""
    save_spz(tmp_path / "a.spz", make_scene(20, 0))
    content = (tmp_path / "a.spz").read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(np.arange(10, len(content)), 60, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "b.spz").write_bytes(damaged)
        with pytest.raises(FormatError):
            load_spz(tmp_path / "b.spz")
    (tmp_path / "b.spz").write_bytes(content[:-4])
    with pytest.raises(FormatError, match="no end"):
        load_spz(tmp_path / "b.spz")
