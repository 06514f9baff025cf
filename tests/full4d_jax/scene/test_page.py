"""The page as a file: what it holds, how large it is, and that it needs nothing else."""

import json
import os
import re
import zlib

import numpy as np
from moving_scene import ball, cameras, moving_ball, random_scene

from full4d_jax.scene import page
from full4d_jax.scene.packing import pack_scene
from full4d_jax.scene.squeezing import squeezed


def part(text: str, name: str) -> str:
    """Content of a script element of the page."""
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found, name
    return found[1]


def bytes_of(text: str) -> bytes:
    """The bytes of a text of seven bits a character, or fourteen."""
    groups = []
    for code in map(ord, text):
        unsafe, low = divmod(code, 128)
        high = f"{(0, 10, 13, 60)[unsafe - 2]:07b}" if unsafe else ""
        groups.append(f"{high}{low:07b}")
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
    found = re.search(
        r'<script class="code" type="text/plain" data-length="(\d+)">([^<]*)<', text
    )
    assert found
    return json.loads(zlib.decompress(bytes_of(found[2])[: int(found[1])]))


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
    # Always there, and for a while.
    assert [len(part["columns"]) for part in parts] == [14, 17]
    assert sum(part["count"] for part in parts) == len(packed.records)
    sizes = {"count": len(packed.records), "length": len(squeezed(packed).content)}
    assert settings["scene"] == {"samples": 0, "still": False, "harmonic": 0} | sizes
    assert settings["seconds"] == 2.5
    views = settings["views"]
    assert [view["name"] for view in views] == ["source", "1", "2"]
    assert [len(view["poses"]) for view in views] == [1, 2, 1]  # view 1 moves
    np.testing.assert_allclose(views[0]["poses"][0], np.eye(4)[:3].ravel(), atol=1e-6)
    np.testing.assert_allclose(views[2]["angles"], [40, 0], atol=1e-4)
    assert views[0]["lens"] == [100, 104, 66, 47]
    np.testing.assert_allclose(
        settings["limit"], [40, page.LEAST_TURN_DEGREES], atol=1e-4
    )


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
    text = page.page_text(
        random_scene(60_000), page.run_viewing(cameras()), seconds=4.0
    )
    length = json.loads(part(text, "settings"))["scene"]["length"]
    assert length < 13 * 60_000  # nothing of random numbers is alike; of the demo's 7
    assert len(text.encode()) < 1e6
    viewer = len(text.encode()) - length * 8 / 7
    assert viewer < 40_000


def test_the_help_names_whom_to_credit():
    credit = "A & B <b@c.org>, CC BY 4.0"
    text = page.page_text(ball(), page.overview(ball()), seconds=1.0, credit=credit)
    escaped = "A &amp; B &lt;b@c.org&gt;, CC BY 4.0"
    assert f'<meta name="copyright" content="Made from: {escaped}">' in text
    texts = {"policy": "", "title": "", "credit": escaped}
    assert f'<p id="credit">{escaped}</p>' in str(page.program(texts)["controls"])


def test_a_title_is_text_whatever_stands_in_it():
    text = page.page_text(
        ball(), page.overview(ball()), seconds=1.0, title="</title><script>&{{policy}}"
    )
    assert "<title>&lt;/title&gt;&lt;script&gt;&amp;{{policy}}</title>" in text
    named = os.fsdecode(b"\xff\x1b[31m.ply")  # a file name that is no UTF-8
    page.page_text(ball(), page.overview(ball()), seconds=1.0, title=named).encode()
