"""Opens safetensors files: whatever is wrong with one is told in one line."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from full4d_jax.session.errors import InputError, require_file

# What safetensors and numpy raise for headers that claim what cannot be.
DAMAGED = (SafetensorError, RecursionError, ValueError, OverflowError, OSError)


@contextlib.contextmanager
def open_tensors(
    path: str | Path, what: str = "checkpoint", expected: str = "a safetensors file"
) -> Iterator[Any]:
    """Open a file, whose tensors are read as numpy's.

    Args:
      path: of the file.
      what: the kind of thing that it is, for the message.
      expected: what it should be.

    Raises:
      InputError: there is none, or it is damaged, also where that shows while it is read.
    """
    do = "check the path"
    require_file(what, path, expected, do)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(what, path, error, expected, do) from error
