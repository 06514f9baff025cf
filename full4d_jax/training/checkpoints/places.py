"""Places of checkpoints that no installed library can reach, or that hold no files, are refused."""

import os
import stat
from pathlib import Path

import fsspec

from full4d_jax.session.errors import InputError


def check_file_system(place: str) -> None:
    """Refuse a URL whose file system no installed library knows, without contacting it.

    Raises:
      InputError: naming the library, where there is one.
    """
    scheme, is_url, _ = place.partition("://")
    if is_url:
        try:
            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            found = f"no library for it ({error})"
            expected = "a folder, or a URL such as gs://"
            do = "install it, or keep checkpoints in a folder"
            raise InputError("training.checkpoints", place, found, expected, do) from None


def check_regular(folder: Path) -> None:
    """Refuse a folder with pipes and devices in its checkpoints, which Orbax would read for ever.

    A link to a file is one; a link to a folder is followed only in place of a whole checkpoint.

    Raises:
      InputError: naming the first.
    """
    steps = [x for x in folder.iterdir() if x.name.isdigit()] if folder.is_dir() else []
    for step in sorted(steps):
        for place, folders, names in os.walk(step):
            for path in map(Path(place).joinpath, sorted([*folders, *names])):
                if found := _unreadable(path):
                    do = f"move {step.name} away"
                    raise InputError("checkpoints", path, found, "files and folders", do)


def _unreadable(path: Path) -> str:
    """Return what a path is that Orbax must not open, or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:  # another process removed it, or it is a link to nothing
        return ""
    if stat.S_ISDIR(mode):
        return "a link to a folder" if path.is_symlink() else ""
    return "" if stat.S_ISREG(mode) else "a device or a pipe"
