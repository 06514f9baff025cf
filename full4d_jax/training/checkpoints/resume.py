"""The record of a run: its config and origin, and the comparison that a resumed run must pass."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from full4d_jax.config import LiftConfig, MeshConfig, TrainingConfig, masks, to_dict
from full4d_jax.models.dit.sharding import dotted
from full4d_jax.models.weights import summary_beside
from full4d_jax.session import buckets, errors, versions
from input_pipeline.plain_files import file_hash, load_lines
from input_pipeline.whole_files import write_text

# Fields of a config that name folders of this machine.
FOLDERS = ("photos", "videos")
PACKAGES = (versions.OURS, "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
# Fields that another part of a run may change; no training reads those of `lift`.
CHANGEABLE = {
    "model.remat",
    "model.gpu_attention",
    *(f"mesh.{name}" for name in to_dict(MeshConfig())),
    *(f"lift.{name}" for name in to_dict(LiftConfig())),
    *(f"training.{name}" for name in to_dict(TrainingConfig())),
} - {"training.batch", "training.accumulate"}
# A field of the record, not an option.
MASK_FILE = "contents of the mask's file"
# Functions of yours, by their names.
OWN = ("own_loss", "own_attention")


def run_record(
    config: Any, init: Path | None, mesh: dict[str, int] | None = None
) -> dict[str, Any]:
    """Return the description of a run in its checkpoints: config, first weights, machine, versions.

    Args:
      config: resolved.
      init: the weights given to start from.
      mesh: sizes of the mesh's axes; None without one.

    Raises:
      InputError: there is no such mask.
    """
    begin = init and {"path": buckets.shown(str(init)), "summary": summary_beside(init)}
    plain = json.loads(buckets.shown(json.dumps(to_dict(config), ensure_ascii=False)))
    # Only priors have a mask.
    attention = plain["model"].get("attention", {})
    mask = masks.mask_file(attention.get("mask", masks.PAPER))
    hashes = {} if mask is None else {"mask": file_hash(mask)}
    return {
        "config": plain,
        "init": begin,
        **hashes,
        "versions": versions.versions_of(PACKAGES),
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
    plain = {name: without_machine_paths(x) for name, x in record.items()}
    folders = {name: Path(plain[name]).name for name in FOLDERS if plain.get(name)}
    return plain | folders


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the code in `folder` and whether it was changed; None outside git.

    Untracked files do not count. A package installed below another repository is outside git.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", folder, *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.check_output(
            command, stderr=quiet, text=True, timeout=30
        ).strip()

    try:
        if not git("ls-files", "."):
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        # No git, no repository, or not ours to read.
        return None


def hardware() -> str:
    """Return the devices that jax runs on, in words."""
    machine = platform.processor() or platform.machine()
    return f"{jax.device_count()} x {jax.devices()[0].device_kind} on {machine}"


def check_same_run(
    stored: dict[str, Any], present: dict[str, Any], out: Path, step: int
) -> None:
    """Refuse to resume another run than the one whose checkpoint at `step` lies in `out`.

    A field that one of the records lacks did not exist in the program that wrote it.

    Raises:
      InputError: fields differ; the message names all of them.
    """
    old = _fields(stored)
    new = _fields(present)
    differ = [x for x in new if x in old and x not in CHANGEABLE and old[x] != new[x]]
    if differ:
        found = ", ".join(repr(old[name]) for name in differ) + " in its checkpoints"
        expected = ", ".join(repr(new[name]) for name in differ)
        do = "give another --out"
        if all(old[x] is not None and x not in (MASK_FILE, *OWN) for x in differ):
            do = f"resume with {' '.join(_option(name, old[name]) for name in differ)} or {do}"
        where = f"{out}, {', '.join(differ)}"
        raise errors.InputError("training run", where, found, expected, do)
    steps = new.get("training.steps", step)
    if steps < step:
        place = f"{out}, training.steps"
        found = f"a checkpoint at step {step}"
        do = "give a larger number or another --out"
        raise errors.InputError("training run", place, found, f"at most {steps}", do)


def log_differences(stored: dict[str, Any], present: dict[str, Any]) -> None:
    """Report on stderr all changes besides the config, since bits may change with them."""
    for name in ("versions", "devices", "mesh", "flags", "git"):
        new = present[name]
        old = stored.get(name, new)
        if old != new:
            print(f"since that checkpoint: {name} {old} -> {new}", file=sys.stderr)


def cut_metrics(path: Path, step: int) -> None:
    """Drop lines of steps after `step`, which will be written again, and an unfinished line."""
    if path.exists():
        with errors.input_errors("metrics", "delete the line; no checkpoint needs it"):
            rows = load_lines(path, {"step": int})
        lines = [json.dumps(row) + "\n" for row in rows if row["step"] <= step]
        write_text(path, "".join(lines))


def _option(name: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " ".join(map(str, [f"--{name}", *values]))


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    """Return the config's values as JSON by dotted name, and the path given as --init."""
    config = json.loads(json.dumps(record.get("config", {})))
    leaves = jax.tree.leaves_with_path(
        config, is_leaf=lambda x: not isinstance(x, dict)
    )
    fields = {dotted(path): value for path, value in leaves}
    if "records" in record:
        # By their contents: a dataset may move.
        fields["data.records"] = record["records"]
    if "mask" in record:
        fields[MASK_FILE] = f"sha256:{record['mask']}"
    fields |= {name: record.get(name) for name in OWN}
    if "init" in record:
        fields["init"] = record["init"] and record["init"]["path"]
    return fields
