"""The doors to files: what is opened and refused, and that output appears whole."""

import io
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.importers.colmap import read_points
from input_pipeline.importers.opencv import load_table
from input_pipeline.importers.qualisys import read_qca
from input_pipeline.media_files import (
    picture_size,
    read_alpha,
    read_depth,
    read_mask,
    read_picture,
)
from input_pipeline.plain_files import (
    FileRefusal,
    load_array,
    load_arrays,
    load_json,
    load_lines,
    open_regular,
    parse_json,
    read_regular,
    require_layout,
    what_is_there,
)
from input_pipeline.video_files import open_video
from input_pipeline.whole_files import (
    make_own_folder,
    open_to_append,
    whole_file,
    write_text,
)

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
    ages = {f"{here}-{ended.pid}": 0, f"{here}-{os.getppid()}": 7200}
    ages |= {"far-7": 60, "far-8": 7200}
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


LAYOUT = {"version": int, "share?": float, "files": {str: {"bytes": int}}}
LAYOUT |= {"names": [str]}
WHOLE = {"version": 1, "files": {"a": {"bytes": 3}}, "names": ["x"], "other": None}


def member(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """Return an .npy file whose header names a shape."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def test_arrays_come_back_and_only_those_that_are_wanted(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text")}
    arrays["c"] = np.zeros((0, 4))
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = load_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert load_arrays(tmp_path / "a.npz", ("b", "missing")).keys() == {"b"}


def test_a_header_that_claims_more_than_the_file_is_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(member((10**12,), bytes(80)))
    with pytest.raises(ValueError, match=r"a\.npy: found"):
        load_array(tmp_path / "a.npy", "numbers")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", member((10**12,), bytes(80)))
    with pytest.raises(ValueError, match=r"a\.npz: found .*, expected a whole"):
        load_arrays(tmp_path / "a.npz")


def test_nested_json_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"deep\.json: found broken JSON"):
        load_json(tmp_path / "deep.json")
    assert parse_json(json.dumps({"a": [1]}), "here") == {"a": [1]}


@pytest.mark.parametrize(
    "read",
    [
        *(picture_size, read_picture, read_alpha, read_mask, open_video, load_table),
        *(read_qca, read_points, lambda path: read_depth(path, None)),
        lambda path: load_lines(path, dict),
        lambda path: open_dataset(path.parent),
    ],
)
def test_no_reader_waits_for_a_pipe_or_reads_a_device(read, tmp_path):
    path = tmp_path / "index.json"
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        make(path)
        with pytest.raises(ValueError, match=r"found (a pipe|a file of the kernel)"):
            read(path)
        path.unlink()


def test_members_that_a_damaged_directory_does_not_list_are_missed(tmp_path):
    """No checksum covers the last bytes of an archive, which say where its directory is."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(5), b=np.arange(5))
    content = bytearray(path.read_bytes())
    count, _, size, start = struct.unpack_from("<HHII", content, len(content) - 14)
    shorter = size // count
    struct.pack_into("<II", content, len(content) - 10, shorter, start + size - shorter)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 1
    with pytest.raises(ValueError, match=r"found (a gap|bytes between)"):
        load_arrays(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"version": True}, "there, version: found True, expected a whole number"),
        ({"share": float("nan")}, "there, share: found nan, expected a finite number"),
        ({"files": {"a": {}}}, "there, files, a: found nothing, expected a field"),
        ({"names": ["x", 1]}, "there, names, item 1: found 1, expected a text"),
    ],
)
def test_what_does_not_fit_is_named(edit, message):
    require_layout(WHOLE, LAYOUT, "there")
    with pytest.raises(ValueError, match="there") as error:
        require_layout(WHOLE | edit, LAYOUT, "there")
    assert message in str(error.value)


def test_lines_are_read_but_for_one_that_was_cut_short(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert load_lines(path, {"step": int}) == [{"step": 1}, {"step": 2}]
    path.write_bytes(json.dumps({"step": 1}).encode() + b"\n\xff\n")
    with pytest.raises(ValueError, match="line 2: found broken JSON"):
        load_lines(path, {"step": int})
