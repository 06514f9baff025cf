"""Checkpoints of a run: one class around Orbax.

A checkpoint holds the whole training state (its step is the position in the data) and a JSON record
with the resolved config and the versions. Saving is asynchronous and atomic.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from full4d_jax.errors import InputError
from full4d_jax.stages import open_folder
from full4d_jax.training.state import TrainState


class Checkpoints:
    """Numbered checkpoints in a folder, the newest `keep` of them."""

    def __init__(self, folder: str | Path, *, keep: int):
        folder = open_folder(folder).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        handlers = {"state": ocp.StandardCheckpointHandler(), "record": ocp.JsonCheckpointHandler()}
        self.folder = folder
        self.manager = ocp.CheckpointManager(folder, options=options, item_handlers=handlers)

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self.manager.latest_step()

    def save(self, state: TrainState, record: dict[str, Any]) -> None:
        """Start saving; returns before the files are complete."""
        record = {**record, "versions": {name: version(name) for name in ("jax", "flax", "optax")}}
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            record=ocp.args.JsonSave(json.loads(json.dumps(record))),
        )
        self.manager.save(int(state.step), args=args)

    def record(self) -> dict[str, Any]:
        """What was saved beside the newest state.

        Raises:
          FileNotFoundError: there is no checkpoint.
        """
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self.manager.restore(self._newest(), args=args)["record"]

    def restore(self, like: TrainState) -> TrainState:
        """The newest state, in the shapes (and shardings) of `like`.

        Raises:
          FileNotFoundError: there is no checkpoint.
          InputError: its parameters have other names or shapes.
        """
        step = self._newest()
        like = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        self._check(step, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        return self.manager.restore(step, args=args)["state"]

    def _newest(self) -> int:
        if self.latest is None:
            raise FileNotFoundError(f"no checkpoint in {self.folder}")
        return self.latest

    def _check(self, step: int, like: TrainState) -> None:
        """Compare parameters with the stored ones before anything is read."""
        there = _shapes(self.manager.item_metadata(step)["state"]["params"])
        wanted = _shapes(like.params)
        for name in sorted(set(wanted) | set(there)):
            if wanted.get(name) != there.get(name):
                raise InputError(
                    "checkpoint",
                    f"{self.folder}, parameter {name}",
                    there.get(name, "no such parameter"),
                    wanted.get(name, "no such parameter"),
                    "use the config of that run, or another --out",
                )

    def close(self) -> None:
        """Wait until everything is on disk."""
        self.manager.wait_until_finished()
        self.manager.close()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree.leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(x.shape) for path, x in leaves
    }
