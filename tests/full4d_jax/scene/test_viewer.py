"""The page in a browser: it shows what `render` draws, and follows mouse, fingers and keys."""

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import (
    bending_scene,
    cameras,
    drawn,
    moving_ball,
    random_scene,
    written,
)

from full4d_jax.media.metrics import psnr
from gaussians import Camera
from input_pipeline.pinhole import orbit, resize_intrinsics

WIDTH, HEIGHT = 384, 288  # three times the pictures of the cameras
UNCOVERED = "#bar, #views, #hint { opacity: 0 !important }"  # they work as before


def camera(view: int = 0, pose: np.ndarray | None = None) -> Camera:
    """The camera of a view, or where its pose would be this one."""
    seen = cameras()
    lens = resize_intrinsics(np.asarray(seen.intrinsics[view]), rows=3, columns=3)
    pose = seen.world_to_camera[view, 0] if pose is None else pose
    return Camera(jnp.asarray(pose, jnp.float32), jnp.asarray(lens), WIDTH, HEIGHT)


def still(browser, url: str, fragment: str) -> np.ndarray:
    """The picture of a page that is one, (h, w, 3) in [0, 1]."""
    browser.open(f"{url}#still&width={WIDTH}&height={HEIGHT}&{fragment}")
    return browser.still()[..., ::-1] / 255


@pytest.mark.parametrize("make", [random_scene, bending_scene])
def test_the_picture_is_that_of_render(tmp_path, browser, make):
    scene = make(2000)
    url = written(tmp_path, scene)
    pictures = [still(browser, url, f"time={time}") for time in (0, 0.4, 1)]
    for time, picture in zip((0, 0.4, 1), pictures, strict=True):
        assert psnr(picture, drawn(scene, time, camera())) > 40
    assert psnr(*pictures[::2]) < 30  # it moves
    assert psnr(still(browser, url, "time=0&view=2"), drawn(scene, 0, camera(2))) > 40


def test_colour_depends_on_the_direction_to_degree_1(tmp_path, browser):
    scene = random_scene(2000)
    rng = np.random.default_rng(1)
    more = jnp.asarray(rng.normal(0, 0.5, (2000, 3, 3)), jnp.float32)
    harmonics = jnp.concatenate([scene.gaussians.harmonics, more], 1)
    coloured = scene._replace(gaussians=scene.gaussians._replace(harmonics=harmonics))
    picture = still(browser, written(tmp_path, coloured), "time=0.4&view=2")
    assert psnr(picture, drawn(coloured, 0.4, camera(2))) > 40
    assert psnr(picture, drawn(scene, 0.4, camera(2))) < 30


def test_angles_and_background_are_those_of_the_address(tmp_path, browser):
    scene = moving_ball()
    url = written(tmp_path, scene)
    turned = orbit(20.0, 10.0)
    there = still(browser, url, "time=0.5&azimuth=20&elevation=10")
    assert psnr(there, drawn(scene, 0.5, camera(pose=turned))) > 40
    nearer = still(browser, url, "time=0.5&zoom=0.5&background=ff8000")
    assert psnr(nearer, drawn(scene, 0.5, camera(pose=orbit(0.0, 0.0, 0.5)))) < 30
    np.testing.assert_allclose(nearer[0, 0], [1, 128 / 255, 0], atol=1 / 255)


def column(picture: np.ndarray) -> float:
    """Column of the ball, from -1 to 1; -9 where there is none."""
    lit = picture.min(-1) > 150
    if lit.mean() < 0.005:
        return -9
    return 2 * np.nonzero(lit)[1].mean() / picture.shape[1] - 1


@pytest.fixture
def opened(tmp_path, browser):
    """A browser that shows the moving ball, from the source and at rest in the middle of time."""
    browser.open(written(tmp_path, moving_ball()) + "#time=0.5&paused")
    browser.style(UNCOVERED)
    browser.see(lambda p: abs(column(p)) < 0.1)
    return browser


def test_it_plays_and_sways_until_a_person_comes(tmp_path, browser):
    browser.open(written(tmp_path, moving_ball()))
    browser.wait("viewer.clock.time > 0.05 && viewer.clock.playing")
    browser.wait("viewer.camera.swayed()[0] > 0.2")
    # Beside the page, from a file.
    browser.wait("viewer.sorting.worker && !viewer.sorting.sort")
    browser.wait("Number(document.documentElement.dataset.fps) > 0")
    browser.key("h")
    browser.wait("document.getElementById('help').open")
    browser.key("h")
    assert not browser.script("document.getElementById('help').open")
    assert browser.script("viewer.camera.swayed()[0]") == 0
    assert browser.script("viewer.camera.now.azimuth") > 0.1  # it stays where it was
    browser.key(" ")
    assert not browser.script("viewer.clock.playing")
    browser.key(" ")
    browser.wait("viewer.clock.playing")


def test_scrubbing_changes_the_time_and_a_button_plays(opened):
    box = opened.place("document.getElementById('time')")
    for share, low, high in ((0.03, -1, -0.2), (0.97, 0.2, 1)):
        opened.press((box["x"] + share * box["width"], box["y"] + box["height"] / 2))
        opened.see(lambda p, low=low, high=high: low < column(p) < high)
    opened.key(",")
    opened.wait("viewer.clock.time < 0.97")
    opened.click("document.getElementById('loop')")
    assert opened.script("viewer.clock.loop") == "bounce"
    opened.click("document.getElementById('play')")
    opened.wait("viewer.clock.playing && viewer.clock.time < 0.6")
    opened.key(" ")
    opened.click("document.getElementById('reset')")
    assert opened.script("viewer.clock.time") == 0.5


def test_a_drag_orbits_and_gives_way_at_the_limit(opened):
    opened.key(".")
    for _ in range(7):
        opened.key(".")
    right = column(opened.see(lambda p: column(p) > 0.1))
    opened.press((150, 100), (160, 100), (190, 100))
    opened.see(lambda p: -1 <= column(p) < right - 0.02 or column(p) > right + 0.02)
    assert -30 < opened.script("viewer.camera.now.azimuth") < -10
    opened.press((150, 20), (150, 200), (150, 260))
    opened.wait("viewer.camera.now.elevation > 6.5")  # beyond the limit, and back
    assert opened.script("viewer.camera.now.elevation") < 10
    opened.wait("viewer.camera.now.elevation == viewer.camera.range('elevation')[1]")
    assert opened.script("viewer.camera.now.elevation") == pytest.approx(6, abs=1e-3)
    opened.key("r")
    opened.wait("viewer.camera.now.azimuth == 0 && viewer.clock.time == 0.5")
    opened.key("ArrowLeft")
    opened.wait("Math.abs(viewer.camera.now.azimuth - 4) < 0.01")


def test_fingers_pinch(opened):
    opened.touch(
        [(150, 100), (130, 100), (110, 100)], [(170, 100), (190, 100), (210, 100)]
    )
    opened.wait("Math.abs(viewer.camera.now.zoom - 0.2) < 0.01")
    opened.key("-")
    opened.wait("viewer.camera.now.zoom > 0.21")
