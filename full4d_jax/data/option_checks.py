"""Checks of the options of `full4d data`, and readers of their shorthands."""

import math
from collections.abc import Sequence

from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import ALONE, ProcessOptions, check_processes

MOST_RENDERED = 2**27  # pixels of a clip, which take 2 GiB while it is made
MOST_SCENES = 2**22  # whose names are in memory; the same command with --first makes others
MOST_FILES = 100_000
MOST_PROCESSES = 1024
SIDES = ("views", "frames", "height", "width")


def check_counts(first: int, counts: dict[str, int]) -> None:
    """Refuse counts below 1 and scenes that there are none of; raises InputError."""
    for name, count in counts.items():
        if count < 1:
            raise InputError("option", f"--{name}", count, "at least 1", f"choose another --{name}")
    most = {"scenes": MOST_SCENES, "clips": MOST_SCENES, "jobs": MOST_PROCESSES}
    for name in counts.keys() & most.keys():
        if counts[name] > most[name]:
            raise _too_many(name, counts[name], most[name])
    if counts.keys() >= set(SIDES):
        pixels = math.prod(counts[name] for name in SIDES)
        if pixels > MOST_RENDERED:
            found = f"{pixels:,} pixels in one clip"
            do = "lower --views, --frames, --height or --width"
            raise InputError("option", "--height", found, f"at most {MOST_RENDERED:,}", do)
    last = first + counts["scenes"] - 1
    if first < 0 or last >= 2**31:
        found = f"scenes {first} to {last}"
        raise InputError("option", "--first", found, "0 to 2**31 - 1", "choose another --first")


def check_shards(shards: int) -> None:
    """Refuse numbers of files that no folder should hold; raises InputError."""
    if not 0 <= shards <= MOST_FILES:
        do = "choose another --shards"
        raise InputError("option", "--shards", shards, f"0 to {MOST_FILES:,}", do)


def _too_many(name: str, count: int, most: int) -> InputError:
    return InputError("option", f"--{name}", count, f"at most {most:,}", f"lower --{name}")


def range_of(instants: str) -> tuple[int, int | None]:
    """Return the numbers of first:end, None for an end that is left out; raises InputError."""
    first, colon, end = instants.partition(":")
    if not (colon and first.isdecimal() and (not end or end.isdecimal())):
        expected = "first:end, such as 0:50 or 50:"
        raise InputError("option", "--instants", repr(instants), expected, "change it")
    return int(first), int(end) if end else None


def turns_of(words: Sequence[str]) -> dict[str, int]:
    """Return the degrees of each of CAMERA=DEGREES, or of DEGREES for all others, by camera.

    Raises:
      InputError: no multiple of 90, or a camera twice.
    """
    turns: dict[str, int] = {}
    for word in words:
        name, _, degrees = word.rpartition("=")
        number = degrees.removeprefix("-")
        if not number.isdecimal() or int(number) % 90 or name in turns:
            expected = "CAMERA=DEGREES once for each, such as cam03=90, 180 or -90"
            raise InputError("option", "--turn", repr(word), expected, "change it")
        turns[name] = int(degrees)
    return turns


def part_of(shard: str, several: ProcessOptions = ALONE) -> tuple[int, int]:
    """Return the numbers of i/n; of several processes each is a part itself.

    Raises:
      InputError: it is something else, or given to several processes; or as `check_processes`.
    """
    check_processes(several)
    index, slash, count = shard.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        expected = "i/n with i from 0 to n - 1, such as 0/4"
        raise InputError("option", "--shard", repr(shard), expected, "change it")
    if several.are_several and int(count) > 1:
        expected = f"none with {several.flag}: each process is a part"
        raise InputError("option", "--shard", shard, expected, "leave it out")
    return int(index), int(count)


def check_test_share(test: float) -> None:
    """Refuse shares of scenes that leave none to train on; raises InputError."""
    if not 0 <= test < 1:
        raise InputError("option", "--test", test, "a share from 0 to below 1", "change it")
