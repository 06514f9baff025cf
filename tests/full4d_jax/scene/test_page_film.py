"""What leaves a page: its address, a camera path, and a video along keyframes."""

import base64
import json
import urllib.parse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import bending_scene, cameras, moving_ball, random_scene

from full4d_jax.media.video import read_video
from full4d_jax.scene.packing import INSTANT, RECORD, pack_scene
from full4d_jax.scene.page import run_viewing, write_page
from full4d_jax.scene.squeezing import FEW_SCALE, POSITION_STEP, rotation_matrices, squeezed
from gaussians import Camera, DynamicGaussians, Scene, render
from input_pipeline.importers.camera_path import read_path


def written(folder: Path, scene: Scene) -> str:
    viewing = run_viewing(cameras(), background=np.zeros(3))
    write_page(folder / "scene.html", scene, viewing, seconds=1.0)
    return (folder / "scene.html").as_uri()


def bytes_of(browser, buffer: str) -> bytes:
    """An ArrayBuffer of the page."""
    script = f"btoa([...new Uint8Array({buffer})].map((x) => String.fromCharCode(x)).join(''))"
    return base64.b64decode(browser.script(script))


def unpacked(browser) -> np.ndarray:
    """The records of the page that is open."""
    return np.frombuffer(bytes_of(browser, "viewer.scene.records"), RECORD)


def in_order(records: np.ndarray) -> np.ndarray:
    """Records by their greens, which no two share."""
    return records[np.argsort(records["color"][:, 1], kind="stable")]


def covariances(records: np.ndarray) -> np.ndarray:
    """Logarithms (g 3 3) of the shapes of records."""
    axes = rotation_matrices(records["rotation"])
    return np.einsum("gij,gj,gkj->gik", axes, records["log_scale"].astype(np.float64), axes)


def distinct(count: int) -> DynamicGaussians:
    """A moving scene whose greens are far apart, so that a record can be found again."""
    scene = random_scene(count)
    greens = jnp.linspace(-1, 150, count)
    harmonics = scene.gaussians.harmonics.at[:, 0, 1].set(greens)
    return scene._replace(gaussians=scene.gaussians._replace(harmonics=harmonics))


@pytest.mark.parametrize(("few", "scale"), [(20_000, FEW_SCALE), (0, 1.0)])
def test_the_page_unpacks_what_was_packed(tmp_path, browser, monkeypatch, few, scale):
    monkeypatch.setattr("full4d_jax.scene.squeezing.FEW_GAUSSIANS", few)
    scene = distinct(500)
    browser.open(written(tmp_path, scene) + "#paused")
    packed = pack_scene(scene).records
    ours = in_order(packed)
    page = in_order(unpacked(browser))
    lasts = page["gate"] == 255
    assert 0 < lasts.sum() < len(page)
    # What is always there has moved to where it is in the middle of the clip.
    since = np.where(lasts, 0.5 - ours["moment"].astype(np.float64), 0)
    places = ours["position"] + ours["velocity"] * since[:, None]
    steps = squeezed(pack_scene(scene)).parts[0]["steps"]
    step = POSITION_STEP * scale * np.exp(np.median(ours["log_scale"].astype(np.float64)))
    np.testing.assert_allclose(page["position"], places, atol=0.51 * step)
    most = 0.6 * (steps["size"] + steps["shape"])
    np.testing.assert_allclose(covariances(page), covariances(ours), atol=most, rtol=1e-2)
    most = 0.51 * (steps["luma"] + steps["chroma"])
    np.testing.assert_allclose(page["color"], ours["color"], atol=most, rtol=2e-3)
    moments = np.where(lasts, 0.5, ours["moment"])
    np.testing.assert_allclose(page["moment"], moments, atol=0.51 * steps["moment"], rtol=2e-3)
    durations = np.where(lasts, 0, ours["log_duration"])
    np.testing.assert_allclose(
        page["log_duration"], durations, atol=0.51 * steps["logDuration"], rtol=2e-3
    )
    assert np.abs(page["opacity"].astype(int) - ours["opacity"]).max() <= steps["opacity"] / 2 + 1
    # A velocity errs by little more than a step of a position while its Gaussian is seen.
    seen = np.where(lasts, 0.5, np.minimum(0.5, np.exp(ours["log_duration"].astype(float))))
    error = np.abs(page["velocity"].astype(float) - ours["velocity"]).max(1)
    assert (error * seen).max() <= 1.3 * step


def test_what_is_far_off_leaves_the_others_their_steps(tmp_path, browser):
    scene = distinct(300)
    means = scene.gaussians.means.at[::60].multiply(1e5)
    scene = scene._replace(gaussians=scene.gaussians._replace(means=means))
    browser.open(written(tmp_path, scene) + "#paused")
    ours = in_order(pack_scene(scene).records)
    page = in_order(unpacked(browser))
    since = np.where(page["gate"] == 255, 0.5 - ours["moment"].astype(np.float64), 0)
    error = np.abs(page["position"] - ours["position"] - ours["velocity"] * since[:, None]).max(1)
    far = np.abs(ours["position"]).max(1) > 1000
    assert 0 < far.sum() < 10
    step = POSITION_STEP * FEW_SCALE * np.exp(np.median(ours["log_scale"].astype(np.float64)))
    assert error[~far].max() <= 0.51 * step
    assert (error[far] / np.abs(ours["position"][far]).max()).max() < 2**-16


def test_the_page_unpacks_instants(tmp_path, browser):
    scene = bending_scene(60)
    browser.open(written(tmp_path, scene) + "#paused")
    packed = pack_scene(scene)
    page = np.frombuffer(bytes_of(browser, "viewer.scene.instants"), INSTANT)
    page = page.reshape(-1, packed.instants.shape[1])
    # Rows of instants have no two alike; the page's are the same in another order.
    ours = np.sort([row.tobytes() for row in packed.instants])
    np.testing.assert_array_equal(np.sort([row.tobytes() for row in page]), ours)


@pytest.fixture
def opened(tmp_path, browser):
    browser.open(written(tmp_path, moving_ball()) + "#time=0.25&paused")
    browser.wait("viewer.camera.shown")
    return browser


def test_the_address_leads_back_to_the_view(opened):
    opened.script(
        "Object.assign(viewer.camera.goal, { azimuth: 12, elevation: -3, zoom: 0.7, x: 0.05 })"
    )
    opened.script("viewer.camera.finish()")
    opened.click("document.getElementById('link')")
    address = opened.script("location.href")
    fields = urllib.parse.parse_qs(urllib.parse.urlparse(address).fragment, keep_blank_values=True)
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
    browser.wait("Math.abs(viewer.camera.shown.pose.eye[0]) > 0.3 || viewer.changed === false")
    browser.script("viewer.draw()")
    browser.click("document.getElementById('keep')")
    browser.wait("document.getElementById('kept').textContent == '2 keyframes'")


def test_keyframes_become_a_path_that_render_reads(tmp_path, opened):
    keep_two(opened)
    content = opened.script("viewer.buttons.film.json()")
    (tmp_path / "path.json").write_text(content)
    path = read_path(tmp_path / "path.json")
    assert path.fps == 24
    assert len(path.world_to_camera) == 49
    assert path.times is not None
    np.testing.assert_allclose(path.times[[0, -1]], [0.25, 1], atol=1e-9)
    eyes = -np.einsum("nji,nj->ni", path.world_to_camera[:, :3, :3], path.world_to_camera[:, :3, 3])
    azimuth = np.radians(20)
    np.testing.assert_allclose(eyes[0], 0, atol=1e-6)
    np.testing.assert_allclose(eyes[-1], [np.sin(azimuth), 0, 1 - np.cos(azimuth)], atol=1e-3)
    assert json.loads(content)["image_size"] == [960, 720]
    opened.click("document.getElementById('drop')")
    opened.wait("document.getElementById('kept').textContent == '1 keyframe'")
    assert len(json.loads(opened.script("viewer.buttons.film.json()"))["times"]) == 24


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
        instant = jax.jit(type(scene).at)(scene, np.float32(path.times[i]))
        drawn = np.clip(np.asarray(render(instant, camera, antialiased=True).rgb), 0, 1)
        assert ((film.frames[i] / 255 - drawn) ** 2).mean() < 10**-2.8
