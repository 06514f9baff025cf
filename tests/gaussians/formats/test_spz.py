"""`.spz` files: the layout byte by byte, what it keeps, and another tool's reading."""

import gzip
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from spz_versions import as_version_2, as_version_4

from gaussians.formats.ply import load_ply, save_ply
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.formats.spz import AXES_RECORD, load_spz, save_spz
from gaussians.types import Gaussians

ORBIT = struct.pack("<IIfff", 0xADBE0002, 12, 0, 1, 2)  # Adobe's limits of a camera


def turned(scene: Gaussians) -> Gaussians:
    """Return a scene of 1 or 4 coefficients with y and z turned around."""
    signs = np.array([[[1], [-1], [-1], [1]]], np.float32)[:, : scene.harmonics.shape[1]]
    return scene._replace(
        means=scene.means * np.array([[1, -1, -1]], np.float32),
        quaternions=scene.quaternions * np.array([[1, 1, -1, -1]], np.float32),
        harmonics=scene.harmonics * signs,
    )


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
    ours = picture(scene)
    # Some of its versions turn the axes as we do, some leave them as they are in the file.
    assert max(psnr(picture(x), ours) for x in (theirs, turned(theirs))) > 40
    assert psnr(picture(load_spz(tmp_path / "scene.spz")), ours) > 40


@pytest.mark.extra("gaussforge")
@pytest.mark.parametrize(("version", "least"), [(2, 34), (3, 40), (4, 40)])  # 8 or 9 bits a turn
def test_niantics_own_library_reads_ours_and_writes_all_versions_for_us(
    tmp_path, moving, picture, psnr, gaussforge, version, least
):
    scene = moving(1).at(0.5)
    save_spz(tmp_path / "ours.spz", scene)
    gaussforge(tmp_path / "ours.spz", tmp_path / "read.ply")
    save_ply(tmp_path / "scene.ply", turned(scene))  # it leaves the axes as they are
    gaussforge(tmp_path / "scene.ply", tmp_path / "theirs.spz", spz_version=version)
    theirs = (tmp_path / "theirs.spz").read_bytes()
    assert (theirs if version == 4 else gzip.decompress(theirs))[:5] == b"NGSP" + bytes([version])
    ours = picture(scene)
    assert psnr(picture(turned(load_ply(tmp_path / "read.ply"))), ours) > 40
    again = load_spz(tmp_path / "theirs.spz")
    assert psnr(picture(again), ours) > least
    gaussforge(tmp_path / "theirs.spz", tmp_path / "again.ply")  # the same numbers of one file
    expected = turned(load_ply(tmp_path / "again.ply"))
    for field in ("means", "quaternions", "log_scales", "harmonics"):
        np.testing.assert_allclose(getattr(again, field), getattr(expected, field), atol=1e-5)


@pytest.mark.parametrize("degree", [0, 2])
def test_version_4_is_the_same_in_another_container(tmp_path, make_scene, degree):
    path = tmp_path / "a.spz"
    save_spz(path, make_scene(50, degree))
    before = load_spz(path)
    path.with_name("b.spz").write_bytes(as_version_4(path, ORBIT))
    for value, expected in zip(load_spz(path.with_name("b.spz")), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_records_behind_the_arrays_are_skipped_unless_they_name_other_axes(tmp_path, make_scene):
    path = tmp_path / "a.spz"
    save_spz(path, make_scene(5))
    before = load_spz(path)
    whole = gzip.decompress(path.read_bytes())

    def load(records: bytes, flags: int = 2) -> Gaussians:
        path.write_bytes(gzip.compress(whole[:14] + bytes([flags]) + whole[15:] + records))
        return load_spz(path)

    usual = struct.pack("<III", AXES_RECORD, 4, 4)
    for value, expected in zip(load(ORBIT + usual), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    with pytest.raises(FormatError, match="found other axes, expected right, up, back"):
        load(ORBIT + struct.pack("<III", AXES_RECORD, 4, 6))
    for records, flags in ((ORBIT[:-1], 2), (b"orbit", 2), (ORBIT, 0), (bytes(2**21), 2)):
        with pytest.raises(FormatError):
            load(records, flags)


def test_version_2_has_rotations_of_three_bytes(tmp_path, make_scene):
    path = tmp_path / "a.spz"
    save_spz(path, make_scene(1))
    # x y z w = 0.48 -0.36 0 0.8; y and z turn with the axes.
    turns = bytes([round(127.5 * (1 + q)) for q in (0.48, -0.36, 0)])
    path.write_bytes(as_version_2(path, turns))
    np.testing.assert_allclose(load_spz(path).quaternions, [[0.8, 0.48, 0.36, 0]], atol=0.006)


def test_damaged_files_of_version_4_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.spz"
    save_spz(path, make_scene(30))
    whole = as_version_4(path)
    other_axes = as_version_4(path, struct.pack("<III", AXES_RECORD, 4, 6))
    for content in (
        whole[:20],
        as_version_4(path, ORBIT[:-1]),
        whole[:-1],
        whole + b"x",
        whole[:32] + bytes(16) + whole[48:],
        whole[:110] + bytes(9) + whole[119:],
        whole[:16] + b"\xff" * 4 + whole[20:],
        whole[:8] + b"\xff" * 4 + whole[12:],
        other_axes,
        b"NGSP\5" + whole[5:],
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError):
            load_spz(path)


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.spz"
    with pytest.raises(FileNotFoundError, match=r"bad\.spz"):
        load_spz(path)
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
    with pytest.raises(FormatError, match=r"bad.spz: header: found 3 Gaussians of degree 4, expec"):
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
    with pytest.raises(FormatError):
        load_spz(tmp_path / "b.spz")
