"""The live viewer: its state, its cameras, a browser that looks, and the command until Ctrl-C."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.cli import main
from full4d_jax.scene.live_view import LiveView, pose
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.session.stages import Stages
from gaussians import DynamicGaussians, Gaussians
from gaussians.motion import still
from input_pipeline.cameras import orbit

LENS = np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1]], np.float32)  # 64 x 48 pixels
ANGLES = np.array([[0.0, 30.0], [-25.0, -20.0], [40.0, 40.0]])  # azimuths of 3 views, 2 frames


def moving_ball() -> DynamicGaussians:
    """Something white that goes from the left to the right."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.uniform(-0.1, 0.1, (200, 3)) + [0, 0, 1],
        np.tile([1, 0, 0, 0], (200, 1)),
        np.full((200, 3), np.log(0.03)),
        np.full(200, 3),
        np.full((200, 1, 3), 1.7),
    )
    ball = Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))
    return still(ball)._replace(velocities=jnp.asarray(np.tile([0.6, 0, 0], (200, 1)), jnp.float32))


def cameras() -> Cameras:
    poses = orbit(ANGLES, np.zeros_like(ANGLES))
    poses[0] = np.eye(4)
    return Cameras(np.tile(LENS, (3, 1, 1)), poses.astype(np.float32), 48, 64)


@pytest.fixture
def live() -> Iterator[LiveView]:
    view = LiveView(moving_ball(), cameras(), seconds=2.0, port=0)
    yield view
    view.stop()


def test_the_page_is_served_and_time_moves_the_scene(live):
    with urllib.request.urlopen(live.url) as answer:
        assert b"<title>Viser</title>" in answer.read()
    np.testing.assert_allclose(live.shown.centers.mean(0)[0], -0.3, atol=0.03)
    live.time.value = 1.0
    np.testing.assert_allclose(live.shown.centers, moving_ball().at(1.0).means, atol=1e-6)


def test_only_what_is_playing_moves(live):
    live.step(0.5)
    assert live.time.value == 0
    live.playing.value = True
    live.step(0.5)
    assert live.time.value == pytest.approx(0.25)
    live.step(1.6)
    assert live.time.value == pytest.approx(0.05)  # from the start again
    before = live.orbit_pose()
    live.step(0.5)
    np.testing.assert_array_equal(live.orbit_pose().position, before.position)
    live.orbiting.value = True
    live.step(0.5)
    after = live.orbit_pose()
    assert np.linalg.norm(after.position - before.position) > 0.01
    np.testing.assert_allclose(after.look_at, [0, 0, 1], atol=1e-9)


def test_the_cameras_of_the_run_stand_where_they_stood(live):
    source = live.view(0)
    np.testing.assert_allclose(source.position, 0, atol=1e-6)
    np.testing.assert_allclose(source.look_at, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(source.up, [0, -1, 0], atol=1e-6)
    assert np.tan(source.fov / 2) == pytest.approx(24 / 50)
    for moment, frame in ((0.0, 0), (1.0, 1)):  # view 1 moves
        live.time.value = moment
        azimuth = np.radians(ANGLES[1, frame])
        position = [np.sin(azimuth), 0, 1 - np.cos(azimuth)]
        np.testing.assert_allclose(live.view(1).position, position, atol=1e-6)


def test_a_camera_that_looks_away_still_has_something_to_turn_around():
    away = np.diag([-1.0, 1.0, -1.0, 1.0])  # half a turn around y
    found = pose(away, 1.0)
    np.testing.assert_allclose(found.look_at, [0, 0, -0.05], atol=1e-9)


def test_a_browser_follows_time_and_the_camera_buttons(live, browser):
    def column(picture: np.ndarray) -> float:
        lit = picture.min(-1) > 150
        return 2 * np.nonzero(lit)[1].mean() / 320 - 1 if lit.mean() > 0.005 else -9

    live.time.value = 0.25
    browser.open(live.url, height=450, controls=170)
    browser.see(lambda p: -1 < column(p) < -0.2)
    live.time.value = 0.75
    before = column(browser.see(lambda p: column(p) > 0.2))
    button = "[...document.querySelectorAll('button')].find(b => b.innerText == '{}')"
    browser.click(button.format("view 2"))
    browser.see(lambda p: 0 < column(p) < before - 0.03)  # 40 degrees to the side
    browser.click(button.format("source"))
    browser.see(lambda p: abs(column(p) - before) < 0.01)
    live.orbiting.value = True
    live.step(1.0)
    browser.see(lambda p: 0 < column(p) < before - 0.015)
    browser.click(button.format("source"))
    browser.see(lambda p: abs(column(p) - before) < 0.01)
    assert not live.orbiting.value


def finished_run(folder: Path) -> Path:
    """Write the files of a run that `view` needs."""
    stages = Stages(folder, say=lambda line: None)
    seen, frames = cameras(), np.zeros((3, 2, 48, 64, 3), np.uint8)
    grid = {"frames": frames, "intrinsics": seen.intrinsics}
    grid |= {"world_to_camera": seen.world_to_camera}
    stages.run("grid", {}, lambda: grid)
    stages.run("scene", {}, lambda: to_arrays(moving_ball()))
    return folder


# Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
LISTENING = (
    "import signal, sys; from full4d_jax.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-c", LISTENING, "view", "--port", "0"]
    command += ["--out", str(finished_run(tmp_path))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            line = process.stdout.readline()
            url = re.search(r"http://localhost:\d+", line)
            assert url, line
            assert "200 Gaussians" in line
            with urllib.request.urlopen(url[0]) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0
            assert errors == ""
        finally:
            process.kill()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url[0])


def test_folders_without_a_scene_and_bad_options_are_refused(tmp_path, capsys):
    for words, said in (
        (["--out", tmp_path / "none"], "run full4d sample"),
        (["--out", tmp_path, "--port", 99999], "--port: found 99999"),
        (["--out", tmp_path, "--seconds", 0], "--seconds: found 0"),
    ):
        assert main(["view", *map(str, words)]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    finished_run(tmp_path)
    (tmp_path / "scene.npz").write_bytes(b"")
    assert main(["view", "--out", str(tmp_path)]) == 2
    assert "run full4d lift" in capsys.readouterr().err
