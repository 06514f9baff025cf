"""Packed PLY: what its bits keep, a real file, and another tool in both directions."""

import jax
import numpy as np
import pytest
from numpy.typing import ArrayLike

from gaussians.formats.ply import load_ply, save_packed_ply, save_ply
from gaussians.formats.ply_tables import read_tables, write_tables
from gaussians.formats.scene_files import FormatError, sigmoid
from gaussians.types import Gaussians


def in_order(scene: Gaussians) -> Gaussians:
    """Sorted by x."""
    order = np.argsort(np.asarray(scene.means[:, 0]))
    return jax.tree.map(lambda x: np.asarray(x)[order], scene)


def apart(scene: Gaussians) -> Gaussians:
    """Move the centres so far apart in x that packing keeps their order."""
    count = len(scene.means)
    line = np.random.default_rng(0).permutation(count).astype(np.float32)
    return scene._replace(means=scene.means.at[:, 0].set(line))


def angles(a, b) -> np.ndarray:
    """Between rotations, radians."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    return 2 * np.arccos(np.clip(np.abs((unit[0] * unit[1]).sum(1)), 0, 1))


def spans(values: ArrayLike) -> np.ndarray:
    """The largest range of every column: no chunk's is larger."""
    return np.ptp(np.asarray(values), axis=0)


def test_round_trip_within_the_steps_of_the_format(tmp_path, make_scene):
    scene = apart(make_scene(700, 3))
    save_packed_ply(tmp_path / "scene.compressed.ply", scene)
    a, b = in_order(load_ply(tmp_path / "scene.compressed.ply")), in_order(scene)
    steps = 0.51 / np.array([2047, 1023, 2047])
    for x, y in ((a.means, b.means), (a.log_scales, b.log_scales)):
        assert (np.abs(x - y) <= spans(y) * steps + 1e-6).all()
    mean = np.abs(a.harmonics[:, 0] - b.harmonics[:, 0])
    assert (mean <= spans(b.harmonics[:, 0]) * 0.51 / 255 + 1e-5).all()
    after, before = (sigmoid(np.asarray(x.logit_opacities)) for x in (a, b))
    np.testing.assert_allclose(after, before, atol=0.51 / 255)
    assert angles(a.quaternions, b.quaternions).max() < 0.005
    found, rest = a.harmonics[:, 1:], np.clip(b.harmonics[:, 1:], -4, 4)
    # The ends: 1 / 32.
    np.testing.assert_allclose(found, rest, atol=1 / 32 + 1e-6)
    inner = np.abs(rest) < 4 - 1 / 32
    np.testing.assert_allclose(found[inner], rest[inner], atol=1 / 64 + 1e-6)


def test_a_real_file(shared_data, tmp_path):
    """A guitar packed by SuperSplat, its largest spread known from the file's own ranges."""
    path = shared_data / "data" / "splats" / "guitar.compressed.ply"
    guitar = load_ply(path)
    assert guitar.means.shape == (90_854, 3)
    assert guitar.harmonics.shape == (90_854, 1, 3)
    chunks = read_tables(path)["chunk"]
    for axis, name in enumerate("xyz"):
        low, high = chunks[f"min_{name}"], chunks[f"max_{name}"]
        within = guitar.means[:, axis]
        pairs = (within[:256], (low[0], high[0])), (within, (low.min(), high.max()))
        for x, ends in pairs:
            np.testing.assert_allclose([x.min(), x.max()], ends, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(guitar.quaternions, axis=1), 1, atol=1e-5)
    save_packed_ply(tmp_path / "again.ply", guitar)
    assert (tmp_path / "again.ply").stat().st_size < 1.01 * path.stat().st_size


def test_another_tool_unpacks_the_same_numbers(shared_data, tmp_path, splat_transform):
    path = shared_data / "data" / "splats" / "guitar.compressed.ply"
    splat_transform(path, tmp_path / "guitar.ply")
    ours, theirs = load_ply(path), load_ply(tmp_path / "guitar.ply")
    for name in ("means", "log_scales", "harmonics", "quaternions"):
        pair = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(*pair, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(ours.logit_opacities, theirs.logit_opacities, atol=1e-4)


def test_another_tool_reads_and_writes_as_we_do(tmp_path, make_scene, splat_transform):
    scene = make_scene(600, 3)
    # Some beyond 4.
    scene = scene._replace(harmonics=scene.harmonics.at[:, 1:].multiply(2.0))
    names = "plain", "o.compressed", "t.compressed"
    plain, ours, theirs = (tmp_path / f"{name}.ply" for name in names)
    save_ply(plain, scene)
    save_packed_ply(ours, scene)
    splat_transform(plain, theirs)
    assert "chunk" in read_tables(theirs)
    # What they read out of a file is what we read out of it.
    for source in (plain, ours, theirs):
        splat_transform(source, tmp_path / "read.ply")
        for a, b in zip(load_ply(source), load_ply(tmp_path / "read.ply"), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_damaged_files_are_refused(tmp_path, make_scene):
    path = tmp_path / "bad.ply"
    save_packed_ply(path, make_scene(300, 1))
    chunk, vertex, sh = read_tables(path).values()

    def refused(**changed: dict[str, np.ndarray]) -> None:
        write_tables(path, {"chunk": chunk, "vertex": vertex, "sh": sh} | changed)
        with pytest.raises(FormatError):
            load_ply(path)

    refused(chunk={name: column[:1] for name, column in chunk.items()})
    refused(chunk=chunk | {"max_y": np.array([1, np.nan], np.float32)})
    refused(vertex=vertex | {"packed_scale": vertex["packed_scale"].astype("int32")})
    refused(sh={name: column[:299] for name, column in sh.items()})
