"""Does the page show what `gaussians.render` draws, and how fast? One JSON line comes last.

    python benchmarks/viewer.py [--out FOLDER | --count 60000] [--seconds 8 --device]

Opens the page of a run's folder, or of a random moving scene, in headless Chromium: PSNR against
`render` in the source camera at three instants, pictures a second while it plays and sways in a
window of 1280 x 720, and bytes. Software draws (SwiftShader) unless `--device` lets the machine's
graphics card do it.
"""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import Cameras, cameras_in
from full4d_jax.scene.packing import pack_scene
from full4d_jax.scene.page import POLICY, page_text, run_viewing
from full4d_jax.scene.reading import read_scene
from full4d_jax.session.files import read_arrays
from gaussians import Camera, DynamicGaussians, Gaussians, Scene, render
from input_pipeline.cameras import orbit, resize_intrinsics

TIMES = (0.0, 0.5, 1.0)
ROWS = 480  # about so many rows have the pictures that are compared
WINDOW = (1280, 720)
UNPACKED = "--virtual-time-budget=30000"  # milliseconds in which a page unpacks its scene
SOFTWARE = "--disable-gpu --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"


def main() -> None:
    """Measure, print a table, then the JSON line."""
    options = argparse.ArgumentParser(description="Compares the viewer's page with render.")
    options.add_argument("--out", type=Path, help="the folder of a run")
    options.add_argument("--count", type=int, default=60_000, help="of the random scene")
    options.add_argument("--seconds", type=float, default=8.0, help="for which it plays")
    options.add_argument("--device", action="store_true", help="draw with the graphics card")
    asked = options.parse_args()
    if asked.out:
        scene = read_scene(asked.out)
        if isinstance(scene, Gaussians):
            raise SystemExit(f"--out: found {asked.out} with a still scene, expected a moving one")
        cameras = cameras_in(read_arrays(asked.out / "grid.npz"))
    else:
        scene = random_scene(asked.count)
        cameras = random_cameras()
    flags = [] if asked.device else SOFTWARE.split()
    measured = measure(scene, cameras, flags, asked.seconds)
    for name, value in measured.items():
        print(f"{name:22} {value}")
    print(json.dumps(measured))


def measure(scene: Scene, cameras: Cameras, flags: Sequence[str], seconds: float) -> dict[str, Any]:
    """All numbers of one scene."""
    page = page_text(scene, run_viewing(cameras), seconds=4.0)
    packed = pack_scene(scene)
    per_gaussian = (packed.records.nbytes + packed.instants.nbytes) / len(packed.records)
    # Of a picture whose sides are rounded, the page and `render` would crop different parts.
    scale = max(1, round(ROWS / cameras.height))
    lens = resize_intrinsics(np.asarray(cameras.intrinsics[0]), rows=scale, columns=scale)
    height = scale * cameras.height
    width = scale * cameras.width
    psnrs = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.html"
        path.write_text(page)
        for moment in TIMES:
            address = f"{path.as_uri()}#still&time={moment}&width={width}&height={height}"
            address += "&background=000000"
            shown = picture_in(dom(address, [*flags, UNPACKED]))
            pose = cameras.world_to_camera[
                0, round(moment * (cameras.world_to_camera.shape[1] - 1))
            ]
            camera = Camera(jnp.asarray(pose), jnp.asarray(lens), width, height)
            drawn = render(jax.jit(type(scene).at)(scene, moment), camera, antialiased=True).rgb
            error = np.clip(np.asarray(drawn), 0, 1) - shown / 255.0
            psnrs.append(round(float(-10 * np.log10((error**2).mean())), 2))
    return {
        "gaussians": len(packed.records),
        "bytes_a_gaussian": per_gaussian,
        "page_megabytes": round(len(page.encode()) / 1e6, 3),
        "psnr": psnrs,
        **played(page, flags, seconds),
        "device": "graphics card" if not flags else f"software on {os.cpu_count()} cores",
    }


def played(page: str, flags: Sequence[str], seconds: float) -> dict[str, Any]:
    """Pictures a second, and the size of the picture.

    Chromium prints a page when it has loaded; a picture that is late in coming gives it time.
    """
    policy = POLICY.replace("img-src", "img-src http:")
    content = page.replace(POLICY, policy).replace("<body>", '<body><img src="/late" hidden>')

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/late":
                time.sleep(seconds)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"" if self.path == "/late" else content.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        at = f"http://127.0.0.1:{server.server_port}/#width={WINDOW[0]}&height={WINDOW[1]}"
        loaded = dom(at, [*flags, size])
        server.shutdown()
    canvas = re.search(r'<canvas[^>]*width="(\d+)" height="(\d+)"', loaded)
    return {
        "pictures_a_second": float(attribute(loaded, "data-fps")),
        "of_pixels": "x".join(canvas.groups()) if canvas else "?",
    }


def dom(address: str, flags: Sequence[str]) -> str:
    """What Chromium makes of a page, once it has loaded."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise SystemExit(f"none of {', '.join(names)} on the path")
    with tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--no-sandbox", "--no-first-run", *flags]
        command += [f"--user-data-dir={profile}", "--dump-dom", address]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def attribute(page: str, name: str) -> str:
    """An attribute of the page's root."""
    value = re.search(rf'<html[^>]*{name}="([^"]*)"', page)
    if value is None:
        raise SystemExit(f"the page has no {name}: {page[:300]}")
    return value[1]


def picture_in(page: str) -> UInt8[np.ndarray, "h w 3"]:
    """The PNG that a page of one still picture holds."""
    encoded = attribute(page, "data-picture").partition(",")[2]
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SystemExit("the page's picture is no PNG")
    return np.ascontiguousarray(bgr[..., ::-1])


def random_scene(count: int) -> DynamicGaussians:
    """Gaussians of the sizes and opacities of a fitted scene; a fifth of them come and go."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.7, 3.0, count)
    slopes = rng.uniform(-1, 1, (count, 2)) * [0.9, 0.5]
    scales = rng.normal(np.log(1.05 / count**0.5), 0.5, (count, 3))
    arrays = (
        np.column_stack([slopes * depth[:, None], depth]),
        rng.normal(size=(count, 4)),
        scales + np.log(depth)[:, None],
        rng.normal(1.0, 0.5, count),
        rng.normal(0, 1, (count, 1, 3)),
    )
    gates = np.where(rng.random(count) < 0.8, 4.0, -4.0)
    motion = (rng.normal(0, 0.05, (count, 3)), rng.random(count), rng.normal(-1.5, 0.5, count))
    gaussians = Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))
    return DynamicGaussians(gaussians, *(jnp.asarray(x, jnp.float32) for x in (*motion, gates)))


def random_cameras() -> Cameras:
    """A source of 640 x 360 pixels and two views beside it."""
    lens = np.array([[420, 0, 320], [0, 420, 180], [0, 0, 1]], np.float32)
    poses = orbit(np.array([0.0, -30.0, 30.0]), 0.0)[:, None].astype(np.float32)
    return Cameras(np.tile(lens, (3, 1, 1)), poses, 360, 640)


if __name__ == "__main__":
    main()
