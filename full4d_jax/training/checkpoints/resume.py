"""The record of a run, and the comparison that a resumed run must pass."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from full4d_jax.config import LiftConfig, MeshConfig, to_dict
from full4d_jax.config.masks import PAPER, mask_file
from full4d_jax.models.weights import summary_beside
from full4d_jax.session.buckets import shown
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.training.checkpoints.provenance import provenance
from input_pipeline.plain_files import load_lines
from input_pipeline.whole_files import write_text

CHANGEABLE = {
    "model.remat",
    "model.gpu_attention",
    *(f"mesh.{name}" for name in to_dict(MeshConfig())),
    *(f"lift.{name}" for name in to_dict(LiftConfig())),  # which no training reads
} | {
    f"training.{name}"
    for name in (
        "steps",
        "log_every",
        "checkpoint_every",
        "keep",
        "keep_best",
        "checkpoints",
        "sheet_every",
        "validate_every",
        "on_bad_loss",
        "spike",
    )
}

MASK_FILE = "contents of the model.mask file"  # a field of the record, not an option


def run_record(
    config: Any, init: Path | None, mesh: dict[str, int] | None = None
) -> dict[str, Any]:
    """Return the description of a run in its checkpoints: config, first weights, machine, versions.

    Args:
      config: resolved.
      init: the weights given to start from.
      mesh: sizes of the mesh's axes; None without one.

    Raises:
      InputError: there is no mask `config.model.mask`.
    """
    begin = None if init is None else {"path": shown(str(init)), "summary": summary_beside(init)}
    plain = json.loads(shown(json.dumps(to_dict(config), ensure_ascii=False)))
    mask = mask_file(plain["model"].get("mask", PAPER))  # only priors have one
    own = {} if mask is None else {"mask": hashlib.sha256(mask.read_bytes()).hexdigest()}
    return {
        "config": plain,
        "init": begin,
        **own,
        **provenance(mesh),
    }


def check_same_run(stored: dict[str, Any], present: dict[str, Any], out: Path, step: int) -> None:
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
        if all(old[name] is not None and name != MASK_FILE for name in differ):
            do = f"resume with {' '.join(_option(name, old[name]) for name in differ)} or {do}"
        raise InputError("training run", f"{out}, {', '.join(differ)}", found, expected, do)
    if new.get("training.steps", step) < step:
        found = f"a checkpoint at step {step}"
        do = "give a larger number or another --out"
        raise InputError(
            "training run", f"{out}, training.steps", found, f"at most {new['training.steps']}", do
        )


def tell_differences(stored: dict[str, Any], present: dict[str, Any]) -> None:
    """Report on stderr what changed besides the config, since bits may change with it."""
    for name in ("versions", "devices", "mesh", "flags", "git"):
        if name in stored and stored[name] != present[name]:
            print(
                f"since that checkpoint: {name} {stored[name]} -> {present[name]}", file=sys.stderr
            )


def cut_metrics(path: Path, step: int) -> None:
    """Drop lines of steps after `step`, which will be written again, and an unfinished line."""
    if path.exists():
        with input_errors("metrics", "delete the line; the checkpoints do not need it"):
            rows = load_lines(path, {"step": int})
        lines = [json.dumps(row) + "\n" for row in rows if row["step"] <= step]
        write_text(path, "".join(lines))


def _option(name: str, value: Any) -> str:
    return " ".join(map(str, [f"--{name}", *(value if isinstance(value, list) else [value])]))


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    """Return the config's values as JSON by dotted name, and the path given as --init."""
    fields = _flat(json.loads(json.dumps(record.get("config", {}))))
    if "records" in record:  # by their contents: a dataset may move
        fields["data.records"] = record["records"]
    if "mask" in record:
        fields[MASK_FILE] = f"sha256:{record['mask']}"
    if "init" in record:
        fields["init"] = record["init"] and record["init"]["path"]
    return fields


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat
