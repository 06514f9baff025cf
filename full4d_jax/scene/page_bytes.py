"""Bytes as text of a page: 8 bytes take 7 with UTF-8's seven bits, where base64 takes 6.

A group of seven bits is the character of that number. Four of those would not survive in a file of
HTML: such a group and the next are one character of two bytes instead.
"""

import numpy as np


def bytes_as_text(content: bytes) -> str:
    """Return bytes as text; what is decoded may end with a byte too many."""
    unsafe = (0, 10, 13, 60)  # nothing, the ends of lines, and "<"; as in viewer/unpack.js
    first_pair = 2  # 128 times it is the first character of a pair
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    padded = np.zeros(-(-len(bits) // 7) * 7 + 7, np.uint8)  # a group more for a pair to end
    padded[: len(bits)] = bits
    codes = np.packbits(padded.reshape(-1, 7), axis=1)[:, 0].astype(np.uint32) >> 1
    is_used = np.ones(len(codes), bool)
    is_used[-1] = False
    after = 0
    for i in np.flatnonzero(np.isin(codes[:-1], unsafe)):
        if i < after:
            continue  # the second of a pair
        codes[i] = (unsafe.index(codes[i]) + first_pair) << 7 | codes[i + 1]
        is_used[i + 1] = False
        after = i + 2
    return codes[is_used].astype("<u4").tobytes().decode("utf-32-le")
