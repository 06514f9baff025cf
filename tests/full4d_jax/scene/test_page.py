"""The page is unpacked again, and opened in a browser: time and camera must change the picture."""

import base64
import re

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import zstandard

from full4d_jax.config import Config
from full4d_jax.pipeline import INSTANTS
from full4d_jax.scene.page import viser_splats, write_page
from gaussians import DynamicGaussians, Gaussians


def scene(time: float, count: int = 50) -> Gaussians:
    place = jax.random.uniform(jax.random.key(0), (count, 3), minval=-0.5, maxval=0.5)
    return Gaussians(
        means=place + jnp.array([[time, 0.0, 1.0]]),
        quaternions=jnp.tile(jnp.array([[1.0, 0.0, 0.0, 0.0]]), (count, 1)),
        log_scales=jnp.full((count, 3), jnp.log(0.1)),
        logit_opacities=jnp.full(count, 2.0).at[0].set(20.0 * time - 20.0),  # appears
        harmonics=jnp.zeros((count, 1, 3)),
    )


def recording(page: str) -> tuple[dict, bytes]:
    """Messages and binary buffers of viser's recording: sizes first, then msgpack, then arrays."""
    found = re.search(r'__VISER_EMBED_DATA__="([^"]+)"', page)
    assert found
    packed = base64.b64decode(found[1])
    inner = zstandard.ZstdDecompressor().decompress(
        packed[8:], max_output_size=int.from_bytes(packed[:8], "little")
    )
    length = int.from_bytes(inner[:8], "little")
    return msgspec.msgpack.decode(inner[8 : 8 + length]), inner[8 + length :]


def test_page_holds_all_instants_and_fetches_nothing(tmp_path, capsys):
    times = [0.0, 1.0, 2.0]
    path = tmp_path / "scene.html"
    write_page(path, [scene(time) for time in times], seconds=6.0, vertical_fov=50.0)
    page = path.read_text()
    assert not re.search(r'(src|href)\s*=\s*"?(https?:)?//', page)
    assert "<title>Full-4D scene</title>" in page
    assert capsys.readouterr().out == ""
    content, buffers = recording(page)
    assert content["durationSeconds"] == 6
    shown = [
        (time, message)
        for time, message in content["messages"]
        if message["type"] == "GaussianSplatsMessage" or "buffer" in message.get("updates", {})
    ]
    np.testing.assert_allclose([time for time, _ in shown], [0, 2, 4])
    for time in times:
        centers = np.asarray(scene(time).means)
        assert np.append(centers[7], np.float32(0)).tobytes() in buffers
    sizes = set(content["binaryBufferLengths"])
    assert sizes == {32 * len(scene(0.0).means)}  # a changing number of splats blanks the viewer


def test_covariance_and_colour_of_a_turned_splat():
    half = 0.5**0.5
    turned = Gaussians(
        means=jnp.zeros((1, 3)),
        quaternions=jnp.array([[half, 0.0, 0.0, half]]),  # a quarter turn around z
        log_scales=jnp.log(jnp.array([[0.3, 0.1, 0.2]])),
        logit_opacities=jnp.zeros(1),
        harmonics=jnp.array([[[1.0, 0.0, -9.0]]]),
    )
    _, covariances, colors, opacities = viser_splats(turned)
    np.testing.assert_allclose(covariances[0], np.diag([0.01, 0.09, 0.04]), atol=1e-6)
    np.testing.assert_allclose(colors[0], [0.5 + 1 / np.sqrt(4 * np.pi), 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(opacities, [[0.5]])


def test_an_opacity_of_nothing_is_zero_and_no_warning():
    nothing = scene(0.0)._replace(logit_opacities=jnp.full(50, -1e6))
    np.testing.assert_array_equal(viser_splats(nothing)[3], np.zeros((50, 1)))


def random_clip(count: int, instants: int) -> list[Gaussians]:
    """The worst case for compression: nothing about it is regular, and all of it moves."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(0, 0.3, (count, 3)), rng.normal(size=(count, 4))]
    arrays += [rng.normal(-4, 0.5, (count, 3)), rng.normal(size=count)]
    arrays += [rng.normal(size=(count, 1, 3))]
    moving = DynamicGaussians(
        Gaussians(*(jnp.float32(x) for x in arrays)),
        *(jnp.float32(rng.normal(size=size)) for size in ((count, 3), count, count, count)),
    )
    at = jax.jit(DynamicGaussians.at)
    return [at(moving, time) for time in np.linspace(0, 1, instants, dtype=np.float32)]


def test_the_page_of_a_demo_is_below_five_megabytes(tmp_path):
    clip = random_clip(Config().lift.capacity, INSTANTS)
    write_page(tmp_path / "scene.html", clip, seconds=4.0, vertical_fov=50.0)
    assert (tmp_path / "scene.html").stat().st_size < 5e6


def ball(x: float) -> Gaussians:
    """Something white, a third of a unit across, at x to the right of the pivot."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.uniform(-0.1, 0.1, (200, 3)) + [x, 0, 1],
        np.tile([1, 0, 0, 0], (200, 1)),
        np.full((200, 3), np.log(0.03)),
        np.full(200, 3),
        np.full((200, 1, 3), 1.7),
    )
    return Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))


def column(picture: np.ndarray) -> float:
    """Where the ball is seen, from -1 to 1; -9 where there is none."""
    lit = picture.min(-1) > 150
    if lit.mean() < 0.005:
        return -9
    return 2 * np.nonzero(lit)[1].mean() / picture.shape[1] - 1


def test_a_browser_shows_time_and_camera(tmp_path, browser):
    clip = [ball(x) for x in (-0.3, -0.1, 0.1, 0.3)]
    write_page(tmp_path / "scene.html", clip, seconds=4.0, vertical_fov=60.0)
    browser.open((tmp_path / "scene.html").as_uri())
    slider = "document.querySelector('[role=slider]')"
    browser.wait(f"{slider} && Number({slider}.ariaValueNow) > 0.2")  # it plays by itself
    browser.space()

    box = browser.place(f"{slider}.parentElement")
    for share, low, high in ((0.05, -1, -0.2), (0.95, 0.2, 1)):
        browser.press((box["x"] + share * box["width"], box["y"] + box["height"] / 2))
        browser.see(lambda p, low=low, high=high: low < column(p) < high)

    right = column(browser.picture())
    browser.press((150, 100), (180, 100), (230, 100))
    browser.see(lambda p: -1 <= column(p) < right - 0.1)  # the camera went around the pivot

    browser.space()
    browser.wait(f"Number({slider}.ariaValueNow) < 3")  # plays on, from the start again
