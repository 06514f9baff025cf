"""4D scenes as one file, exactly, and as a sequence of instants."""

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.dynamic_ply import (
    load_dynamic_ply,
    load_ply_sequence,
    save_dynamic_ply,
    save_ply_sequence,
)
from gaussians.formats.ply import save_ply
from gaussians.formats.ply_tables import read_tables, write_tables
from gaussians.formats.scene_files import FormatError
from gaussians.motion import DynamicGaussians


@pytest.fixture
def moving(make_scene) -> DynamicGaussians:
    rng = np.random.default_rng(0)
    shapes = ((40, 3), (40,), (40,), (40,))
    parts = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
    return DynamicGaussians(make_scene(40, 1), *parts)


def test_a_4d_file_is_read_back_exactly(tmp_path, moving, vertex):
    # Logarithms whose exponential no float holds, or holds as 1.
    extreme = moving.log_durations.at[:4].set(jnp.array([1e-9, -200.0, 200.0, 0.0]))
    moving = moving._replace(log_durations=extreme)
    save_dynamic_ply(tmp_path / "scene.ply", moving)
    again = load_dynamic_ply(tmp_path / "scene.ply")
    for a, b in zip((*again.gaussians, *again[1:]), (*moving.gaussians, *moving[1:]), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = vertex(tmp_path / "scene.ply")
    np.testing.assert_array_equal(rows["time"], moving.moments)
    np.testing.assert_allclose(rows["duration"][4:], np.exp(moving.log_durations[4:]), rtol=1e-6)
    np.testing.assert_array_equal(rows["vz"], moving.velocities[:, 2])


def test_another_tool_keeps_all_of_it(tmp_path, moving, splat_transform):
    save_dynamic_ply(tmp_path / "scene.ply", moving)
    splat_transform(tmp_path / "scene.ply", tmp_path / "copy.ply")
    again = load_dynamic_ply(tmp_path / "copy.ply")
    for a, b in zip((*again.gaussians, *again[1:]), (*moving.gaussians, *moving[1:]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_of_others_have_durations_and_no_gate(tmp_path, moving, vertex):
    path = tmp_path / "theirs.ply"
    save_dynamic_ply(tmp_path / "ours.ply", moving)
    columns = read_tables(tmp_path / "ours.ply")["vertex"]
    common = columns.keys() - {"log_duration", "logit_gate"}
    write_tables(path, {"vertex": {name: columns[name] for name in common}})
    again = load_dynamic_ply(path)
    np.testing.assert_allclose(again.log_durations, moving.log_durations, atol=1e-6)
    np.testing.assert_array_equal(again.logit_gates, np.full(40, -20))
    vertex(path)["duration"][3] = 0
    with pytest.raises(FormatError, match=r"duration: found 0\.0, expected positive"):
        load_dynamic_ply(path)


def test_damaged_4d_files_are_refused(tmp_path, moving, vertex):
    path = tmp_path / "scene.ply"
    save_ply(path, moving.gaussians)
    with pytest.raises(FormatError, match="no property time, duration, vx, vy, vz"):
        load_dynamic_ply(path)
    save_dynamic_ply(path, moving)
    vertex(path)["logit_gate"][7] = np.nan
    with pytest.raises(FormatError, match="property logit_gate: found nan in row 7"):
        load_dynamic_ply(path)
    with pytest.raises(ValueError, match="moments: found inf in row 0"):
        save_dynamic_ply(path, moving._replace(moments=moving.moments.at[0].set(jnp.inf)))


def test_a_sequence_holds_one_file_an_instant(tmp_path, moving):
    folder = tmp_path / "deep" / "sequence"
    save_ply_sequence(folder, moving, 5)
    assert [path.name for path in sorted(folder.iterdir())] == [f"000{i}.ply" for i in range(5)]
    for time, instant in zip(np.linspace(0, 1, 5), load_ply_sequence(folder), strict=True):
        for a, b in zip(instant, moving.at(float(time)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)
    with pytest.raises(FormatError, match=r"0003\.ply, expected no \.ply files beyond 0002\.ply"):
        save_ply_sequence(folder, moving, 3)
    with pytest.raises(FileNotFoundError, match=r"no \.ply files"):
        load_ply_sequence(tmp_path)
