"""Every kind of file from a finished run, by name."""

import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cli import main
from full4d_jax.scene.scene_reader import to_arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source.kinds import SPLATS, kind_of
from gaussians import (
    DynamicGaussians,
    Gaussians,
    load_any_ply,
    load_dynamic_ply,
    load_ply,
    load_ply_sequence,
    load_splat,
    load_spz,
)


@pytest.fixture
def scene() -> DynamicGaussians:
    rng = np.random.default_rng(0)
    shapes = ((300, 3), (300, 4), (300, 3), (300,), (300, 1, 3))
    still = Gaussians(*(jnp.float32(rng.uniform(-1, 1, s)) for s in shapes))
    shapes = ((300, 3), (300,), (300,), (300,))
    return DynamicGaussians(
        still, *(jnp.float32(rng.uniform(-1, 1, s)) for s in shapes)
    )


@pytest.fixture
def run(tmp_path, scene) -> Path:
    """The folder of a finished run."""
    (tmp_path / "run").mkdir()
    stages = Stages(tmp_path / "run", say=lambda line: None)
    stages.run("scene", {}, lambda: to_arrays(scene))
    return tmp_path / "run"


def test_every_kind_is_written_from_a_run_and_read_again(run, tmp_path, scene, capsys):
    def convert(source: Path, name: str, *words: str) -> Path:
        target = tmp_path / "new" / name
        assert main(["convert", "splats", str(source), str(target), *words]) == 0
        assert "300 Gaussians" in capsys.readouterr().out
        return target

    late = scene.at(0.75)
    whole = convert(run, "scene.4d.ply")
    for a, b in zip(load_dynamic_ply(whole)[1:], scene[1:], strict=True):
        np.testing.assert_array_equal(a, b)
    for source in (run, run / "scene.npz", whole):
        plain = convert(source, "late.ply", "--time", "0.75")
        assert not isinstance(load_any_ply(plain), DynamicGaussians)
        np.testing.assert_allclose(load_ply(plain).means, late.means, atol=1e-6)
    small = convert(plain, "late.compressed.ply")
    assert small.stat().st_size < plain.stat().st_size / 3
    splat = convert(small, "late.splat")
    for found in (load_ply(small), load_splat(splat)):
        order = np.argsort(found.means[:, 0])
        means = late.means[np.argsort(late.means[:, 0])]
        np.testing.assert_allclose(found.means[order][:, 0], means[:, 0], atol=2e-3)
    niantic = convert(plain, "late.spz")
    np.testing.assert_allclose(load_spz(niantic).means, late.means, atol=0.06)
    playcanvas = convert(plain, "late.sog")
    unpacked = tmp_path / "new" / "unpacked"
    zipfile.ZipFile(playcanvas).extractall(unpacked)
    assert kind_of(unpacked) == SPLATS
    for source in (playcanvas, unpacked):
        assert len(load_ply(convert(source, "again.ply")).means) == 300
    assert convert(niantic, "late.glb").read_bytes()[:4] == b"glTF"
    assert convert(whole, "scene.4dgs", "--seconds", "2").read_bytes()[1:5] == b"4DGS"
    played = load_any_ply(convert(run, "scene.ftgs.ply"))
    assert isinstance(played, DynamicGaussians)
    for source in (run, plain, niantic, playcanvas):
        page = convert(source, "scene.html", "--seconds", "2").read_text()
        assert 'id="settings"' in page
    folder = convert(run, "sequence", "--instants", "3")
    assert len(load_ply_sequence(folder)) == 3
    moving = load_dynamic_ply(convert(plain, "still.4d.ply"))
    np.testing.assert_array_equal(moving.velocities, 0)
    first, last = moving.at(0.0), moving.at(1.0)
    np.testing.assert_allclose(first.means, load_ply(plain).means, atol=1e-6)
    np.testing.assert_allclose(last.logit_opacities, first.logit_opacities, atol=1e-3)
