"""Refuse places of checkpoints that no installed library can reach, or that hold no files."""

from pathlib import Path

from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.addresses import address_of, file_system, require_writable


def check_file_system(place: str) -> None:
    """Refuse an address that Orbax or no installed library writes, or where writing is forbidden.

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

    A link to a file is one; a link to a folder is followed only in place of a whole checkpoint, not
    in place of one that Orbax would finish or remove.

    Raises:
      InputError: naming the first.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_symlink() and not path.name.isdigit():
            do = "move it away"
            raise InputError("checkpoints", path, "a link", "files and folders", do)
    for step in numbered(folder):
        for path in sorted(step.rglob("*")):
            found = "a device or a pipe"
            if path.is_dir() and path.is_symlink():
                found = "a link to a folder"
            elif path.is_dir() or path.is_file() or not path.exists():
                continue
            do = f"move {step.name} away"
            raise InputError("checkpoints", path, found, "files and folders", do)


def numbered(folder: Path) -> list[Path]:
    """Return the folders of whole checkpoints; none where there is no folder."""
    return sorted(x for x in folder.glob("*") if x.name.isdigit())
