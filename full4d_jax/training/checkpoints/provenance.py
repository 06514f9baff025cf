"""The origin of a run: versions, devices, flags, the revision of the code."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from full4d_jax.session.versions import OURS, versions_of

FOLDERS = ("photos", "videos")  # fields of a config that name folders of this machine
PACKAGES = (OURS, "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")


def provenance(mesh: dict[str, int] | None) -> dict[str, Any]:
    """Return versions, devices, mesh, flags and revision as plain values.

    Args:
      mesh: sizes of the mesh's axes; None without one.
    """
    return {
        "versions": versions_of(PACKAGES),
        "devices": {
            "kind": jax.devices()[0].device_kind,
            "count": jax.device_count(),
            "processes": jax.process_count(),
        },
        "mesh": mesh,
        "flags": {name: os.environ.get(name, "") for name in FLAGS},
        "git": git_revision(Path(__file__).parent),
    }


def without_machine_paths(record: Any) -> Any:
    """Return a record in plain values, without the places of files on this machine.

    Of absolute paths, and of folders of photographs and videos, the last name stays.
    """
    if isinstance(record, str) and Path(record).is_absolute():
        return Path(record).name
    if isinstance(record, list):
        return [without_machine_paths(x) for x in record]
    if not isinstance(record, dict):
        return record
    values = {name: without_machine_paths(x) for name, x in record.items()}
    return values | {name: Path(x).name for name, x in values.items() if name in FOLDERS and x}


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the code in `folder` and whether it was changed; None outside git.

    Untracked files do not count. A package installed below another repository is outside git.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        if not git("ls-files", "."):
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or not ours to read
        return None


def hardware() -> str:
    """Return the devices that jax runs on, in words."""
    machine = platform.processor() or platform.machine()
    return f"{jax.device_count()} x {jax.devices()[0].device_kind} on {machine}"
