"""Files appear whole or not at all, and what killed programs left goes."""

import os
import socket
import subprocess
import sys
import time

import pytest

from input_pipeline.whole_files import whole_file, write_text


def test_a_file_appears_when_it_is_complete(tmp_path):
    with whole_file(tmp_path / "a.json") as partial:
        partial.write_text("half")
        assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
        assert not (tmp_path / "a.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_after_an_error_the_old_file_is_there(tmp_path):
    write_text(tmp_path / "a.json", "old")

    def fill() -> None:
        with whole_file(tmp_path / "a.json") as partial:
            partial.unlink()
            partial.symlink_to("/dev/full")
            partial.write_text("new")

    with pytest.raises(OSError, match="No space"):
        fill()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_leftovers_of_killed_programs_go_and_others_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    ages = {f"{here}-{ended.pid}": 0, f"{here}-{os.getppid()}": 7200, "far-7": 60, "far-8": 7200}
    for name, age in ages.items():
        path = tmp_path / f".a.partial-{name}.json"
        path.write_text("")
        written = time.time() - age
        os.utime(path, (written, written))
    (tmp_path / f".b.partial-{here}-{ended.pid}.json").write_text("")
    write_text(tmp_path / "a.json", "whole")
    left = {path.name for path in tmp_path.iterdir()}
    stays = {f".a.partial-{here}-{os.getppid()}.json", ".a.partial-far-7.json"}
    assert left == {"a.json", f".b.partial-{here}-{ended.pid}.json"} | stays
