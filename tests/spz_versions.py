"""`.spz` files of versions 2 and 4, which this repository reads and does not write."""

import gzip
import itertools
import struct
from pathlib import Path

import numpy as np
import pyarrow


def as_version_4(path: Path) -> bytes:
    """Return the arrays of a file of version 3 in the container of version 4."""
    content = gzip.decompress(path.read_bytes())
    count, degree, bits = struct.unpack_from("<IBB", content, 8)
    sizes = [x * count for x in (9, 1, 3, 3, 4, 3 * (degree + 1) ** 2 - 3) if x]
    ends = np.cumsum([16, *sizes])
    parts = [content[a:b] for a, b in itertools.pairwise(ends)]
    streams = [pyarrow.compress(part, "zstd", asbytes=True) for part in parts]
    table = [(len(stream), size) for stream, size in zip(streams, sizes, strict=True)]
    head = struct.pack("<4sIIBBBB", b"NGSP", 4, count, degree, bits, 0, len(sizes))
    head += struct.pack("<I12x", 32)
    rows = [struct.pack("<QQ", *row) for row in table]
    return head + b"".join([*rows, *streams])


def as_version_2(path: Path) -> bytes:
    """Return a file of version 3 as one of version 2, without its rotations."""
    content = gzip.decompress(path.read_bytes())
    count, degree = struct.unpack_from("<IB", content, 8)
    place = 16 + 16 * count  # of the rotations
    turns = bytes([128, 128, 128]) * count
    rest = content[place + 4 * count :]
    assert len(rest) == count * (3 * (degree + 1) ** 2 - 3)
    return gzip.compress(b"NGSP\2" + content[5:place] + turns + rest)
