"""Exports of a page: its address, and a video along keyframes, with its camera path."""

import base64
import urllib.parse

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import drawn, moving_ball, written

from full4d_jax.media.video_io import read_video
from gaussians import Camera
from input_pipeline.importers.camera_path import read_path


def bytes_of(browser, buffer: str) -> bytes:
    """An ArrayBuffer of the page."""
    letters = f"[...new Uint8Array({buffer})].map((x) => String.fromCharCode(x))"
    return base64.b64decode(browser.script(f"btoa({letters}.join(''))"))


@pytest.fixture
def opened(tmp_path, browser):
    browser.open(written(tmp_path, moving_ball(), 1.0) + "#time=0.25&paused")
    browser.wait("viewer.camera.shown")
    return browser


def test_the_address_leads_back_to_the_view(opened):
    opened.script(
        "Object.assign(viewer.camera.goal, { azimuth: 12, elevation: -3, zoom: 0.7, x: 0.05 })"
    )
    opened.script("viewer.camera.finish()")
    opened.click("document.getElementById('link')")
    address = opened.script("location.href")
    fragment = urllib.parse.urlparse(address).fragment
    fields = urllib.parse.parse_qs(fragment, keep_blank_values=True)
    assert fields["time"] == ["0.25"]
    assert fields["shift"] == ["0.05,0,0"]
    opened.wait("viewer.camera.shown")
    before = opened.script("viewer.camera.at(0.25, [320, 300], 0).pose.eye")
    opened.open(address)
    after = opened.script("viewer.camera.at(0.25, [320, 300], 0).pose.eye")
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert not opened.script("viewer.clock.playing")


def keep_two(browser) -> None:
    """Two keyframes, 20 degrees and three quarters of the clip apart."""
    browser.key("k")
    browser.script(
        "(viewer.camera.goal.azimuth = 20, viewer.clock.seek(1), viewer.camera.finish())"
    )
    browser.wait(
        "Math.abs(viewer.camera.shown.pose.eye[0]) > 0.3 || viewer.changed === false"
    )
    browser.script("viewer.draw()")
    browser.click("document.getElementById('keep')")
    browser.wait("document.getElementById('kept').textContent == '2 keyframes'")


def test_keyframes_become_a_video_of_what_render_draws(tmp_path, opened):
    opened.script(
        "(viewer.buttons.film.size = [320, 240], viewer.buttons.film.lens = [250, 260, 165, 117.5])"
    )
    keep_two(opened)
    opened.script(
        "viewer.buttons.film.video(() => {}).then((x) => x.arrayBuffer())"
        ".then((x) => (window.file = x), (error) => (window.refused = String(error)))"
    )
    opened.wait("window.file || window.refused")
    assert opened.script("window.refused") is None
    (tmp_path / "path.webm").write_bytes(bytes_of(opened, "window.file"))
    film = read_video(tmp_path / "path.webm", height=240, width=320, frames=49, fps=24)
    (tmp_path / "path.json").write_text(opened.script("viewer.buttons.film.json()"))
    path = read_path(tmp_path / "path.json")
    assert path.times is not None
    assert path.intrinsics is not None
    scene = moving_ball()
    for i in (0, 24, 48):
        pose = jnp.asarray(path.world_to_camera[i], jnp.float32)
        camera = Camera(pose, jnp.asarray(path.intrinsics, jnp.float32), 320, 240)
        expected = drawn(scene, path.times[i], camera)
        assert ((film.frames[i] / 255 - expected) ** 2).mean() < 10**-2.8
