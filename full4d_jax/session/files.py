"""Read and write named arrays, write files that appear only when complete, open folders."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from full4d_jax.session.errors import InputError
from input_pipeline.footage import ADDRESS, UNREADABLE

Arrays = dict[str, ndarray]


def save_arrays(path: Path, arrays: Mapping[str, ndarray]) -> None:
    """Write named arrays as an .npz, which appears only when it is complete."""
    named: dict[str, Any] = dict(arrays)
    with whole_file(path) as partial:
        np.savez_compressed(partial, **named)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file gets its name only when it is complete."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    yield partial
    partial.replace(path)


def open_folder(path: str | Path) -> Path:
    """Make the output folder and try to write into it, before any work; return its path.

    Raises:
      InputError: The path is a file or in object storage, or nothing can be written there.
    """
    path = Path(path)
    if ADDRESS.match(str(path)):  # a folder of that name would be made here
        found, expected = "an address of object storage", "a folder on a file system"
        do = "write it to a disk, then copy it (docs/data.md)"
        raise InputError("output folder", path, found, expected, do)
    do = "give a folder that you may write to as --out"
    if path.exists() and not path.is_dir():
        raise InputError("output folder", path, "a file", "a folder", do)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise InputError("output folder", path, error.strerror, "a writable folder", do) from None
    return path


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of an .npz; none when there is no such file or it cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except UNREADABLE:
        return {}
