"""Niantic's `.spz`, version 3: a gzip stream of 20 bytes a Gaussian, and 1 a harmonic coefficient.

    header      magic "NGSP", version, count: 3 x uint32; degree, fraction bits, flags, 0: 4 x uint8
    positions   3 x int24 each, of 2^-(fraction bits) world units
    opacities   1 x uint8 each
    colors      3 x uint8 each: 255 (0.5 + 0.15 c), where c is the coefficient of degree 0
    scales      3 x uint8 each: 16 (log-scale + 10)
    rotations   uint32 each: which of x y z w is the largest, then sign and 9 bits of the others
    harmonics   uint8 each: 128 + 128 c

Axes are y up, z back. Version 4 has the same arrays, each as a zstd stream of its own without a
checksum; its readers read version 3, too, so that is what is written. Version 2 has three bytes a
rotation: 127.5 (1 + q) of x y z, where w is positive. Version 1 was never released.

Where the flag 2 is set, records follow the arrays (in version 4 precede its table): each a kind and
a length, 2 x uint32, and so many bytes. One kind names other axes.
"""

import struct
import zlib
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt32
from numpy import ndarray

from gaussians.formats import scene_files
from gaussians.types import Gaussians

HEADER = struct.Struct("<4sIIBBBB")
# Of version 4, behind it: where the table of the streams begins.
STREAMS = struct.Struct("<I12x")
MAGIC = b"NGSP"
COLOR_STEP = 0.15
RECORD = struct.Struct("<II")
# The kind of Adobe's record of another system of axes.
AXES_RECORD = 0xADBE0003
# For zlib: a stream with a gzip header.
GZIP_BITS = 31


def save_spz(path: str | Path, scene: Gaussians) -> None:
    """Write a scene, in its own order.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    means, quaternions, log_scales, logits, harmonics = scene_files.arrays_to_write(
        path, scene
    )
    bits = _fraction_bits(Path(path), means, log_scales)
    count, coefficients = harmonics.shape[:2]
    degree = round(coefficients**0.5) - 1
    turned = scene_files.turn_harmonics(harmonics)
    steps = np.rint(
        scene_files.turn_vectors(means).astype(np.float64) * 2**bits
    ).astype("<i4")
    parts = (
        HEADER.pack(MAGIC, 3, count, degree, bits, 0, 0),
        steps.view(np.uint8).reshape(-1, 3, 4)[..., :3].tobytes(),
        scene_files.to_levels(scene_files.sigmoid(logits)).tobytes(),
        scene_files.to_levels(0.5 + COLOR_STEP * harmonics[:, 0]).tobytes(),
        scene_files.to_levels((log_scales + 10) * 16 / 255).tobytes(),
        _pack_rotations(scene_files.turned_xyzw(quaternions)).astype("<u4").tobytes(),
        scene_files.to_levels((128 + 128 * turned[:, 1:]) / 255).tobytes(),
    )
    packer = zlib.compressobj(9, wbits=GZIP_BITS)
    Path(path).write_bytes(packer.compress(b"".join(parts)) + packer.flush())


def load_spz(path: str | Path) -> Gaussians:
    """Read a scene of version 2, 3 or 4.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not such a scene.
    """
    path = scene_files.existing_file(path, "a .spz file")
    content = path.read_bytes()
    head, columns = (_read_streams if content.startswith(MAGIC) else _unzip)(
        path, content
    )
    places, opacities, colors, scales, rotations, higher = columns
    count = head.count
    mean = (colors.reshape(count, 1, 3) / 255 - 0.5) / COLOR_STEP
    higher_terms = (higher.reshape(count, -1, 3) - 128.0) / 128
    # The three bytes of an integer become the upper ones of four, and go down again.
    padded = np.pad(places.reshape(count, 3, 3), ((0, 0), (0, 0), (1, 0)))
    steps = padded.view("<i4")[..., 0] >> 8
    turns = rotations.reshape(count, -1)
    if head.version == 2:
        quaternions = scene_files.with_largest(
            np.full(count, 0), turns / 127.5 - 1
        ).astype(np.float32)
    else:
        quaternions = _unpack_rotations(turns)
    return scene_files.to_gaussians(
        scene_files.turn_vectors(steps / 2.0**head.bits),
        scene_files.turn_quaternions(quaternions),
        (scales.reshape(count, 3) / 16 - 10).astype(np.float32),
        scene_files.logit(opacities / 255).astype(np.float32),
        scene_files.turn_harmonics(np.concatenate([mean, higher_terms], 1)),
    )


class _Head(NamedTuple):
    version: int
    count: int
    bits: int
    # Bytes of each array.
    sizes: list[int]
    has_records: bool


def _read_head(path: Path, data: bytes, versions: tuple[int, ...]) -> _Head:
    magic, version, count, degree, bits, flags, _ = HEADER.unpack_from(data)
    known = magic == MAGIC and version in versions
    expected = " or ".join(map(str, versions))
    scene_files.require(path, "version", known, version, expected)
    found = f"{count} Gaussians of degree {degree}"
    scene_files.require(
        path, "header", count and degree <= 3, found, "at least one, of degree 0 to 3"
    )
    rotation = 3 if version == 2 else 4
    sizes = [size * count for size in (9, 1, 3, 3, rotation, 3 * (degree + 1) ** 2 - 3)]
    return _Head(version, count, bits, sizes, bool(flags & 2))


def _check_axes(path: Path, records: bytes) -> None:
    """Refuse a file whose records name other axes than the usual ones, or are cut."""
    # Numbers of the usual axes.
    up_and_back = 0, 4
    while records:
        kind, length = RECORD.unpack(records[: RECORD.size].ljust(RECORD.size, b"\xff"))
        content, records = (
            records[RECORD.size :][:length],
            records[RECORD.size + length :],
        )
        whole = len(content) == length
        scene_files.require(path, "extensions", whole, "a part", "whole records")
        usual = kind != AXES_RECORD or int.from_bytes(content, "little") in up_and_back
        scene_files.require(
            path, "SPZ_ADOBE_coordinate_system", usual, "other axes", "right, up, back"
        )


def _unzip(path: Path, content: bytes) -> tuple[_Head, list[UInt8[ndarray, "_"]]]:
    """Return header and arrays of version 2 or 3."""
    # Bytes of all; a camera's limits take 20.
    most_records = 2**20
    unpacker = zlib.decompressobj(GZIP_BITS)
    with scene_files.damage_of(path, "file", "spz of version 2, 3 or 4"):
        head = _read_head(path, unpacker.decompress(content, HEADER.size), (2, 3))
        size = sum(head.sizes)
        most = size + head.has_records * most_records
        arrays = unpacker.decompress(unpacker.unconsumed_tail, most + 1)
    # The checksum stands at the end.
    whole = size <= len(arrays) <= most and unpacker.eof
    found = f"{len(arrays)} bytes"
    scene_files.require(path, "arrays", whole, found, f"{size}, in a whole file")
    _check_axes(path, arrays[size:])
    return head, np.split(
        np.frombuffer(arrays, np.uint8, size), np.cumsum(head.sizes)[:-1]
    )


def _read_streams(
    path: Path, content: bytes
) -> tuple[_Head, list[UInt8[ndarray, "_"]]]:
    """Return header and arrays of version 4: a table of sizes, then a zstd stream an array."""
    # Bytes of positions in one of a file: Niantic's reader refuses more, too.
    most_packed = 1024
    with scene_files.damage_of(path, "file", "a whole header"):
        head = _read_head(path, content, (4,))
    fits = head.count * 9 <= most_packed * len(content)
    scene_files.require(path, "header", fits, f"{head.count} Gaussians", "fewer")
    try:
        import pyarrow
    except ImportError:
        raise scene_files.FormatError(
            path, "version", 4, "3, or zstd: pip install pyarrow"
        ) from None
    # Without harmonics there is no stream of them.
    sizes = [size for size in head.sizes if size]
    with scene_files.damage_of(path, "arrays", "a whole file"):
        (table,) = STREAMS.unpack_from(content, HEADER.size)
        entries = struct.unpack_from(f"<{2 * len(sizes)}Q", content, table)
        ends = list(accumulate(entries[::2], initial=table + 16 * len(sizes)))
        whole = list(entries[1::2]) == sizes and ends[-1] == len(content)
        found = f"streams of {entries} bytes"
        scene_files.require(path, "arrays", whole, found, f"{sizes}, in a whole file")
        columns = []
        for (a, b), size in zip(pairwise(ends), sizes, strict=True):
            unpacked = pyarrow.decompress(content[a:b], size, "zstd", asbytes=True)
            columns.append(np.frombuffer(unpacked, np.uint8))
    _check_axes(path, content[HEADER.size + STREAMS.size : table])
    return head, [*columns, np.zeros(0, np.uint8)][: len(head.sizes)]


def _fraction_bits(
    path: Path, means: scene_files.Triples, scales: scene_files.Triples
) -> int:
    """Return bits that hold a tenth of the usual Gaussian's width, or as many as there is room."""
    # More are noise that does not compress.
    most_bits = 20
    wanted = np.ceil(np.log2(10) - np.median(scales) / np.log(2))
    farthest = max(float(np.abs(means).max()), 1e-9)
    room = np.floor(23 - np.log2(farthest) - 1e-6)
    expected = "at most 2^22, for the format keeps 24 bits"
    scene_files.require(path, "means", room >= 1, f"{farthest:g}", expected)
    return int(np.clip(wanted, 1, min(room, most_bits)))


def _pack_rotations(unit: Float[ndarray, "g 4"]) -> UInt32[ndarray, "g"]:
    largest, three = scene_files.smallest_three(unit)
    sizes = np.rint(np.abs(three) * np.sqrt(2) * 511).clip(0, 511).astype(np.uint32)
    x, y, z = (sizes | (three < 0).astype(np.uint32) << 9).T
    return largest.astype(np.uint32) << 30 | x << 20 | y << 10 | z


def _unpack_rotations(content: UInt8[ndarray, "g 4"]) -> Float32[ndarray, "g 4"]:
    """Return unit quaternions w x y z, the inverse of `_pack_rotations`."""
    packed = content.view("<u4")
    parts = np.concatenate([packed >> 20, packed >> 10, packed], 1) & 1023
    three = (parts & 511) / 511 / np.sqrt(2) * np.where(parts & 512, -1, 1)
    unit = scene_files.with_largest((packed[:, 0] >> 30).astype(np.int64), three)
    return np.roll(unit, 1, axis=1).astype(np.float32)
