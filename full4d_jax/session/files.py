"""Read and write named arrays, open output folders, and hold them against other processes."""

import contextlib
import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from full4d_jax.session.errors import InputError, input_errors
from input_pipeline import addresses, whole_files
from input_pipeline.plain_files import load_arrays

Arrays = dict[str, ndarray]
LOCK = ".lock"
# Descriptors of this process, whose locks end with it.
_held: dict[Path, int] = {}


def save_arrays(path: Path, arrays: Mapping[str, ndarray]) -> None:
    """Write named arrays as an .npz, which appears only when it is complete."""
    named: dict[str, Any] = dict(arrays)
    with whole_files.whole_file(path) as partial:
        np.savez(partial, **named)


def hold_folder(path: str | Path, part: tuple[int, int] = (0, 1)) -> Path:
    """Open an output folder as `open_folder` does, for this process alone until it ends.

    Args:
      path: the folder.
      part: (i, n) shares the folder with the other n - 1 processes that make a part of it.

    Raises:
      InputError: As `open_folder` does, or another process writes there.
    """
    folder = open_folder(path)
    index, count = part
    _hold(folder, LOCK, fcntl.LOCK_EX if count == 1 else fcntl.LOCK_SH)
    if count > 1:
        _hold(folder, f"{LOCK}-{index}-of-{count}", fcntl.LOCK_EX)
    return folder


def hold_dataset(path: Path, part: tuple[int, int] = (0, 1)) -> Path:
    """Open the folder of a data set as `hold_folder` does; in object storage nothing can be held.

    Raises:
      InputError: nothing can be written there, or as `hold_folder`.
    """
    address = addresses.address_of(path)
    if not address:
        return hold_folder(path, part)
    with input_errors("output", "see docs/pods.md, Buckets"):
        addresses.require_writable(address)
    return path


def _hold(folder: Path, name: str, mode: int) -> None:
    """Lock a file in a folder until this process ends; alone there, write which process that is.

    Raises:
      InputError: Another process has locked it, or it is no file of its own.
    """
    place = folder.resolve() / name
    if place in _held:
        return
    with input_errors("lock", "delete it"):
        lock = whole_files.open_to_append(place)
    try:
        fcntl.flock(lock, mode | fcntl.LOCK_NB)
    except OSError as error:
        who = os.read(lock, 200).decode()
        os.close(lock)
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            print(f"warning: {folder}: no locks on its disk; run one command at a time")
            return
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        do = "wait for it, stop it, or give another --out"
        found = f"in use by {who or 'another process'}"
        raise InputError(
            "output folder", folder, found, "one that is free", do
        ) from None
    # A full disk stops what is written next, not this.
    with contextlib.suppress(OSError):
        os.truncate(lock, 0)
        if mode == fcntl.LOCK_EX:
            os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
    _held[place] = lock


def open_folder(path: str | Path) -> Path:
    """Make the output folder and try to write into it, before any work; return its path.

    Raises:
      InputError: The path is a file or an address, or nothing can be written there.
    """
    path = Path(path)
    do = "give a folder that you may write to as --out"
    # Without this a folder of that name would be made on disk.
    if address := addresses.address_of(path):
        expected = "a folder, gs:// or s3://"
        raise InputError("output folder", address, "another address", expected, do)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # It has no name that a link could have.
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        # ValueError comes from NUL in a name.
        found = getattr(error, "strerror", None) or error
        raise InputError(
            "output folder", path, found, "a writable folder", do
        ) from None
    return path


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of an .npz; none when there is no such file or it cannot be read."""
    try:
        return load_arrays(path)
    except ValueError:
        return {}
