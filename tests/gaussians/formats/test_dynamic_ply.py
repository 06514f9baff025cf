"""4D scenes as one file, exactly or as players of FreeTimeGS do, and as a sequence of instants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.dynamic_ply import (
    load_any_ply,
    load_dynamic_ply,
    load_ply_sequence,
    save_dynamic_ply,
    save_ftgs_ply,
    save_ply_sequence,
)
from gaussians.formats.ply import save_ply
from gaussians.formats.ply_tables import read_comments, read_tables, write_tables
from gaussians.formats.scene_files import FormatError, logit, sigmoid
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians


@pytest.fixture
def scene(make_scene) -> DynamicGaussians:
    rng = np.random.default_rng(0)
    shapes = ((40, 3), (40,), (40,), (40,))
    parts = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
    return DynamicGaussians(make_scene(40, 1), *parts)


def test_a_4d_file_is_read_back_exactly(tmp_path, scene, vertex):
    # Logarithms whose exponential no float holds, or holds as 1.
    extreme = scene.log_durations.at[:4].set(jnp.array([1e-9, -200.0, 200.0, 0.0]))
    scene = scene._replace(log_durations=extreme)
    save_dynamic_ply(tmp_path / "scene.ply", scene)
    again = load_dynamic_ply(tmp_path / "scene.ply")
    np.testing.assert_equal(*jax.device_get((again, scene)))
    rows = vertex(tmp_path / "scene.ply")
    np.testing.assert_array_equal(rows["time"], scene.moments)
    durations = np.exp(scene.log_durations[4:])
    np.testing.assert_allclose(rows["duration"][4:], durations, rtol=1e-6)
    np.testing.assert_array_equal(rows["vz"], scene.velocities[:, 2])


def test_another_tool_keeps_all_of_it(tmp_path, scene, splat_transform):
    save_dynamic_ply(tmp_path / "scene.ply", scene)
    splat_transform(tmp_path / "scene.ply", tmp_path / "copy.ply")
    again = load_dynamic_ply(tmp_path / "copy.ply")
    np.testing.assert_equal(*jax.device_get((again, scene)))


def test_files_of_others_have_durations_and_no_gate(tmp_path, scene, vertex):
    path = tmp_path / "theirs.ply"
    save_dynamic_ply(tmp_path / "ours.ply", scene)
    columns = read_tables(tmp_path / "ours.ply")["vertex"]
    common = columns.keys() - {"log_duration", "logit_gate"}
    write_tables(path, {"vertex": {name: columns[name] for name in common}})
    again = load_dynamic_ply(path)
    np.testing.assert_allclose(again.log_durations, scene.log_durations, atol=1e-6)
    np.testing.assert_array_equal(again.logit_gates, np.full(40, -20))
    vertex(path)["duration"][3] = 0
    with pytest.raises(FormatError, match=r"duration: found 0\.0, expected positive"):
        load_dynamic_ply(path)


def test_damaged_4d_files_are_refused(tmp_path, scene, vertex):
    path = tmp_path / "scene.ply"
    save_ply(path, scene.gaussians)
    with pytest.raises(FormatError, match="no property time, duration, vx, vy, vz"):
        load_dynamic_ply(path)
    save_dynamic_ply(path, scene)
    vertex(path)["logit_gate"][7] = np.nan
    with pytest.raises(FormatError, match="property logit_gate: found nan in row 7"):
        load_dynamic_ply(path)
    with pytest.raises(ValueError, match="moments: found inf in row 0"):
        save_dynamic_ply(path, scene._replace(moments=scene.moments.at[0].set(jnp.inf)))


def test_a_sequence_holds_one_file_an_instant(tmp_path, scene):
    folder = tmp_path / "deep" / "sequence"
    save_ply_sequence(folder, scene, 5)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"000{i}.ply" for i in range(5)]
    pairs = zip(np.linspace(0, 1, 5), load_ply_sequence(folder), strict=True)
    for time, instant in pairs:
        for a, b in zip(instant, scene.at(float(time)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)
    with pytest.raises(FormatError, match=r"0003\.ply, expected no \.ply files beyond"):
        save_ply_sequence(folder, scene, 3)
    with pytest.raises(FileNotFoundError, match=r"no \.ply files"):
        load_ply_sequence(tmp_path)


def as_players_do(path, time: float) -> Gaussians:
    """The scene of a file at an instant, by the equations of the format's description."""
    vertex = read_tables(path)["vertex"]
    comments = read_comments(path)

    def columns(*names: str) -> np.ndarray:
        return np.stack([vertex[name] for name in names], -1).astype(np.float64)

    since = time - vertex["time"].astype(np.float64)
    shortest = float(comments["min_duration"])
    duration = np.maximum(np.exp(vertex["log_duration"]), shortest)
    fading = np.exp(-0.5 * (since / duration) ** 2)
    floor = float(comments["opacity_floor"])
    alpha = np.maximum(sigmoid(vertex["opacity"]) * fading, floor)
    velocity = columns("velocity_0", "velocity_1", "velocity_2")
    arrays = (
        columns("x", "y", "z") + velocity * since[:, None],
        columns("rot_0", "rot_1", "rot_2", "rot_3"),
        columns("scale_0", "scale_1", "scale_2"),
        logit(np.clip(alpha, 1e-7, 1 - 1e-7)),
        columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None],
    )
    return Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))


def test_players_see_the_same_picture(tmp_path, moving, picture, psnr):
    scene = moving(0)
    path = tmp_path / "scene.ftgs.ply"
    save_ftgs_ply(path, scene)
    again = load_any_ply(path)
    assert isinstance(again, DynamicGaussians)
    for time in (0.0, 0.3, 1.0):
        ours = picture(scene.at(time))
        assert psnr(picture(as_players_do(path, time)), ours) > 36
        assert psnr(picture(again.at(time)), picture(as_players_do(path, time))) > 60


def test_rules_in_the_header_of_others_hold(tmp_path, moving):
    save_ftgs_ply(tmp_path / "ours.ply", moving(0))
    tables = read_tables(tmp_path / "ours.ply")
    path = tmp_path / "theirs.ply"
    write_tables(path, tables, {"min_duration": "0.5", "use_velocity": "0"})
    theirs = load_any_ply(path)
    assert isinstance(theirs, DynamicGaussians)
    assert np.asarray(theirs.log_durations).min() == pytest.approx(np.log(0.5))
    assert not np.asarray(theirs.velocities).any()
    write_tables(path, tables, {"min_duration": "short"})
    with pytest.raises(FormatError, match="comment min_duration: found short"):
        load_any_ply(path)
