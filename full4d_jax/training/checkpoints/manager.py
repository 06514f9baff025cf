"""Checkpoints of a run: one class around Orbax.

A checkpoint holds the whole training state (its step is the position in the data) and a JSON
record: a description of the run, and marks of the arrays. Saving is asynchronous and atomic: a
checkpoint appears under its step when it is complete.

Marks show whether a restored state equals the saved one, bit for bit. A mark is a 64-bit hash of an
array's bits and their places: a sum modulo 2^32, which does not depend on the order. So it does not
depend on the sharding either, is computed where the shards are, and a state saved on one topology
can be checked on another. Any change of one element changes it. Marks show damage, not forgery.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import Array, Shaped, UInt32
from orbax.checkpoint import checkpoint_managers as policies

from full4d_jax.models.dit.sharding import dotted
from full4d_jax.session.errors import OF_READERS, InputError, printable
from full4d_jax.session.machine import disk_errors
from full4d_jax.training.checkpoints.places import check_regular, numbered
from full4d_jax.training.state import TrainState

# What reading a damaged checkpoint raises; the last two for a kind of sharding that Orbax does not
# know, and for JSON that is nested deeply.
DAMAGE = (*OF_READERS, OSError, NotImplementedError, RecursionError)
# What Orbax raises besides, itself and not a class of it: a device without memory does no damage.
BARE = (Exception, RuntimeError, AssertionError)
Check = Callable[[dict[str, Any], int], None]


class Checkpoints:
    """Numbered checkpoints in a folder: the newest `keep`, and the `keep_best` of the lowest loss.

    A checkpoint that is a link is read, and never removed: what it leads to is not the folder's.

    Args:
      folder: a path, or a URL of a file system that Orbax and tensorstore know (`gs://...`).
      keep: number of newest checkpoints to keep.
      keep_best: number of those with the lowest `loss` given to `save` to keep, too.

    Raises:
      InputError: the folder cannot be written to, or holds pipes or devices.
    """

    def __init__(self, folder: str | Path, *, keep: int, keep_best: int = 0):
        self.folder = epath.Path(folder)
        linked = []
        if "://" not in str(folder):
            self.folder = self.folder.absolute()
            check_regular(Path(self.folder))
            # Links to folders elsewhere.
            linked = [
                int(x.name) for x in numbered(Path(self.folder)) if x.is_symlink()
            ]
        self.best = _LowestLoss(keep_best)
        kept = [policies.LatestN(keep), self.best, policies.CustomSteps(sorted(linked))]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(kept),
            create=True,
            # A killed process leaves them.
            cleanup_tmp_directories=True,
        )
        state = ocp.StandardCheckpointHandler()
        handlers = {"state": state, "record": ocp.JsonCheckpointHandler()}
        try:
            with disk_errors(self.folder):
                self.manager = ocp.CheckpointManager(
                    self.folder, options=options, item_handlers=handlers
                )
        except InputError:
            raise
        except DAMAGE as error:
            # Orbax reads the metadata of all steps at once.
            place = f"{self.folder}, _CHECKPOINT_METADATA"
            expected = "what Orbax wrote"
            do = "move the numbered folder with the damaged file away"
            raise InputError("checkpoints", place, error, expected, do) from error
        for step in self.manager.all_steps():
            with contextlib.suppress(*DAMAGE):
                self.best.losses[step] = self._record(step)["loss"]

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self.manager.latest_step()

    def save(
        self, state: TrainState, record: dict[str, Any], loss: float = math.inf
    ) -> None:
        """Start saving; returns before the files are complete.

        Args:
          state: the state; its buffers may be donated after this returns.
          record: plain values that `restore` returns.
          loss: decides which checkpoints are the best.

        Raises:
          InputError: this save or the one before it could not be written (`machine.disk_errors`).
        """
        step = int(state.step)
        record = json.loads(json.dumps({**record, "loss": loss, "marks": marks(state)}))
        self.best.losses[step] = loss
        saved = ocp.args.JsonSave({**record, "sha256": digest(record)})
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), record=saved)
        with disk_errors(self.folder, self._newest):
            self.manager.save(step, args=args, force=True)

    def restore(
        self, like: TrainState, check: Check | None = None
    ) -> tuple[TrainState, Any]:
        """Return the newest undamaged state, and its record.

        A damaged checkpoint is reported on stderr and moved to `damaged-STEP`.

        Args:
          like: arrays, or `ShapeDtypeStruct`s with shardings: where the result lies, whatever its
            shardings when it was saved. Without shardings it lies on the first device.
          check: called with a readable record and its step before the arrays are read.

        Raises:
          FileNotFoundError: there is no checkpoint.
          InputError: parameters have other names or shapes, `check` raised one, or all are damaged.
        """
        like = jax.tree.map(shape_and_sharding, like)
        steps = sorted(self.manager.all_steps(), reverse=True)
        if not steps:
            raise FileNotFoundError(f"no checkpoint in {self.folder}")
        for step in steps:
            try:
                return self._read(step, like, check)
            except Exception as error:
                is_damage = isinstance(error, DAMAGE) or type(error) in BARE
                if isinstance(error, InputError) or not is_damage:
                    raise
                if isinstance(error, OSError) and error.errno not in (
                    None,
                    errno.ENOENT,
                ):
                    place = f"{self.folder}, step {step}"
                    found = error.strerror
                    words = "files that can be read", "try again; it stays where it is"
                    raise InputError("checkpoint", place, found, *words) from error
                self._move_aside(step, error)
        found = f"only damaged checkpoints ({len(steps)})"
        expected = "one that can be read"
        do = "move its damaged-* back from a copy, or start again with another --out"
        raise InputError("checkpoint", str(self.folder), found, expected, do)

    def _read(
        self, step: int, like: TrainState, check: Check | None
    ) -> tuple[TrainState, dict[str, Any]]:
        record = self._record(step)
        if check is not None:
            check(record, step)
        self._check_shapes(step, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        state = self.manager.restore(step, args=args)["state"]
        saved = record.pop("marks")
        current = marks(state)
        for name in sorted({*current, *saved}):
            if current.get(name) != saved.get(name):
                raise ValueError(f"array {name} is not what was saved")
        return state, record

    def _record(self, step: int) -> dict[str, Any]:
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        record = self.manager.restore(step, args=args)["record"]
        if record.pop("sha256") != digest(record):
            raise ValueError("the record is not what was saved")
        return record

    def _check_shapes(self, step: int, like: TrainState) -> None:
        """Compare parameters with the stored ones before anything is read."""
        # A damaged description is None, which has no parameters: a TypeError, as other damage.
        there = _shapes(cast(Any, self.manager.item_metadata(step))["state"]["params"])
        wanted = _shapes(like.params)
        names = sorted({*wanted, *there})
        differing = [name for name in names if wanted.get(name) != there.get(name)]
        if not differing:
            return
        named = differing[:4]
        rest = len(differing) - len(named)
        more = f" and {rest} more" * bool(rest)
        found, expected = (
            ", ".join(f"{name} {x.get(name, 'nowhere')}" for name in named) + more
            for x in (there, wanted)
        )
        do = "use the config of that run, or another --out"
        where = f"{self.folder}, parameters"
        raise InputError("checkpoint", where, found, expected, do)

    def _move_aside(self, step: int, error: Exception) -> None:
        whole = self.folder / str(step)
        names = (f"damaged-{step}" + f"-{n}" * (n > 1) for n in itertools.count(1))
        aside = next(x for x in map(self.folder.joinpath, names) if not x.exists())
        reason = printable(" ".join(str(error).split())[:300])
        print(
            f"WARNING: the checkpoint of step {step} in {self.folder} is damaged "
            f"({type(error).__name__}: {reason}); it is moved to {aside.name}, and the one before "
            "it is used",
            file=sys.stderr,
            flush=True,
        )
        if jax.process_index() == 0:
            with disk_errors(self.folder):
                whole.rename(aside)
        ocp.multihost.sync_global_processes(f"damaged-{step}")
        self.manager.reload()

    def _newest(self) -> str:
        """Return a sentence on the newest complete checkpoint, for an error of the disk."""
        self.manager.reload()
        return f"the newest complete one is {self.latest}"

    def close(self) -> None:
        """Wait until everything is on disk; raises as `save` does."""
        with disk_errors(self.folder, self._newest):
            self.manager.close()


class _LowestLoss(policies.PreservationPolicy):
    """Keeps the checkpoints of the lowest loss.

    Orbax's `BestN` reads losses from files of their own, one of which, damaged, would stop a run.
    """

    def __init__(self, count: int):
        self.count = count
        # By step, where it is known.
        self.losses: dict[int, float] = {}

    def should_preserve(self, checkpoints: Sequence[Any], **_: Any) -> Sequence[bool]:
        """Return which checkpoints to keep."""
        known = [info.step for info in checkpoints if info.step in self.losses]
        best = sorted(known, key=self.losses.__getitem__)[: self.count]
        return [info.step in best for info in checkpoints]


def shape_and_sharding(x: Any) -> jax.ShapeDtypeStruct:
    """Return the shape of an array and where it lies: on the first device if it does not say."""
    where = getattr(x, "sharding", None)
    place = where or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {dotted(path): tuple(x.shape) for path, x in jax.tree.leaves_with_path(tree)}


def marks(tree: Any) -> dict[str, str]:
    """Return 16 hexadecimal digits for each array of a pytree, by its dotted path."""
    # One after the other: on simulated devices, several communicating programs can deadlock.
    leaves = jax.tree.leaves_with_path(tree)
    read = {dotted(path): jax.device_get(_mark(x)) for path, x in leaves}
    return {name: "".join(f"{int(x):08x}" for x in pair) for name, pair in read.items()}


def digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


@jax.jit
def _mark(x: Shaped[Array, "..."]) -> UInt32[Array, "2"]:
    # 8 bytes become two uints, on a further axis.
    uints = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[min(x.dtype.itemsize, 4)]
    is_bool = x.dtype == jnp.bool_
    bits = (x if is_bool else jax.lax.bitcast_convert_type(x, uints)).astype(jnp.uint32)
    place = jnp.zeros(bits.shape, jnp.uint32)
    strides = np.cumprod((1, *bits.shape[:0:-1]))[::-1]
    for axis, stride in zip(range(bits.ndim), strides, strict=False):
        # A scalar has no axis.
        iota = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
        place += iota * np.uint32(stride % 2**32)
    hashed = _mix(bits ^ _mix(place))
    pair = hashed, hashed * (2 * place + 1)
    return jnp.stack([x.sum(dtype=jnp.uint32) for x in pair])


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Apply a bijection of 32 bits (the end of MurmurHash3)."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
