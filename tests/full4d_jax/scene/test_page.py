"""The page as a file: what it holds, how large it is, and that it needs nothing else."""

import json
import os
import re
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import ball, bending_scene, cameras, moving_ball, random_scene

from full4d_jax.scene import page
from full4d_jax.scene.packing import pack_scene
from full4d_jax.scene.page_bytes import bytes_as_text
from full4d_jax.scene.squeezing import squeezed
from gaussians import Gaussians


def part(text: str, name: str) -> str:
    """What stands in a script element of the page."""
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found, name
    return found[1]


def bytes_of(text: str) -> bytes:
    """The bytes of a text of seven bits a character, or fourteen."""
    groups = []
    for code in map(ord, text):
        unsafe, low = divmod(code, 128)
        groups.append(f"{(0, 10, 13, 60)[unsafe - 2]:07b}{low:07b}" if unsafe else f"{code:07b}")
    bits = "".join(groups)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))


def data(text: str) -> bytes:
    """The scene in a page."""
    parts = re.findall(r'<script class="data" type="text/plain">([^<]*)</script>', text)
    assert len(parts) == page.DATA_PARTS
    length = json.loads(part(text, "settings"))["scene"]["length"]
    return bytes_of("".join(parts))[:length]


def program(text: str) -> dict:
    """The style, controls and scripts in a page."""
    found = re.search(r'<script class="code" type="text/plain" data-length="(\d+)">([^<]*)<', text)
    assert found
    return json.loads(zlib.decompress(bytes_of(found[2])[: int(found[1])]))


@pytest.mark.parametrize("length", [0, 1, 7, 1000])
def test_bytes_are_text_that_a_page_can_hold(length):
    rng = np.random.default_rng(length)
    for content in (rng.bytes(length), bytes(length), bytes([60]) * length):
        text = bytes_as_text(content)
        assert bytes_of(text)[:length] == content
        assert not set(text) & set("\0\n\r<")
        assert len(text.encode()) <= -(-length * 8 // 7) + 1


def test_the_page_holds_the_scene_and_its_cameras(tmp_path):
    scene, seen = random_scene(300), cameras()
    page.write_page(tmp_path / "scene.html", scene, page.run_viewing(seen), seconds=2.5)
    text = (tmp_path / "scene.html").read_text()
    assert not re.search(r"\{\{[a-z.]+\}\}", text)
    assert f"<title>{page.TITLE}</title>" in text
    packed = pack_scene(scene)
    assert data(text) == squeezed(packed).content
    settings = json.loads(part(text, "settings"))
    parts = settings["scene"].pop("parts")
    assert [len(part["columns"]) for part in parts] == [14, 17]  # always there, and for a while
    assert sum(part["count"] for part in parts) == len(packed.records)
    length = len(squeezed(packed).content)
    count = len(packed.records)
    assert settings["scene"] == {
        "count": count,
        "samples": 0,
        "still": False,
        "harmonic": 0,
        "length": length,
    }
    assert settings["seconds"] == 2.5
    views = settings["views"]
    assert [view["name"] for view in views] == ["source", "1", "2"]
    assert [len(view["poses"]) for view in views] == [1, 2, 1]  # view 1 moves
    np.testing.assert_allclose(views[0]["poses"][0], np.eye(4)[:3].ravel(), atol=1e-6)
    np.testing.assert_allclose(views[2]["angles"], [40, 0], atol=1e-4)
    assert views[0]["lens"] == [100, 104, 66, 47]
    np.testing.assert_allclose(settings["limit"], [40, page.LEAST_TURN_DEGREES], atol=1e-4)


def test_the_middle_is_where_something_moves():
    frames = np.full((4, 20, 40, 3), 90, np.uint8)
    assert page.middle_of_motion(frames) == (0.5, 0.5)
    frames[1, 2:10, 26:34] = 200
    viewing = page.run_viewing(cameras(), frames)
    np.testing.assert_allclose(viewing.middle, [0.75, 0.3], atol=0.03)
    frames[1] = 200  # a new picture
    assert page.middle_of_motion(frames) == (0.5, 0.5)


def test_the_page_loads_nothing():
    text = page.page_text(moving_ball(), page.run_viewing(cameras()), seconds=1.0)
    assert page.POLICY.startswith("default-src 'none'")
    assert f'content="{page.POLICY}"' in text
    everything = text + json.dumps(program(text))
    loads = r"https?://|@import|\bfetch\(|XMLHttpRequest|WebSocket|import\("
    assert not re.search(loads, everything)
    # What stands for an icon keeps the browser from asking for one.
    assert re.findall(r'(?:src|href)=\\?"([^"]*)"', everything) == ["data:,"]


def test_sixty_thousand_gaussians_are_below_a_megabyte(monkeypatch):
    monkeypatch.setattr(page, "contributions", lambda *_: np.ones(60_000))
    text = page.page_text(random_scene(60_000), page.run_viewing(cameras()), seconds=4.0)
    length = json.loads(part(text, "settings"))["scene"]["length"]
    assert length < 13 * 60_000  # nothing of random numbers is alike; of the demo's 7
    assert len(text.encode()) < 1e6
    viewer = len(text.encode()) - length * 8 / 7
    assert viewer < 40_000


def test_a_scene_that_bends_has_its_instants():
    bending = bending_scene(50)
    text = page.page_text(bending, page.run_viewing(cameras()), seconds=1.0)
    samples = json.loads(part(text, "settings"))["scene"]["samples"]
    count = len(pack_scene(bending).records)
    assert samples == 16
    scene = json.loads(part(text, "settings"))["scene"]
    columns = sum(x["count"] * width for x in scene["parts"] for _, width in x["columns"])
    assert len(zlib.decompress(data(text))) == 16 * samples * count + columns


def test_a_title_is_text_whatever_stands_in_it():
    text = page.page_text(
        ball(), page.overview(ball()), seconds=1.0, title="</title><script>&{{policy}}"
    )
    assert "<title>&lt;/title&gt;&lt;script&gt;&amp;{{policy}}</title>" in text
    named = os.fsdecode(b"\xff\x1b[31m.ply")  # a file name that is no UTF-8
    page.page_text(ball(), page.overview(ball()), seconds=1.0, title=named).encode()


@pytest.mark.parametrize("unit", [0.01, 300.0])
def test_the_camera_of_a_scene_without_cameras_sees_almost_all_of_it(unit):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 3)) * [2, 1, 1]
    means[:20] *= 1000  # far away
    means = unit * (means + [5, -3, 10])
    filled = [jnp.zeros((1000, *shape)) for shape in ((4,), (3,), (), (1, 3))]
    viewing = page.overview(Gaussians(jnp.asarray(means, jnp.float32), *filled))
    assert viewing.limit is None
    rows = np.asarray(viewing.cameras.world_to_camera[0, 0], np.float64)
    in_camera = means @ rows[:3, :3].T + rows[:3, 3]
    np.testing.assert_allclose(rows[:3, :3], np.eye(3), atol=1e-6)  # y down, z forward
    places = in_camera[:, :2] / in_camera[:, 2:] * viewing.cameras.intrinsics[0, 0, 0]
    inside = (in_camera[:, 2] > 0) & (np.abs(places) < 240).all(1)
    assert 0.94 < inside.mean() < 0.99
