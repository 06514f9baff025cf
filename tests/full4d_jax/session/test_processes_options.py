"""Numbers of processes that do not belong together are refused before anything waits."""

import pytest

from full4d_jax.cli import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes", "2"], "--processes: found 2, expected none without a coordinator"),
        (["--process", "0"], "--process: found 0, expected none without a coordinator"),
        (["--processes", "99999999999"], "--processes: found 99999999999, expected 0 to 1048576"),
        (["--process", "-2"], "--process: found -2, expected -1 to 1048575"),
        (["--coordinator", "machine"], "--coordinator: found machine, expected HOST:PORT"),
        (["--coordinator", "machine:http"], "expected HOST:PORT"),
        (["--coordinator", "a:1234"], "--processes: found 0, expected at least 2"),
        (["--coordinator", "a:1234", "--processes", "2"], "--process: found -1, expected 0 to 1"),
    ],
)
def test_refused_in_one_line(options, message, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--config", "debug", "--out", str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
