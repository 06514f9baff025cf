"""Options of `full4d data`, and readers of their shorthands."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, NamedTuple

from full4d_jax.session.fields import Between, Count, require_option
from full4d_jax.session.processes import ALONE, ProcessOptions, check_processes

# The names of all clips are in memory; the same command with --first makes others.
ClipCount = Annotated[int, Between(1, 2**22)]
SceneIndex = Annotated[int, Between(0, 2**31 - 1)]
JobCount = Annotated[int, Between(1, 1024)]
TestShare = Annotated[float, Between(0, 0.9)]


class Writing(NamedTuple):
    """Number of files of a data set, and the processes that write them.

    Attributes:
      shards: about how many there are; 0 is what makes them 256 MiB each.
      part: (i, n) writes every n-th file from the i-th on.
      jobs: processes.
      threads: of this process in their place.
    """

    shards: int = 0
    part: tuple[int, int] = (0, 1)
    jobs: int = 1
    threads: int = 1


@dataclass(frozen=True)
class FileOptions:
    """The files of the new data set."""

    shards: Annotated[int, Between(0, 100_000)] = 0
    """Approximate number of files; 0 makes files of 256 MiB."""
    shard: str = "0/1"
    """i/n writes every n-th file from the i-th on; n commands make all, on any machines."""

    def writing(self, jobs: int = 1, several: ProcessOptions = ALONE) -> Writing:
        """Return how to write the part i/n; of several processes each is a part itself.

        Raises:
          InputError: it is something else, or given to several processes; or as `check_processes`.
        """
        check_processes(several)
        index, _, count = self.shard.partition("/")
        fits = index.isdecimal() and count.isdecimal() and int(index) < int(count)
        expected = "i/n with i from 0 to n - 1, such as 0/4"
        require_option("shard", self.shard, fits, expected)
        fits = not several.are_several or int(count) == 1
        expected = f"none with {several.flag}: each process is a part"
        require_option("shard", self.shard, fits, expected)
        return Writing(self.shards, (int(index), int(count)), jobs)


@dataclass(frozen=True)
class ClipSize:
    """The size of a rendered clip."""

    views: Count = 4
    """Cameras of a clip; view 0 is the source and has depth."""
    frames: Count = 4
    """Instants of a clip."""
    height: Count = 64
    """Height of a frame in pixels."""
    width: Count = 64
    """Width of a frame in pixels."""

    def check(self) -> None:
        """Refuse clips that no memory holds; they take 16 bytes a pixel while they are made.

        Raises:
          InputError: it is such a clip.
        """
        most_pixels = 2**27
        pixels = math.prod(astuple(self))
        found = f"{pixels:,} pixels in one clip"
        expected = f"at most {most_pixels:,}, by --views, --frames, --height, --width"
        require_option("height", found, pixels <= most_pixels, expected)


def range_of(instants: str) -> tuple[int, int | None]:
    """Return the numbers of first:end, None where no end is given; raises InputError."""
    first, colon, end = instants.partition(":")
    fits = bool(colon) and first.isdecimal() and (not end or end.isdecimal())
    require_option("instants", instants, fits, "first:end, such as 0:50 or 50:")
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
        fits = number.isdecimal() and int(number) % 90 == 0 and name not in turns
        expected = "CAMERA=DEGREES once for each, such as cam03=90, 180 or -90"
        require_option("turn", word, fits, expected)
        turns[name] = int(degrees)
    return turns
