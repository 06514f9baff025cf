"""Files in object storage, `gs://bucket/name` and `s3://bucket/name`, through fsspec.

Objects there are whole or absent: a store shows an upload when its last byte has arrived.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from input_pipeline.plain_files import FileRefusal

LIBRARIES = {"gs": "gcsfs", "s3": "s3fs"}
# It matches too where `pathlib` has dropped a slash.
ADDRESS = re.compile(r"([a-z0-9]{2,}):(?:/+|$)")
INSTALL = "pip install 'full4d-jax[buckets]'"
LOGIN = {
    "gs": "credentials (gcloud auth application-default login, or the machine's account)",
    "s3": "credentials (aws configure, AWS_ACCESS_KEY_ID, or the machine's role)",
}
OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
DENIED = re.compile(
    r"credential|permission|forbidden|denied|unauthorized|anonymous|access key|InvalidToken"
    r"|\b40[13]\b",
    re.IGNORECASE,
)
PROBE = ".full4d-writes-here"


class StoredFile(NamedTuple):
    """An object: its size in bytes, and a mark that changes with its content."""

    size: int
    mark: str


def address_of(path: str | Path) -> str:
    """Return a path that is an address as SCHEME://BUCKET/NAME; empty for others."""
    text = str(path)
    scheme = ADDRESS.match(text)
    return f"{scheme[1]}://{text[scheme.end() :].strip('/')}" if scheme else ""


def file_system(address: str) -> Any:
    """Return the fsspec file system of an address, without contacting it.

    Raises:
      FileRefusal: naming the address: another scheme, or its library is not installed.
    """
    scheme, _, name = address.partition("://")
    if scheme not in LIBRARIES:
        text = f"{address}: found {scheme}://, expected a path, gs:// or s3://"
        raise FileRefusal(text)
    if not name:
        text = f"{address}: found no bucket, expected {scheme}://BUCKET/NAME"
        raise FileRefusal(text)
    # It is imported only where an address is given.
    import fsspec

    # They log pages of what they raise.
    for library in ("gcsfs", "google.auth"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError:
        cause = f"no library {LIBRARIES[scheme]}, expected it installed: {INSTALL}"
        raise FileRefusal(f"{address}: found {cause}") from None


@contextlib.contextmanager
def _store(address: str) -> Iterator[Any]:
    """Yield the file system of an address; what clients of stores raise becomes one line.

    Raises:
      FileRefusal: naming the address: as `file_system`, no credentials, nothing there, or what the
        store said.
    """
    try:
        yield file_system(address)
    except FileRefusal:
        raise
    except Exception as error:
        place = Path(str(getattr(error, "filename", "")))
        if getattr(error, "errno", None) in OF_DISK or place.is_absolute():
            # The disk on this side failed, not the store.
            raise
        kind = type(error).__name__
        cause = " ".join(str(error).split())[:200] or kind
        found, expected = cause, "a store that answers"
        if isinstance(error, PermissionError) or DENIED.search(f"{kind} {cause}"):
            found, expected = f"no access ({cause})", LOGIN[address.partition("://")[0]]
        elif isinstance(error, FileNotFoundError):
            found, expected = "nothing", "a file, a folder or a bucket that is there"
        raise FileRefusal(f"{address}: found {found}, expected {expected}") from error


def stored_files(address: str) -> dict[str, StoredFile]:
    """Return the files at an address by their names below it; a single file has the name "".

    Raises:
      FileRefusal: as `_store`, but nothing is no error; or a name leads elsewhere on disk.
    """
    root = address.partition("://")[2]
    with _store(address) as files:
        try:
            entries = files.find(address, detail=True)
        except FileNotFoundError:
            # A bucket that is not there is an error.
            files.ls(root.partition("/")[0])
            return {}
    stored = {
        name.removeprefix(root).strip("/"): _stored(entry)
        for name, entry in entries.items()
        if entry["type"] == "file" and not name.endswith("/")
    }
    # The owner of the bucket chose the names.
    for name in stored:
        if name and {"", ".", ".."} & set(name.split("/")):
            cause = f"a file {name!r:.80}, expected names of paths"
            raise FileRefusal(f"{address}: found {cause}")
    return stored


def read_stored(address: str) -> bytes:
    """Return the bytes of a file in object storage; errors as of `_store`."""
    with _store(address) as files:
        return files.cat_file(address)


def download(address: str, path: Path) -> None:
    """Write a file of object storage to a path on disk; errors as of `_store`."""
    with _store(address) as files:
        files.get_file(address, str(path))


def upload(path: Path, address: str) -> StoredFile:
    """Write a file on disk to object storage, where it appears whole; errors as of `_store`."""
    with _store(address) as files:
        files.put_file(str(path), address)
        return _stored(files.info(address))


def remove(address: str) -> None:
    """Delete a file in object storage, if it is there; errors as of `_store`."""
    with _store(address) as files, contextlib.suppress(FileNotFoundError):
        files.rm_file(address)


def require_writable(address: str) -> None:
    """Write an empty file to a folder in object storage, and delete it again.

    Raises:
      FileRefusal: as `_store`.
    """
    place = f"{address}/{PROBE}-{os.getpid()}"
    with _store(address) as files:
        files.pipe_file(place, b"")
        # Some users may write and not delete.
        with contextlib.suppress(Exception):
            files.rm_file(place)


def cache_folder() -> Path:
    """Return the folder of local copies: XDG_CACHE_HOME or ~/.cache, full4d/addresses."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return root / "full4d/addresses"


def _stored(entry: dict[str, Any]) -> StoredFile:
    """Return what a listing says about a file."""
    mark = entry.get("generation") or entry.get("ETag") or entry.get("etag") or ""
    return StoredFile(int(entry["size"] or 0), str(mark))
