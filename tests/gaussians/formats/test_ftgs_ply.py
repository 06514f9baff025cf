"""FTGS PLY: the equations of players, and the files of others."""

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.dynamic_ply import load_any_ply, save_ftgs_ply
from gaussians.formats.ply_tables import read_comments, read_tables, write_tables
from gaussians.formats.scene_files import FormatError, logit, sigmoid
from gaussians.motion import DynamicGaussians
from gaussians.types import Gaussians


def as_players_do(path, time: float) -> Gaussians:
    """The scene of a file at an instant, by the equations of the format's description."""
    vertex = read_tables(path)["vertex"]
    comments = read_comments(path)

    def columns(*names: str) -> np.ndarray:
        return np.stack([vertex[name] for name in names], -1).astype(np.float64)

    since = time - vertex["time"].astype(np.float64)
    duration = np.maximum(np.exp(vertex["log_duration"]), float(comments["min_duration"]))
    fading = np.exp(-0.5 * (since / duration) ** 2)
    alpha = np.maximum(sigmoid(vertex["opacity"]) * fading, float(comments["opacity_floor"]))
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
