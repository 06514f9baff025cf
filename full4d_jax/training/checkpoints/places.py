"""Places of checkpoints that no installed library can reach, or that hold no files, are refused."""

import os
import stat
from pathlib import Path

from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.addresses import address_of, file_system, require_writable


def check_file_system(place: str) -> None:
    """Refuse an address that Orbax or no installed library writes, or where nobody may write.

    Raises:
      InputError: naming the library, where there is one.
    """
    address = address_of(place)
    if not address:
        return
    do = "keep checkpoints in a folder or on gs:// (docs/pods.md, Buckets)"
    if address.startswith("s3://"):
        expected = "gs:// or a folder, which Orbax writes"
        do = "leave it out and give s3:// as --out, or mount the bucket"
        raise InputError("training.checkpoints", address, "s3://", expected, do)
    with input_errors("training.checkpoints", do):
        file_system(address)
        require_writable(address)


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
