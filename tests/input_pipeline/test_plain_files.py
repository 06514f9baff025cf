"""Files of strangers: what claims more than it holds is refused before memory is taken."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.footage import (
    picture_size,
    read_alpha,
    read_depth,
    read_mask,
    read_picture,
)
from input_pipeline.importers.colmap_files import read_points
from input_pipeline.importers.opencv import load_table
from input_pipeline.importers.qualisys import read_qca
from input_pipeline.plain_files import load_array, load_arrays, load_json, load_lines, parse_json
from input_pipeline.video_files import open_video


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
