"""What makes a run the same run: its record, and what a resumed run must agree with."""

import json
from pathlib import Path
from typing import Any

from full4d_jax.config import to_dict
from full4d_jax.errors import InputError
from full4d_jax.models.weights import summary_beside

CHANGEABLE = {f"training.{name}" for name in ("steps", "log_every", "checkpoint_every", "keep")}


def run_record(config: Any, init: Path | None) -> dict[str, Any]:
    """What every checkpoint says about its run: the config, and the weights it began from."""
    begin = None if init is None else {"path": str(init), "summary": summary_beside(init)}
    return {"config": to_dict(config), "init": begin}


def check_same_run(stored: dict[str, Any], present: dict[str, Any], out: Path, step: int) -> None:
    """Refuse to go on with another run than the one whose checkpoint at `step` lies in `out`.

    A field that one of the records lacks did not exist in the program that wrote it.

    Raises:
      InputError: naming the field.
    """
    old, new = _fields(stored), _fields(present)
    for name in new:
        if name in old and name not in CHANGEABLE and old[name] != new[name]:
            found, do = f"{old[name]!r} in its checkpoints", "give another --out"
            if old[name] is not None:
                value = " ".join(
                    map(str, old[name] if isinstance(old[name], list) else [old[name]])
                )
                do = f"go on with --{name} {value} or {do}"
            raise InputError("training run", f"{out}, {name}", found, repr(new[name]), do)
    if new.get("training.steps", step) < step:
        found, do = f"a checkpoint at step {step}", "give a larger number or another --out"
        raise InputError(
            "training run", f"{out}, training.steps", found, f"at most {new['training.steps']}", do
        )


def cut_metrics(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, which will be written again, and a half-written one."""
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        kept = [x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(kept))
        partial.replace(path)


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    """The config's values by dotted name, as JSON has them, and the path given as --init."""
    found = _flat(json.loads(json.dumps(record.get("config", {}))))
    if "init" in record:
        found["init"] = record["init"] and record["init"]["path"]
    return found


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat
