"""Errors of the disk are one line and exit code 2, in every command."""

import threading
from pathlib import Path

import pytest

from full4d_jax.cli import main
from full4d_jax.session.disk import disk_error, quiet_threads
from input_pipeline.whole_files import write_text


@pytest.mark.parametrize("name", ["n" * 300, "file"])
def test_names_that_the_disk_refuses(tmp_path, capsys, name):
    (tmp_path / "file").touch()
    out = str(tmp_path / name)
    size = ["--views", "1", "--frames", "1", "--height", "16", "--width", "16"]
    assert main(["data", "procedural", "--scenes", "1", *size, "--out", out]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if line.startswith("full4d: ")]) == 1
    assert "Traceback" not in "".join(told)


def test_a_folder_where_a_file_belongs_is_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match="Is a directory") as error:
        write_text(tmp_path / "a.txt", "")
    told = disk_error(error.value)
    assert told is not None
    assert told.where == str(tmp_path / "a.txt")


def test_threads_leave_a_full_disk_to_the_main_thread(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(failed.exc_type))
    quiet_threads()
    for work in (lambda: Path("/dev/full").write_text("x"), lambda: 1 / 0):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert told == [ZeroDivisionError]
