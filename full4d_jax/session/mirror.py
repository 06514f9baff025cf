"""Addresses on the command line: the local copies that a command works in, and their way back.

A command that names `gs://bucket/run` works in a folder of the cache that begins as a copy of what
lies there. Files that it changes or adds are uploaded every half minute and when it ends, each
whole; of several processes the first does that. Data sets that are read, and options marked
`Streamed`, are left as they are.
"""

import contextlib
import fcntl
import hashlib
import inspect
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, get_type_hints

from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import Streamed
from full4d_jax.session.processes import is_first_process
from full4d_jax.session.progress import Progress
from input_pipeline.addresses import (
    LIBRARIES,
    StoredFile,
    address_of,
    cache_folder,
    download,
    remove,
    require_writable,
    stored_file,
    stored_files,
    upload,
)
from input_pipeline.whole_files import whole_file, write_text

SECONDS_BETWEEN_UPLOADS = 30.0
CHECKPOINTS = "checkpoints"  # Orbax writes those on gs:// itself
UNFINISHED = ".orbax-checkpoint-tmp"  # in names of checkpoints that are being written
INDEX = "index.json"  # makes a data set readable
ONE_SLASH = re.compile(rf"\b({'|'.join(LIBRARIES)}):/(?=[^/\s])")  # as `pathlib` writes addresses
WRITTEN = ("out", "target")  # options that name what a command writes
DO = "see docs/pods.md, Buckets"
Marks = dict[str, list[Any]]  # by name below the address: mark there; bytes and time of the copy


class Mirror:
    """The local copies of the addresses that one command names; a context."""

    def __init__(self):
        self.copies: dict[str, Path] = {}
        self.uploaded: dict[str, int] = {}
        self._streams = contextlib.ExitStack()
        self._shows = False
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        with self._streams:
            if kind is None:
                self.push()
            else:  # what is finished is kept, and the error that ended the command is reported
                self._try_to_push()
        for address, count in self.uploaded.items():
            print(f"{address}: {count} files uploaded")

    def local(self, address: str) -> Path:
        """Return the local copy of an address, brought up to date when it is first asked for.

        Raises:
          InputError: it cannot be read, or the disk has no room for it.
        """
        if address not in self.copies:
            for part in (address, *_beside(address)):
                with input_errors("address", DO), _locked(part):
                    _pull(part)
            self.copies[address] = copy_of(address)
        self.show_addresses()
        if self._thread is None:
            self._thread = threading.Thread(target=self._push_repeatedly, daemon=True)
            self._thread.start()
        return self.copies[address]

    def readable(self, address: str) -> Path:
        """Return what a command reads an address by: of a data set itself, else its local copy.

        Raises:
          InputError: as `local`.
        """
        with input_errors("address", DO):
            is_dataset = stored_file(address, INDEX) is not None
        self.show_addresses()
        return Path(address) if is_dataset else self.local(address)

    def show_addresses(self) -> None:
        """Print addresses from now on in the place of local copies."""
        if not self._shows:
            self._shows = True
            self._streams.enter_context(contextlib.redirect_stdout(_Shown(sys.stdout)))  # type: ignore[type-var]
            self._streams.enter_context(contextlib.redirect_stderr(_Shown(sys.stderr)))  # type: ignore[type-var]

    def push(self) -> None:
        """Upload what has changed in the copies.

        Raises:
          InputError: it cannot be written there.
        """
        if not is_first_process():
            return
        for address in list(self.copies):  # to which others may be added meanwhile
            with input_errors("address", DO), _locked(address):
                count = _push(address)
            if count:
                self.uploaded[address] = self.uploaded.get(address, 0) + count

    def _push_repeatedly(self) -> None:
        while not self._ends.wait(SECONDS_BETWEEN_UPLOADS):
            self._try_to_push()

    def _try_to_push(self) -> None:
        try:
            self.push()
        except Exception as error:  # else the thread would end, and nothing be uploaded any more
            print(f"warning: {error}; it stays on this machine till later", file=sys.stderr)


def copy_of(address: str) -> Path:
    """Return the path of the local copy of an address."""
    scheme, _, name = address.partition("://")
    return cache_folder() / scheme / name


def shown(text: str) -> str:
    """Return a text with addresses in place of their local copies, and with both slashes."""
    for scheme in LIBRARIES:
        text = text.replace(f"{cache_folder()}/{scheme}/", f"{scheme}://")
    return ONE_SLASH.sub(r"\1://", text)


def _beside(address: str) -> list[str]:
    """Return what belongs to a file: the summary of the training that made weights."""
    stem, dot, ending = address.rpartition(".")
    return [f"{stem}.json"] if dot and ending == "safetensors" else []


def origin(path: Path) -> str:
    """Return the address that a path is the local copy of; empty for others."""
    return address_of(shown(str(path)))


def stored_marks(path: Path) -> dict[str, str]:
    """Return the store's marks of the files in the local copy of an address, by their names there.

    Other than times they are the same on all machines. A single file has the name "". Of a path
    that is no such copy there are none.
    """
    address = origin(path)
    return {name: mark for name, (mark, *_) in _marks(address).items()} if address else {}


def with_local_paths(bound: partial[Any], mirror: Mirror) -> partial[Any]:
    """Return a verb's call with local copies in place of addresses.

    Raises:
      InputError: something cannot be read, or nothing can be written where the output belongs.
    """
    arguments = inspect.signature(bound.func).bind_partial(*bound.args, **bound.keywords).arguments
    if not any(map(_names_an_address, arguments.values())):
        return bound
    mirror.show_addresses()
    hints = get_type_hints(bound.func, include_extras=True)
    for name, value in arguments.items():
        if name in WRITTEN and (address := address_of(value or "")):
            with input_errors("output", DO):
                folder = address.rpartition("/")[0]
                require_writable(folder if folder.count("/") > 1 else address)
    local = {
        name: _localized(value, hints[name], mirror.local if name in WRITTEN else mirror.readable)
        for name, value in arguments.items()
    }
    return partial(bound.func, **local)


def _localized(value: Any, hint: Any, path_of: Callable[[str], Path]) -> Any:
    """Return a value of an option, or of a config, with paths in place of addresses."""
    if any(isinstance(mark, Streamed) for mark in getattr(hint, "__metadata__", ())):
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_localized(x, None, path_of) for x in value)
    if is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value), include_extras=True)
        own = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        changed = {
            name: _localized(x, hints[name], path_of)
            for name, x in own.items()
            if _names_an_address(x)
        }
        return replace(value, **changed) if changed else value
    if not isinstance(value, str | Path) or not _names_an_address(value):
        return value
    path = path_of(address_of(value))
    return path if isinstance(value, Path) else str(path)


def _names_an_address(value: Any) -> bool:
    """Return whether a value is such an address, or has one inside."""
    if isinstance(value, str | Path):
        return address_of(value).partition("://")[0] in LIBRARIES
    if isinstance(value, tuple):
        return any(map(_names_an_address, value))
    if is_dataclass(value) and not isinstance(value, type):
        return any(_names_an_address(getattr(value, field.name)) for field in fields(value))
    return False


def _pull(address: str) -> None:
    """Bring the local copy of an address up to date.

    What changed on this side alone stays. What would be replaced and was not uploaded from here, or
    not by this address, is set aside.
    """
    path = copy_of(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = _marks(address)
    stored = {k: x for k, x in stored_files(address).items() if _is_mirrored(address, k)}
    for name in marks.keys() - stored.keys():  # deleted there
        if _stamp(path / name) == marks[name][1:]:
            (path / name).unlink()
    missing = {
        name: file
        for name, file in stored.items()
        if marks.get(name, [None])[0] != file.mark or not (path / name).exists()
    }
    _require_room(address, missing)
    if not missing:
        return
    for name in missing:
        _set_aside(path / name, marks.get(name, [None])[1:])
    try:
        with Progress(f"copy of {address}", len(missing)) as report, ThreadPoolExecutor(16) as pool:
            copies = pool.map(partial(_copy, address), missing)
            for done, ((name, file), stamp) in enumerate(zip(missing.items(), copies, strict=True)):
                marks[name] = [file.mark, *stamp]
                report(done + 1)
    finally:
        write_text(_marks_file(address), json.dumps(marks))


def _set_aside(path: Path, known: list[int]) -> None:
    """Rename a file unless its stamp is the known one, and say so."""
    if _stamp(path) in ([], known):
        return
    aside = path.with_name(f".{path.name}.local")
    path.replace(aside)
    place = aside.relative_to(cache_folder())
    changed = f"{origin(path)}: changed both there and on this machine"
    print(f"warning: {changed}, whose file is {place} in {cache_folder()} now", file=sys.stderr)


def _copy(address: str, name: str) -> list[int]:
    """Copy a file below an address, and return its stamp."""
    path = copy_of(address) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial_file:
        download(_join(address, name), partial_file)
    return _stamp(path)


def _push(address: str) -> int:
    """Upload the files of a local copy that changed, and return their number."""
    path = copy_of(address)
    marks = _marks(address)
    names = [""] if path.is_file() else _names_below(path)
    changed = [name for name in names if marks.get(name, [None])[1:] != _stamp(path / name)]
    removed = []
    if (path / CHECKPOINTS).is_dir():
        removed = [k for k in marks if k.startswith(f"{CHECKPOINTS}/") and not (path / k).exists()]
    changed = [name for name in changed if _is_mirrored(address, name)]
    count = 0
    try:
        for name in sorted(changed, key=lambda name: (Path(name).name == INDEX, name)):
            stamp = _stamp(path / name)  # of what is uploaded at least
            with contextlib.suppress(FileNotFoundError):  # it was replaced or deleted meanwhile
                marks[name] = [upload(path / name, _join(address, name)).mark, *stamp]
                count += 1
        for name in removed:
            remove(_join(address, name))
            del marks[name]
    finally:
        if count or removed:
            write_text(_marks_file(address), json.dumps(marks))
    return count


def _names_below(path: Path) -> list[str]:
    """Return the names of the files in a folder and below, without locks and unfinished ones."""
    names = [x.relative_to(path) for x in path.rglob("*") if x.is_file() and not x.is_symlink()]
    return [str(x) for x in names if not any(part.startswith(".") for part in x.parts)]


def _is_mirrored(address: str, name: str) -> bool:
    """Return whether a file is copied at all."""
    if address.startswith("gs://") and name.startswith(f"{CHECKPOINTS}/"):
        return False
    return UNFINISHED not in name


def _require_room(address: str, missing: dict[str, StoredFile]) -> None:
    """Refuse a copy that does not fit onto the disk.

    Raises:
      InputError: with the number of bytes.
    """
    needed = sum(file.size for file in missing.values())
    cache_folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_folder()).free
    if needed > free:
        expected = f"at most {free / 1e9:.1f} GB, which {cache_folder()} has room for"
        do = "set XDG_CACHE_HOME to a folder on a larger disk, or mount the bucket"
        raise InputError("address", address, f"{needed / 1e9:.1f} GB", expected, do)


def _marks_file(address: str) -> Path:
    """Return the file in which marks of a copy stand."""
    folder = cache_folder() / "marks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.json"


def _marks(address: str) -> Marks:
    """Return the marks of the files in a copy that are as they are at the address."""
    with contextlib.suppress(ValueError, OSError):
        return json.loads(_marks_file(address).read_text())
    return {}


@contextlib.contextmanager
def _locked(address: str) -> Iterator[None]:
    """Let one process of this machine at a time compare a copy with its address."""
    with _marks_file(address).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp(path: Path) -> list[int]:
    """Return the bytes and the time of a file; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _join(address: str, name: str) -> str:
    """Return the address of a file below an address; the address itself for the name ""."""
    return f"{address}/{name}" if name else address


class _Shown:
    """A stream that writes addresses in place of their local copies."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._write: Callable[[str], int] = stream.write

    def write(self, text: str) -> int:
        """Write a text."""
        return self._write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
