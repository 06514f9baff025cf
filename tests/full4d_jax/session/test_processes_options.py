"""Numbers of processes that do not belong together are refused before anything waits."""

import socket

import jax
import pytest

from full4d_jax.cli import main
from full4d_jax.session import processes
from full4d_jax.session.errors import InputError, PeerError
from full4d_jax.training.loop import STOPPED_EXIT_CODE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes", "2"], "--processes: found 2, expected none without a coordinator"),
        (["--processes", "99999999999"], "--processes: found 99999999999, expected 0 to 1048576"),
        (["--coordinator", "machine"], "--coordinator: found machine, expected HOST:PORT"),
        (["--coordinator", "a:1234"], "--processes: found 0, expected at least 2"),
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


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path, capsys):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        command = ["train", "--config", "debug", "--out", str(tmp_path / "run")]
        several = ["--coordinator", f"localhost:{port}", "--processes", "2", "--process", "0"]
        assert main([*command, *several]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    in_use = f"--coordinator: found port {port}, which cannot be used (Address already in use)"
    assert line.startswith(f"full4d: option: {in_use}, expected a free port")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("file", "a", "nothing", "something", "look"), 2),
        (PeerError("process", "another one", "silence", "an answer", "start again"), 75),
        (OSError("the network is away"), 75),
    ],
)
def test_processes_end_as_the_one_that_failed(error, code):
    assert processes.exit_code_of(error) == code
    with pytest.raises(InputError, match="another one: found an error") as refusal:
        processes.require_all(code)
    assert refusal.value.exit_code == code


def test_where_the_others_do_not_come_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    def wait_in_vain(*_) -> None:
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out")

    monkeypatch.setattr(jax.distributed, "initialize", wait_in_vain)
    command = ["train", "--config", "debug", "--out", str(tmp_path / "run"), "--distributed"]
    assert main(command) == STOPPED_EXIT_CODE
    assert "--distributed: found DEADLINE_EXCEEDED" in capsys.readouterr().err
