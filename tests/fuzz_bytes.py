"""Mutations of the bytes of a file, whatever it is."""

import numpy as np

EDGE = 512  # bytes at both ends of a file, where headers and directories are
NUMBERS = [0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1]
WORDS = [b"0", b"-1", b"1e999", b"nan", b"999999999", b"99999999999999999999", b"[]", b"{}", b'"x"']


def mutate(seed: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four things wrong with it."""
    data = bytearray(seed)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        place = _place(len(data), rng)
        match rng.integers(8):
            case 0:
                data[place] ^= 1 << rng.integers(8)
            case 1:
                data[place] = rng.choice([0, 255, 32, 45, 57])
            case 2:  # an integer that is a length, perhaps
                size = int(rng.choice([1, 2, 4, 8]))
                number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 2 ** (8 * size)
                data[place : place + size] = number.to_bytes(size, "little")
            case 3:
                del data[place:]
            case 4:
                del data[place : place + int(rng.integers(1, 64))]
            case 5:
                part = data[place : place + int(rng.integers(1, 64))]
                data[place:place] = part * int(rng.integers(1, 4))
            case 6:
                data[place:place] = rng.bytes(int(rng.integers(1, 16)))
            case _:
                _replace_number(data, place, rng)
    return bytes(data)


def _place(size: int, rng: np.random.Generator) -> int:
    """Mostly near an end of the file."""
    near = min(size, EDGE)
    return int(
        [rng.integers(near), size - 1 - rng.integers(near), rng.integers(size)][
            rng.choice(3, p=[0.5, 0.25, 0.25])
        ]
    )


def _replace_number(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """The next run of digits becomes another word."""
    digits = b"0123456789"
    start = next((i for i in range(place, min(place + 200, len(data))) if data[i] in digits), None)
    if start is not None:
        end = start
        while end < len(data) and data[end] in digits:
            end += 1
        data[start:end] = WORDS[rng.integers(len(WORDS))]
