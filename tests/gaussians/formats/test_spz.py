"""`.spz` files: what they keep, and the readers and writers of others."""

import gzip

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.ply import load_ply, save_ply
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.formats.spz import load_spz, save_spz
from gaussians.types import Gaussians


def turned(scene: Gaussians) -> Gaussians:
    """Return a scene of 1 or 4 coefficients with y and z turned around."""
    count = scene.harmonics.shape[1]
    signs = np.array([[[1], [-1], [-1], [1]]], np.float32)[:, :count]
    return scene._replace(
        means=scene.means * np.array([[1, -1, -1]], np.float32),
        quaternions=scene.quaternions * np.array([[1, 1, -1, -1]], np.float32),
        harmonics=scene.harmonics * signs,
    )


def test_round_trip_within_the_steps_of_the_format(tmp_path, make_scene):
    scene = make_scene(500, 3)
    scene = scene._replace(harmonics=scene.harmonics.at[:, 1:].multiply(0.2))
    save_spz(tmp_path / "scene.spz", scene)
    again = load_spz(tmp_path / "scene.spz")
    np.testing.assert_allclose(again.means, scene.means, atol=np.exp(-4) / 10)
    np.testing.assert_allclose(again.log_scales, scene.log_scales, atol=1 / 32 + 1e-5)
    after, before = (sigmoid(np.asarray(x.logit_opacities)) for x in (again, scene))
    np.testing.assert_allclose(after, before, atol=0.5 / 255 + 1e-6)
    for part, atol in ((np.s_[:, 0], 0.0132), (np.s_[:, 1:], 0.0041)):
        pair = again.harmonics[part], scene.harmonics[part]
        np.testing.assert_allclose(*pair, atol=atol)
    unit = scene.quaternions / jnp.linalg.norm(scene.quaternions, axis=1, keepdims=True)
    alike = np.abs((np.asarray(unit) * np.asarray(again.quaternions)).sum(1))
    assert alike.min() > 1 - 1e-5


def test_another_tool_sees_the_same_picture(
    tmp_path, moving, picture, psnr, splat_transform
):
    scene = moving(1).at(0.5)
    save_spz(tmp_path / "scene.spz", scene)
    splat_transform(tmp_path / "scene.spz", tmp_path / "scene.ply")
    theirs = load_ply(tmp_path / "scene.ply")
    ours = picture(scene)
    # Some of its versions turn the axes as we do, some leave them as they are in the file.
    assert max(psnr(picture(x), ours) for x in (theirs, turned(theirs))) > 40
    assert psnr(picture(load_spz(tmp_path / "scene.spz")), ours) > 40


@pytest.mark.extra("gaussforge")
# 8 or 9 bits a turn.
@pytest.mark.parametrize(("version", "least"), [(2, 34), (3, 40), (4, 40)])
def test_niantics_own_library_reads_ours_and_writes_all_versions_for_us(
    tmp_path, moving, picture, psnr, gaussforge, version, least
):
    scene = moving(1).at(0.5)
    save_spz(tmp_path / "ours.spz", scene)
    gaussforge(tmp_path / "ours.spz", tmp_path / "read.ply")
    save_ply(tmp_path / "scene.ply", turned(scene))  # it leaves the axes as they are
    gaussforge(tmp_path / "scene.ply", tmp_path / "theirs.spz", spz_version=version)
    theirs = (tmp_path / "theirs.spz").read_bytes()
    head = (theirs if version == 4 else gzip.decompress(theirs))[:5]
    assert head == b"NGSP" + bytes([version])
    ours = picture(scene)
    assert psnr(picture(turned(load_ply(tmp_path / "read.ply"))), ours) > 40
    again = load_spz(tmp_path / "theirs.spz")
    assert psnr(picture(again), ours) > least
    # The same numbers of one file.
    gaussforge(tmp_path / "theirs.spz", tmp_path / "again.ply")
    expected = turned(load_ply(tmp_path / "again.ply"))
    for field in ("means", "quaternions", "log_scales", "harmonics"):
        pair = getattr(again, field), getattr(expected, field)
        np.testing.assert_allclose(*pair, atol=1e-5)


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.spz"
    save_spz(path, make_scene(3))
    whole = gzip.decompress(path.read_bytes())
    for content in (
        b"",
        b"ply and more",
        gzip.compress(whole[:10]),
        gzip.compress(whole[:-1]),
        gzip.compress(b"NGSP\1" + whole[5:]),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError):
            load_spz(path)
    path.write_bytes(gzip.compress(whole[:12] + b"\4" + whole[13:]))
    with pytest.raises(FormatError, match=r"bad.spz: header: found 3 Gaussians of deg"):
        load_spz(path)
    far = make_scene(3)
    with pytest.raises(FormatError, match="means: found"):
        save_spz(path, far._replace(means=far.means.at[0, 0].set(1e9)))
