"""The command `view`: a run or a file, served until Ctrl-C."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import ball, cameras, moving_ball

from full4d_jax.cli import main
from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.scene.reading import read_scene
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.scene.serving import page_server
from full4d_jax.session.stages import Stages
from gaussians import (
    Gaussians,
    save_dynamic_ply,
    save_packed_ply,
    save_ply,
    save_sog,
    save_splat,
    save_spz,
)

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
    grid = Grid(frames=frames, origin=all_real(frames), times=np.arange(2) / 8, cameras=cameras())
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


def test_a_file_is_seen_in_the_browser(tmp_path, browser):
    save_ply(tmp_path / "ball.ply", ball())
    with served(tmp_path / "ball.ply") as (url, line):
        assert "ball.ply: 200 Gaussians" in line
        browser.open(url)
        lit = browser.see(lambda p: (p.min(-1) > 150).mean() > 0.02).min(-1) > 150
        rows, columns = (np.nonzero(lit)[axis].mean() / lit.shape[axis] for axis in (0, 1))
        assert rows == pytest.approx(0.4, abs=0.1)  # above the bar
        assert columns == pytest.approx(0.5, abs=0.1)
        assert browser.script("viewer.settings.limit") is None


def test_all_kinds_of_files_are_read(tmp_path):
    arrays: dict[str, Any] = to_arrays(moving_ball())
    writers = {
        "a.4d.ply": lambda path: save_dynamic_ply(path, moving_ball()),
        "a.ply": lambda path: save_ply(path, ball()),
        "a.compressed.ply": lambda path: save_packed_ply(path, ball()),
        "a.splat": lambda path: save_splat(path, ball()),
        "a.spz": lambda path: save_spz(path, ball()),
        "a.sog": lambda path: save_sog(path, ball()),
        "a.npz": lambda path: np.savez(path, **arrays),
    }
    for name, write in writers.items():
        write(tmp_path / name)
        scene = read_scene(tmp_path / name)
        means = scene.means if isinstance(scene, Gaussians) else scene.gaussians.means
        assert float(jnp.abs(means.mean(0) - jnp.array([0, 0, 1])).max()) < 0.02, name


def test_a_busy_port_gives_way_to_the_next():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with page_server("x", port=port) as server:
            assert port < server.server_port < port + 20


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


def test_a_head_has_the_length_and_no_page():
    with serving() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Length"] == "1"
        assert answer.read() == b""


def test_other_web_sites_get_nothing():
    with serving() as server:
        here = f"localhost:{server.server_port}"
        assert asked(server, Host=here) == asked(server, Host=f"127.0.0.1:{server.server_port}")
        assert asked(server, Host=here) == 200
        assert asked(server, Host=here, Origin=f"http://{here}") == 200
        assert asked(server, Host=here, Origin="https://evil.example") == 403
        assert asked(server, Host="evil.example") == 403  # a name that was made to point here
        assert asked(server, Host="") == 403


def test_a_public_page_is_for_those_who_know_its_address():
    with serving("secret") as server:
        assert asked(server, "/secret", Host="studio:8080") == 200
        assert asked(server, "/", Host="studio:8080") == 404
        assert asked(server, "/secret", Host="studio", Origin="https://evil.example") == 403


def test_folders_without_a_scene_and_bad_options_are_refused(tmp_path, capsys):
    (tmp_path / "half.npz").write_bytes(b"")
    (tmp_path / "film.mp4").write_bytes(b"")
    for words, said in (
        ([tmp_path / "none"], "found no such file or folder"),
        ([tmp_path, "--port", 99999], "--port: found 99999"),
        ([tmp_path, "--seconds", 0], "--seconds: found 0"),
        ([tmp_path / "none.ply"], "found no such file"),
        ([tmp_path / "film.mp4"], "found a video, expected the folder of a run or a splat file"),
        ([tmp_path / "half.npz"], "expected a whole .npz file"),
    ):
        assert main(["view", *map(str, words)]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    finished_run(tmp_path)
    (tmp_path / "scene.npz").write_bytes(b"")
    assert main(["view", str(tmp_path)]) == 2
    assert "run full4d lift" in capsys.readouterr().err
