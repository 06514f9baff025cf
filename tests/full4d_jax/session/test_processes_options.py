"""Numbers of processes that do not belong together are refused before anything waits."""

import socket

import pytest

from full4d_jax.cli import main
from full4d_jax.session import processes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes", "2"], "--processes: found 2, expected none without a coordinator"),
        (["--coordinator", "a:1234", "--processes", "2"], "--process: found -1, expected 0 to 1"),
    ],
)
def test_refused_in_one_line(options, message, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--config", "debug", "--out", str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_where_no_process_listens_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "SECONDS_TO_WAIT", 0.0)
    with socket.socket() as closed:  # a port that is taken, and does not listen
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        command = ["train", "--config", "debug", "--out", str(tmp_path / "run")]
        several = ["--coordinator", address, "--processes", "2", "--process", "1"]
        assert main([*command, *several]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    silence = "--coordinator: found no answer in 0 s (Connection refused), expected"
    assert said.startswith(f"full4d: option: {silence}")
