"""Files of strangers: what claims more than it holds is refused before memory is taken."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.footage import picture_size, read_alpha, read_depth, read_mask, read_picture
from input_pipeline.importers.colmap import read_points
from input_pipeline.importers.opencv import load_table
from input_pipeline.importers.qualisys import read_qca
from input_pipeline.plain_files import (
    load_array,
    load_arrays,
    load_json,
    load_lines,
    parse_json,
    require_layout,
)
from input_pipeline.video_files import open_video

LAYOUT = {"version": int, "share?": float, "files": {str: {"bytes": int}}, "names": [str]}
WHOLE = {"version": 1, "files": {"a": {"bytes": 3}}, "names": ["x"], "other": None}


def member(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """Return an .npy file whose header names a shape."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def test_arrays_come_back_and_only_those_that_are_wanted(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 4))}
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
        *(picture_size, read_picture, read_alpha, read_mask, open_video, load_table, read_qca),
        lambda path: read_depth(path, None),
        lambda path: load_lines(path, dict),
        *(read_points, lambda path: open_dataset(path.parent)),
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
    with pytest.raises(ValueError, match=r"found (a member|bytes between)"):
        load_arrays(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"version": True}, "there, version: found True, expected a whole number"),
        ({"share": float("nan")}, "there, share: found nan, expected a finite number"),
        ({"files": {"a": {}}}, "there, files, a: found nothing, expected a field bytes"),
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
