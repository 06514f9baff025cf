"""Places of checkpoints that no installed library can reach, or that hold no files, are refused."""

import os
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
            found, expected = f"no library for it ({error})", "a folder, or a URL such as gs://"
            do = "install it, or keep checkpoints in a folder"
            raise InputError("training.checkpoints", place, found, expected, do) from None


def check_regular(folder: Path) -> None:
    """Refuse a folder with pipes and devices in its checkpoints, which Orbax would read for ever.

    A link to a file is one; a link to a folder is followed only in place of a whole checkpoint.

    Raises:
      InputError: naming the first.
    """
    for step in sorted(folder.iterdir()) if folder.is_dir() else ():
        for place, folders, names in os.walk(step):
            for path in map(Path(place).joinpath, sorted([*folders, *names])):
                is_link = path.is_dir() and path.is_symlink()
                if is_link or (path.exists() and not (path.is_dir() or path.is_file())):
                    found = "a link to a folder" if is_link else "a device or a pipe"
                    do = f"move {step.name} away"
                    raise InputError("checkpoints", path, found, "files and folders", do)
