"""A headless browser, driven over its DevTools protocol; and a small codec with random weights."""

import base64
import dataclasses
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from full4d_jax.config.codecs import KINDS
from full4d_jax.models.codec_files import save_codec
from full4d_jax.models.wan import vae

# Without a graphics card the pictures are drawn by SwiftShader, in software.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader --remote-debugging-port=0 --no-first-run --disable-extensions"
)
PATIENCE = 60.0  # seconds until something that must happen counts as missing


def changed(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the pixels that differ clearly."""
    return float((np.abs(a.astype(int) - b).max(-1) > 30).mean())


def decoded(file: str) -> np.ndarray:
    """Return the picture in a PNG or JPEG file in base64."""
    content = np.frombuffer(base64.b64decode(file), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


class Browser:
    """One page; what it shows and what a person does there."""

    def __init__(self, socket: Connection):
        self._socket = socket
        self._numbers = itertools.count(1)
        self._call("Page.enable")

    def open(self, url: str, *, width: int = 320, height: int = 300) -> None:
        """A page of that many pixels, ready for input."""
        self._leave(width, height)
        self._call("Page.navigate", url=url)
        self.wait("document.documentElement?.dataset.state")

    def _leave(self, width: int, height: int) -> None:
        """Go to an empty page of that many pixels, or a new fragment would load nothing."""
        self._shown = {"x": 0, "y": 0, "scale": 1, "width": width, "height": height}
        size = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": False,
        }
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url="about:blank")
        self.wait("location.href == 'about:blank'")

    def picture(self) -> np.ndarray:
        """Return what is visible, (h, w, 3) uint8 of blue, green and red."""
        found = self._call("Page.captureScreenshot", format="png", clip=self._shown)
        return decoded(found["data"])

    def still(self) -> np.ndarray:
        """Return the picture of a page that is one (`#still`), in the same order of colours."""
        picture = self.script("document.documentElement.dataset.picture")
        return decoded(picture.partition(",")[2])

    def style(self, rules: str) -> None:
        self.script(
            f"document.head.appendChild(document.createElement('style')).textContent = '{rules}'"
        )

    def see(self, wanted: Callable[[np.ndarray], bool]) -> np.ndarray:
        """The first picture that is as wanted and stays so."""
        end = time.monotonic() + PATIENCE
        before, now = self.picture(), self.picture()
        while not (wanted(before) and wanted(now) and changed(before, now) < 0.001):
            assert time.monotonic() < end, "the page never shows what it should"
            before, now = now, self.picture()
        return now

    def script(self, expression: str) -> Any:
        found = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the script gives something true."""
        end = time.monotonic() + PATIENCE
        while not self.script(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never true in the page: {expression}"
            time.sleep(0.1)

    def place(self, element: str) -> dict[str, float]:
        """Box of an element: x, y, width and height in pixels; the argument is JavaScript."""
        box = f"({element}).getBoundingClientRect()"
        return json.loads(self.script(f"JSON.stringify({box})"))

    def click(self, element: str) -> None:
        """In the middle of an element."""
        box = self.place(element)
        self.press((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))

    def press(self, *points: tuple[float, float]) -> None:
        """The mouse goes down at the first point, to the others and up at the last."""
        kinds = ["mousePressed", *["mouseMoved"] * len(points[1:]), "mouseReleased"]
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)

    def touch(self, *fingers: list[tuple[float, float]]) -> None:
        """Fingers go down where their first point is, along the others, and up."""
        self._call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
        for i, places in enumerate(zip(*fingers, strict=True)):
            points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
            kind = "touchMove" if i else "touchStart"
            self._call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, **parameters)
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _send(self, method: str, **parameters: Any) -> int:
        number = next(self._numbers)
        words = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(words))
        return number


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """An empty page; skips the test where there is no Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} on the path")
    profile = tmp_path / "browser"
    command = [program, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with connect(_address(profile / "DevToolsActivePort"), max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def _address(announced: Path) -> str:
    """Return the address of the first page's socket, once the browser has written it."""
    end = time.monotonic() + PATIENCE
    while not (announced.exists() and announced.read_text().count("\n")):
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.05)
    port = announced.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    return pages[0]["webSocketDebuggerUrl"]


@pytest.fixture(scope="session")
def random_codec(tmp_path_factory) -> Callable[[str], str]:
    """A function of wan21 or wan22: a file of weights of that codec, narrow and random."""
    folder = tmp_path_factory.mktemp("codecs")

    def write(name: str) -> str:
        rng, path = np.random.RandomState(0), folder / f"{name}.safetensors"
        small = dataclasses.replace(KINDS[name], base=2, decoder_base=2, blocks=1)
        shapes = vae.abstract_params(small)
        weights = jax.tree.map(
            lambda x: 0.3 * rng.randn(*x.shape).astype(np.float32), shapes
        )
        save_codec(path, name, weights)
        return str(path)

    return write
