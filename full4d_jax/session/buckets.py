"""Mirror bucket paths of the command line: download what is read, upload what changed.

A command that names `gs://bucket/run` works in a folder of the cache, into which it first copies
what is new in the bucket. At its end, also after an error, the first process uploads the files that
changed, each whole. Data sets that are read, and options marked `Streamed`, are left as they are.
"""

import contextlib
import hashlib
import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import Streamed
from full4d_jax.session.processes import is_first_process
from full4d_jax.session.progress import Progress
from input_pipeline.addresses import (
    LIBRARIES,
    address_of,
    cache_folder,
    download,
    remove,
    require_writable,
    stored_files,
    upload,
)
from input_pipeline.whole_files import whole_file, write_text

DOWNLOADS_AT_ONCE = 16
# Orbax writes these on gs:// itself.
CHECKPOINTS = "checkpoints/"
# Part of the names of checkpoints that are being written.
UNFINISHED = ".orbax-checkpoint-tmp"
# The file that makes a data set readable.
INDEX = "index.json"
# Addresses as `pathlib` writes them.
ONE_SLASH = re.compile(rf"\b({'|'.join(LIBRARIES)}):/(?=[^/\s])")
# Options that name what a command writes.
OUTPUTS = ("out", "target")
DO = "see docs/pods.md, Buckets"
# By name below the address: the mark there, and bytes and time of the copy.
Marks = dict[str, list[Any]]


class Copies:
    """The copies on disk of the addresses that one command names; a context that uploads them."""

    def __init__(self):
        self._addresses: list[str] = []
        self._shown = contextlib.ExitStack()

    def __enter__(self) -> "Copies":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._shown:
            for address in self._addresses * is_first_process():
                try:
                    with input_errors("address", DO):
                        _upload_changes(address)
                except InputError as failed:
                    if error is None:
                        raise
                    # The command's own error is told.
                    print(f"warning: {failed}", file=sys.stderr)

    def of(self, address: str) -> Path:
        """Return the copy of an address, updated at its first use.

        Raises:
          InputError: it cannot be read, or the disk has no room for it.
        """
        if not self._addresses:
            # From now on addresses are printed in the place of copies.
            for name in ("stdout", "stderr"):
                redirect = getattr(contextlib, f"redirect_{name}")
                self._shown.enter_context(redirect(_Shown(getattr(sys, name))))
        if address not in self._addresses:
            with input_errors("address", DO):
                _download_changes(address)
            self._addresses.append(address)
        return copy_of(address)

    def readable(self, address: str) -> Path:
        """Return the path to read an address by: a data set's own address, else a local copy.

        Raises:
          InputError: as `of`.
        """
        with input_errors("address", DO):
            is_dataset = bool(stored_files(f"{address}/{INDEX}"))
        return Path(address) if is_dataset else self.of(address)


def copy_of(address: str) -> Path:
    """Return the path of the copy of an address."""
    scheme, _, name = address.partition("://")
    return cache_folder() / scheme / name


def shown(text: str) -> str:
    """Return a text with addresses in place of their copies, and with both slashes."""
    for scheme in LIBRARIES:
        text = text.replace(f"{cache_folder()}/{scheme}/", f"{scheme}://")
    return ONE_SLASH.sub(r"\1://", text)


def origin(path: Path) -> str:
    """Return the address that a path is the copy of; empty for others."""
    return address_of(shown(str(path)))


def stored_marks(path: Path) -> dict[str, str]:
    """Return the store's marks of the files in the copy of an address, by their names there.

    Other than times they are the same on all machines. A single file has the name "". Of a path
    that is no such copy there are none.
    """
    address = origin(path)
    return (
        {name: mark for name, (mark, *_) in _marks(address).items()} if address else {}
    )


def with_copies(bound: partial[Any], copies: Copies) -> partial[Any]:
    """Return a verb's call with copies in place of addresses.

    Raises:
      InputError: something cannot be read, or nothing can be written where the output belongs.
    """
    given = inspect.signature(bound.func).bind_partial(*bound.args, **bound.keywords)
    hints = get_type_hints(bound.func, include_extras=True)
    found = {}
    for name, value in given.arguments.items():
        path_of = copies.readable
        if name in OUTPUTS:
            path_of = copies.of
            if address := address_of(value or ""):
                folder = address.rpartition("/")[0]
                with input_errors("output", DO):
                    require_writable(folder if folder.count("/") > 1 else address)
        found[name] = _with_copies(value, hints[name], path_of)
    return partial(bound.func, **found)


def _with_copies(value: Any, hint: Any, path_of: Callable[[str], Path]) -> Any:
    """Return a value of an option, or of a config, with paths in place of addresses."""
    if any(isinstance(mark, Streamed) for mark in getattr(hint, "__metadata__", ())):
        return value
    if type(value) is tuple:
        return tuple(_with_copies(x, None, path_of) for x in value)
    if is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        own = {x.name: getattr(value, x.name) for x in fields(value) if x.init}
        local = {name: _with_copies(x, hints[name], path_of) for name, x in own.items()}
        changed = {name: x for name, x in local.items() if x is not own[name]}
        whole: Any = value
        return replace(whole, **changed) if changed else whole
    address = address_of(value) if isinstance(value, str | Path) else ""
    if address.partition("://")[0] not in LIBRARIES:
        return value
    return type(value)(path_of(address))


def _download_changes(address: str) -> None:
    """Download new files of an address; files that changed here alone stay, to be uploaded.

    Where a file changed both there and here, that there is taken.

    The summary of a training lies beside the weights that it made, and comes with them.
    """
    stem, dot, ending = address.rpartition(".")
    if dot and ending == "safetensors":
        _download_changes(f"{stem}.json")
    path = copy_of(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = _marks(address)
    stored = {k: x for k, x in stored_files(address).items() if _is_copied(address, k)}
    # Deleted there.
    for name in marks.keys() - stored.keys():
        if _stamp(path / name) == marks[name][1:]:
            (path / name).unlink()
    missing = [
        name
        for name, file in stored.items()
        if not (path / name).exists() or marks.get(name, [None])[0] != file.mark
    ]
    needed = sum(stored[name].size for name in missing)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        expected = f"at most {free / 1e9:.1f} GB, which {cache_folder()} has room for"
        do = "set XDG_CACHE_HOME to a folder on a larger disk, or mount the bucket"
        raise InputError("address", address, f"{needed / 1e9:.1f} GB", expected, do)
    if not missing:
        return
    try:
        with (
            Progress(f"copy of {address}", len(missing)) as report,
            ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
        ):
            stamps = pool.map(partial(_download, address), missing)
            for done, (name, stamp) in enumerate(zip(missing, stamps, strict=True), 1):
                marks[name] = [stored[name].mark, *stamp]
                report(done)
    finally:
        # What is copied by now has not changed on this machine.
        write_text(_marks_file(address), json.dumps(marks))


def _download(address: str, name: str) -> list[int]:
    """Copy a file below an address, and return its stamp."""
    path = copy_of(address) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial_file:
        download(_below(address, name), partial_file)
    return _stamp(path)


def _upload_changes(address: str) -> None:
    """Upload the changed files of a copy, the index of a data set last, and print their number.

    Checkpoints that are gone here are removed there.
    """
    path = copy_of(address)
    marks = _marks(address)
    names = [""]
    if not path.is_file():
        # Without locks and unfinished files.
        files = [x for x in path.rglob("*") if x.is_file() and not x.is_symlink()]
        below = [x.relative_to(path) for x in files]
        names = [
            str(x) for x in below if not any(part.startswith(".") for part in x.parts)
        ]
    changed = [
        name
        for name in names
        if _is_copied(address, name)
        and marks.get(name, [None])[1:] != _stamp(path / name)
    ]
    for name in sorted(changed, key=lambda name: (Path(name).name == INDEX, name)):
        stamp = _stamp(path / name)
        marks[name] = [upload(path / name, _below(address, name)).mark, *stamp]
    removed = [
        name for name in marks if name.startswith(CHECKPOINTS) and name not in names
    ]
    for name in removed:
        remove(_below(address, name))
        del marks[name]
    if changed or removed:
        write_text(_marks_file(address), json.dumps(marks))
    if changed:
        print(f"{address}: {len(changed)} files uploaded")


def _below(address: str, name: str) -> str:
    """Return the address of a file; "" is the only one of an address that is a file."""
    return f"{address}/{name}".rstrip("/")


def _is_copied(address: str, name: str) -> bool:
    """Return whether a file is copied at all."""
    is_of_orbax = address.startswith("gs://") and name.startswith(CHECKPOINTS)
    return not is_of_orbax and UNFINISHED not in name


def _marks_file(address: str) -> Path:
    """Return the file that holds the marks of a copy."""
    folder = cache_folder() / "marks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.json"


def _marks(address: str) -> Marks:
    """Return the marks of the files in a copy that equal those at the address."""
    with contextlib.suppress(ValueError, OSError):
        return json.loads(_marks_file(address).read_text())
    return {}


def _stamp(path: Path) -> list[int]:
    """Return the bytes and the time of a file; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


class _Shown:
    """A stream that writes addresses in place of their copies."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._write: Callable[[str], int] = stream.write

    def write(self, text: str) -> int:
        """Write a text."""
        return self._write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
