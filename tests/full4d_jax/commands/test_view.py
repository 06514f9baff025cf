"""The command `view`: a run, served until Ctrl-C."""

import http.client
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from moving_scene import cameras, moving_ball
from refused import refusal

from full4d_jax.cli import main
from full4d_jax.commands import view
from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.scene import renders
from full4d_jax.scene.scene_reader import to_arrays
from full4d_jax.scene.serving import page_server
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session.stages import Stages

# Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
LISTENING = (
    "import signal, sys; from full4d_jax.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)


@contextmanager
def served(*words: object, number: int = signal.SIGINT) -> Iterator[str]:
    """The address that `full4d view` prints; a signal ends it, by default that of Ctrl-C."""
    command = [sys.executable, "-c", LISTENING, "view", "--port", "0", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = ""
            while not (url := re.search(r"http://localhost:\d+", said)):
                line = process.stdout.readline()
                assert line, said + process.stderr.read()
                said += line
            yield url[0]
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
            by_person = number == signal.SIGINT
            assert process.returncode == (0 if by_person else 128 + number)
            assert errors == ("" if by_person else "\nfull4d: stopped by SIGTERM\n")
        finally:
            process.kill()


def grid_of_run() -> Grid:
    """Black pictures of all views."""
    frames = np.zeros((3, 2, 96, 128, 3), np.uint8)
    times = np.arange(2) / 8
    return Grid(frames=frames, origin=all_real(frames), times=times, cameras=cameras())


@pytest.fixture(scope="module")
def shown_run(tmp_path_factory) -> Path:
    """The folder of a run to its end."""
    stages = Stages(tmp_path_factory.mktemp("run"), say=lambda line: None)
    stages.run("grid", {}, lambda: grid_arrays(grid_of_run()))
    scene = stages.run("scene", {}, lambda: to_arrays(moving_ball()))
    renders.show_scene(stages, grid_of_run(), scene, RenderOptions(16, 0.1))
    return stages.folder


@pytest.fixture
def finished_run(shown_run, tmp_path) -> Path:
    """A copy of it with the times of its files."""
    return Path(shutil.copytree(shown_run, tmp_path / "run"))


@pytest.fixture
def served_page(monkeypatch):
    """A function from words to the page that `full4d view` serves."""
    pages = []

    @contextmanager
    def server(page: bytes, **_: object) -> Iterator[SimpleNamespace]:
        pages.append(page)
        yield SimpleNamespace(server_port=1, serve_forever=lambda: None)

    def page(*words: object) -> bytes:
        assert main(["view", *map(str, words)]) == 0
        return pages.pop()

    monkeypatch.setattr(view, "page_server", server)
    return page


def test_a_run_is_served_until_it_is_interrupted(finished_run):
    with served(finished_run) as url:
        with urllib.request.urlopen(url) as answer:
            page = answer.read()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert page == (finished_run / "scene.html").read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/scene.npz")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_sigterm_ends_it_with_its_own_exit_code(finished_run):
    with served(finished_run, number=signal.SIGTERM) as url:
        assert urllib.request.urlopen(url).status == 200


def test_the_page_of_a_run_is_served_as_the_run_left_it(finished_run, served_page):
    (finished_run / "scene.html").write_text("as it is")
    assert served_page(finished_run) == b"as it is"
    page = served_page(finished_run, "--seconds", 3).decode()
    assert '"seconds":3' in page
    assert '"name":"source"' in page


def fit_again(folder: Path) -> None:
    """Write another scene, whose page is not written yet."""
    Stages(folder).run("scene", {"seed": 1}, lambda: to_arrays(moving_ball()))


def look_at_another_fit(folder: Path) -> None:
    """Write the page of a fit that then is stopped."""
    renders.show_first_look(Stages(folder), grid_of_run(), moving_ball())


def lose_the_page(folder: Path) -> None:
    (folder / "scene.html").unlink()


@pytest.mark.parametrize("change", [fit_again, look_at_another_fit, lose_the_page])
def test_a_page_of_another_scene_is_not_served(
    finished_run, served_page, capsys, change
):
    change(finished_run)
    assert b'"name":"source"' in served_page(finished_run)
    assert f"{finished_run}: building a page" in capsys.readouterr().out


@pytest.mark.usefixtures("served_page")
def test_a_scene_of_another_grid_is_refused(finished_run, capsys):
    Stages(finished_run).run("grid", {"seed": 1}, lambda: grid_arrays(grid_of_run()))
    assert "made from another grid" in refusal(capsys, "view", finished_run)


def asked(server, path: str = "/", **headers: str) -> int:
    """Return the status of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path, headers=headers)
    return connection.getresponse().status


@contextmanager
def serving(secret: str = ""):
    """Serve a page to this test."""
    with page_server(b"x", port=0, secret=secret) as server:
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
