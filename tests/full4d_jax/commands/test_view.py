"""The command `view`: a run, served until Ctrl-C."""

import http.client
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from moving_scene import cameras, moving_ball

from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.scene.scene_reader import to_arrays
from full4d_jax.scene.serving import page_server
from full4d_jax.session.stages import Stages

# Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
LISTENING = (
    "import signal, sys; from full4d_jax.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)


@contextmanager
def served(*words: object) -> Iterator[tuple[str, str]]:
    """The address that `full4d view` prints, and its line; ends it with Ctrl-C."""
    command = [sys.executable, "-c", LISTENING, "view", "--port", "0", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            url = re.search(r"http://localhost:\d+", line)
            assert url, line + process.stderr.read()
            yield url[0], line
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0
            assert errors == ""
        finally:
            process.kill()


def finished_run(folder: Path) -> Path:
    """Write the files of a run that `view` needs."""
    stages = Stages(folder, say=lambda line: None)
    frames = np.zeros((3, 2, 96, 128, 3), np.uint8)
    times = np.arange(2) / 8
    grid = Grid(frames=frames, origin=all_real(frames), times=times, cameras=cameras())
    stages.run("grid", {}, lambda: grid_arrays(grid))
    stages.run("scene", {}, lambda: to_arrays(moving_ball()))
    return folder


def test_a_run_is_served_until_it_is_interrupted(tmp_path):
    with served(finished_run(tmp_path), "--seconds", 3) as (url, line):
        assert "200 Gaussians" in line
        with urllib.request.urlopen(url) as answer:
            page = answer.read().decode()
        assert '"name":"source"' in page
        assert '"seconds":3' in page
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/scene.npz")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def asked(server, path: str = "/", **headers: str) -> int:
    """Return the status of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path, headers=headers)
    return connection.getresponse().status


@contextmanager
def serving(secret: str = ""):
    """Serve a page to this test."""
    with page_server("x", port=0, secret=secret) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def test_other_web_sites_get_nothing():
    with serving() as server:
        here = f"localhost:{server.server_port}"
        assert asked(server, Host=f"127.0.0.1:{server.server_port}") == 200
        assert asked(server, Host=here) == 200
        assert asked(server, Host=here, Origin=f"http://{here}") == 200
        assert asked(server, Host=here, Origin="https://evil.example") == 403
        # A name that was made to point here.
        assert asked(server, Host="evil.example") == 403
        assert asked(server, Host="") == 403


def test_a_public_page_is_for_those_who_know_its_address():
    with serving("secret") as server:
        assert asked(server, "/secret", Host="studio:8080") == 200
        assert asked(server, "/", Host="studio:8080") == 404
        assert (
            asked(server, "/secret", Host="studio", Origin="https://evil.example")
            == 403
        )
