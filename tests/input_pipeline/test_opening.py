"""The doors to files: what is opened and refused, that output follows no link and appears whole."""

import os
import socket
import stat
import subprocess
import sys
import time

import pytest

from input_pipeline.plain_files import FileRefusal, open_regular, read_regular, what_is_there
from input_pipeline.whole_files import make_own_folder, open_to_append, whole_file, write_text

WORDS = "of the user"


@pytest.fixture
def places(tmp_path):
    """One of everything that a name can be, and what is said of it."""
    (tmp_path / "file").write_text(WORDS)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "maps").symlink_to("/proc/self/maps")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    return tmp_path


REFUSED = {
    "folder": "a folder",
    "pipe": "a pipe",
    "zero": "a file of the kernel",
    "maps": "a file of the kernel",
    "none": "no such file",
    "circle": "",
    "nul\0": "",
}


@pytest.mark.parametrize(("name", "found"), REFUSED.items())
def test_what_is_no_regular_file_is_refused_at_once(places, name, found):
    with pytest.raises(FileRefusal, match=f"found .*{found}"):
        open_regular(places / name)
    assert found in what_is_there(places / name)
    assert what_is_there(places / name)


@pytest.mark.parametrize("name", ["file", "link"])
def test_regular_files_are_read_through_links(places, name):
    assert read_regular(places / name) == WORDS.encode()
    assert not what_is_there(places / name)
    with pytest.raises(FileRefusal, match=r"found 11 bytes, expected at most 10"):
        open_regular(places / name, most=10)


def test_output_follows_no_link(places):
    """Whatever links lie in an output folder, what they lead to stays as it is."""
    out = places / "out"
    out.mkdir()
    (out / "metrics.jsonl").symlink_to(places / "file")
    (out / "sheets").symlink_to(places / "folder")
    (out / "report.json").symlink_to(places / "file")
    with pytest.raises(FileRefusal, match="found a link"):
        open_to_append(out / "metrics.jsonl")
    with pytest.raises(FileRefusal, match="found a link"):
        make_own_folder(out / "sheets")
    write_text(out / "report.json", "ours")
    assert not (out / "report.json").is_symlink()
    assert (places / "file").read_text() == WORDS
    assert not list((places / "folder").iterdir())


def test_a_link_under_the_name_of_a_partial_file_is_not_followed(places):
    """A stranger may guess the name under which a file is written."""
    with whole_file(places / "a.txt") as partial:
        name = partial.name
    (places / name).symlink_to(places / "file")
    write_text(places / "a.txt", "ours")
    assert (places / "file").read_text() == WORDS
    assert (places / "a.txt").read_text() == "ours"
    assert stat.S_IMODE((places / "a.txt").stat().st_mode) & 0o400


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
