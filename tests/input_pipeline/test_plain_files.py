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


def test_zeros_that_shrink_a_thousand_times_are_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(2_000_000, np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 4000
    assert load_arrays(tmp_path / "a.npz")["a"].size == 2_000_000


def test_a_header_that_claims_more_than_the_file_is_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(member((10**12,), bytes(80)))
    with pytest.raises(ValueError, match=r"a\.npy: found no readable array"):
        load_array(tmp_path / "a.npy", "numbers")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", member((10**12,), bytes(80)))
    with pytest.raises(ValueError, match="claims 8000000000000 bytes"):
        load_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2])
def test_packings_that_shrink_without_limit_are_refused(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", kind) as archive:
        archive.writestr("a.npy", member((10**6,), bytes(8 * 10**6)))
    with pytest.raises(ValueError, match="not stored or deflated"):
        load_arrays(tmp_path / "a.npz")


def test_a_directory_that_claims_terabytes_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 2**32 - 2)  # the size when it is unpacked
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match="claims too many bytes"):
        load_arrays(tmp_path / "a.npz")


def test_nested_json_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"deep\.json: found JSON that is nested too deeply"):
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


def test_an_encrypted_member_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # flags of the first member, in the directory
    path.write_bytes(data)
    with pytest.raises(ValueError, match="that is encrypted"):
        load_arrays(path)
    whole = tmp_path / "b.jsonl"
    whole.write_text('{"big": ' + "9" * 20 + "}")
    with pytest.raises(ValueError, match="a whole number of 20 digits"):
        load_json(whole)


@pytest.mark.parametrize("listed", [0, 1])
def test_members_that_a_damaged_directory_does_not_list_are_missed(tmp_path, listed):
    """No checksum covers the last bytes of an archive, which say where its directory is."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(5), b=np.arange(5))
    content = bytearray(path.read_bytes())
    count, _, size, start = struct.unpack_from("<HHII", content, len(content) - 14)
    shorter = size * listed // count
    struct.pack_into("<II", content, len(content) - 10, shorter, start + size - shorter)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == listed
    with pytest.raises(ValueError, match=r"found (a member|bytes between)"):
        load_arrays(path)


@pytest.mark.parametrize("kind", [">f4", np.longdouble, np.clongdouble, ">f2"])
def test_arrays_of_other_machines_become_ones_of_this(tmp_path, kind):
    array = np.arange(6).reshape(2, 3).astype(kind)
    np.savez(tmp_path / "a.npz", x=array)
    np.save(tmp_path / "a.npy", array)
    for read in (load_arrays(tmp_path / "a.npz")["x"], load_array(tmp_path / "a.npy", "numbers")):
        assert read.dtype.isnative
        assert (
            read.dtype.itemsize <= 16 if read.dtype.kind == "c" else 4 <= read.dtype.itemsize <= 8
        )
        np.testing.assert_array_equal(read, array)
    beyond = np.full(3, np.longdouble(10) ** 400)
    np.savez(tmp_path / "a.npz", x=beyond)
    with pytest.raises(ValueError, match="long doubles beyond every double"):
        load_arrays(tmp_path / "a.npz")


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(ValueError, match="found broken JSON"):
        parse_json(r'{"name": "\ud800"}', "here")
    assert parse_json(r'{"name": "\ud83d\ude00"}', "here") == {"name": "\U0001f600"}
