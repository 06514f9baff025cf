"""`.sog` files: what they keep, and two other tools' readers and writers."""

import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats import sog
from gaussians.formats.ply import load_ply, save_ply
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.formats.sog import load_sog, save_sog
from gaussians.types import Gaussians


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def test_round_trip_within_the_steps_of_the_format(tmp_path, make_scene):
    scene = make_scene(500, 3)
    save_sog(tmp_path / "scene.sog", scene)
    again = load_sog(tmp_path / "scene.sog")
    order = [int(np.abs(scene.means - x[None]).sum(1).argmin()) for x in again.means]
    assert sorted(order) == list(range(500))
    before = Gaussians(*(x[np.array(order)] for x in scene))
    np.testing.assert_allclose(again.means, before.means, atol=4e-4)
    np.testing.assert_allclose(again.log_scales, before.log_scales, atol=0.1)
    np.testing.assert_allclose(again.harmonics, before.harmonics, atol=0.2)
    # Rare values share a number of the codebook with others farther away.
    for name, most in (("log_scales", 0.01), ("harmonics", 0.02)):
        off = getattr(again, name) - getattr(before, name)
        assert float(jnp.sqrt(jnp.square(off).mean())) < most
    after, opacities = (sigmoid(np.asarray(x.logit_opacities)) for x in (again, before))
    np.testing.assert_allclose(after, opacities, atol=0.5 / 255 + 1e-6)
    turns = before.quaternions
    unit = turns / jnp.linalg.norm(turns, axis=1, keepdims=True)
    alike = np.abs((np.asarray(unit) * np.asarray(again.quaternions)).sum(1))
    assert alike.min() > 1 - 1e-4


def test_an_unpacked_file_is_the_same_scene(tmp_path, make_scene):
    save_sog(tmp_path / "scene.sog", make_scene(20, 1))
    folder = tmp_path / "scene"
    zipfile.ZipFile(tmp_path / "scene.sog").extractall(folder)
    (folder / "notes.txt").write_text("beside")
    packed, unpacked = load_sog(tmp_path / "scene.sog"), load_sog(folder)
    for a, b in zip(packed, unpacked, strict=True):
        np.testing.assert_array_equal(a, b)
    (folder / "sh0.webp").unlink()
    with pytest.raises(FormatError, match=f"^{folder}: .*sh0.webp"):
        load_sog(folder)


def test_many_gaussians_share_a_palette(tmp_path, make_scene, monkeypatch):
    monkeypatch.setattr(sog, "PALETTE_BITS", 8)
    scene = make_scene(4000, 1)
    loud = np.repeat(np.arange(8) / 4 - 0.875, 500)[:, None, None]  # eight colours
    quiet = scene.harmonics.at[:, 1:].multiply(0.01)
    scene = scene._replace(harmonics=quiet.at[:, 1:].add(loud))
    save_sog(tmp_path / "scene.sog", scene)
    meta = json.loads(members(tmp_path / "scene.sog")["meta.json"])
    assert 8 < meta["shN"]["count"] <= 256
    again = load_sog(tmp_path / "scene.sog")
    assert len(np.unique(np.asarray(again.harmonics[:, 1:]), axis=0)) <= 256
    means = again.means[:200]
    nearest = [int(np.abs(scene.means - x[None]).sum(1).argmin()) for x in means]
    apart = again.harmonics[:200, 1:] - scene.harmonics[np.array(nearest), 1:]
    assert float(jnp.sqrt((apart**2).mean())) < 0.01


@pytest.mark.parametrize("degree", [0, 1])
def test_another_tool_sees_the_same_picture(
    tmp_path, moving, picture, psnr, splat_transform, degree
):
    scene = moving(degree).at(0.5)
    save_sog(tmp_path / "ours.sog", scene)
    splat_transform(tmp_path / "ours.sog", tmp_path / "read.ply")
    ours = picture(scene)
    assert psnr(picture(load_ply(tmp_path / "read.ply")), ours) > 45
    if degree == 0:  # it makes a palette on GPUs alone
        save_ply(tmp_path / "scene.ply", scene)
        splat_transform(tmp_path / "scene.ply", tmp_path / "theirs.sog")
        assert psnr(picture(load_sog(tmp_path / "theirs.sog")), ours) > 35


@pytest.mark.extra("gaussforge")
def test_gaussforge_sees_the_same_picture(tmp_path, moving, picture, psnr, gaussforge):
    scene = moving(1).at(0.5)
    save_sog(tmp_path / "ours.sog", scene)
    gaussforge(tmp_path / "ours.sog", tmp_path / "read.ply")
    ours = picture(scene)
    assert psnr(picture(load_ply(tmp_path / "read.ply")), ours) > 45
    turns = scene.quaternions
    unit = turns / jnp.linalg.norm(turns, axis=1, keepdims=True)
    save_ply(tmp_path / "scene.ply", scene._replace(quaternions=unit))
    gaussforge(tmp_path / "scene.ply", tmp_path / "theirs.sog")
    assert psnr(picture(load_sog(tmp_path / "theirs.sog")), ours) > 35
    gaussforge(tmp_path / "theirs.sog", tmp_path / "again.ply")
    both = load_sog(tmp_path / "theirs.sog"), load_ply(tmp_path / "again.ply")
    for value, expected in zip(*both, strict=True):
        np.testing.assert_allclose(value, expected, atol=2e-6)


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.sog"
    path.write_bytes(b"RIFF")
    with pytest.raises(FormatError):
        load_sog(path)
    save_sog(path, make_scene(20, 1))
    files = members(path)
    meta = json.loads(files["meta.json"])

    def refused(**changed: bytes | dict | None) -> None:
        with zipfile.ZipFile(path, "w") as bundle:
            for name, content in files.items():
                new = changed.get(name.split(".")[0], content)
                if isinstance(new, dict):
                    new = json.dumps(meta | new)
                if new is not None:
                    bundle.writestr(name, new)
        with pytest.raises(FormatError, match=r"bad\.sog: .+: found .+, expected"):
            load_sog(path)

    refused(meta={"version": 1})
    refused(meta={"count": 2000})
    refused(means_u=None)
    refused(meta={"means": meta["means"] | {"maxs": [1e300, 1, 1]}})
