"""Grids that several processes make together: the first asks for them, and all run the programs.

The first process alone reads a source, decides and writes. Whenever it needs the mesh it sends the
others what to call, who wait for that in `_follow`. Arrays lie as in training, so that no process
holds a model whole.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from full4d_jax.config import Config
from full4d_jax.generation.prior import FOUR_REAL, Prior, open_prior, prior_path
from full4d_jax.session.errors import InputError
from full4d_jax.session.processes import (
    ProcessOptions,
    are_all_ready,
    is_first_process,
    join_processes,
    require_all,
    wait_for_all,
)

DONE = "done"
FAILED = "failed"
_leads = False  # in the first process inside `_leading`


def make_together(
    several: ProcessOptions, config: Config, checkpoint: Path | None, work: Callable[[], object]
) -> None:
    """Do work that generates grids: alone, or in the first process with the others' devices.

    Args:
      several: the other processes, which are joined.
      config: the experiment.
      checkpoint: weights of the prior; None takes those in the package.
      work: opens that prior and generates with it.

    Raises:
      InputError: the mesh divides no grid, or another process did not come or failed.
    """
    if not several.are_several:
        work()
        return
    _check_shares(config, several.flag)
    join_processes(several)
    if is_first_process():
        with _leading():
            work()
    else:
        _follow(config, checkpoint)


def _check_shares(config: Config, flag: str) -> None:
    """Refuse a mesh that would leave a grid to one device.

    Raises:
      InputError: naming the option that asks for several processes.
    """
    mesh = config.mesh
    if mesh.fsdp * mesh.view * mesh.time * mesh.tensor == 1:
        expected = "a mesh that divides a grid, with several processes"
        raise InputError("config", "mesh", "all 1", expected, f"set --mesh.fsdp, or no {flag}")


def on_all(make: Callable[..., Any], prior: Prior, *arguments: Any) -> Any:
    """Return `make(prior, *arguments)`, inside `make_together` computed by all processes together.

    Args:
      make: a function of a module, which the others find by its name.
      prior: on one device, or on a mesh.
      arguments: trees of arrays, as the first process has them.
    """
    if not _leads or prior.mesh is None:
        return make(prior, *arguments)
    arrays = jax.tree.map(np.asarray, arguments)
    _send((make, prior.sampler, arrays))
    return _whole(make(prior, *arrays))


@contextmanager
def _leading() -> Iterator[None]:
    """Let the others follow meanwhile, and go when the first process is done or has failed.

    Raises:
      InputError: another process cannot read the prior.
    """
    global _leads
    require_all(are_all_ready(True))
    _leads = True
    end = FAILED
    try:
        yield
        end = DONE
    finally:
        _leads = False
        _send(end)


def _follow(config: Config, checkpoint: Path | None) -> None:
    """Compute what the first process asks for until it is done.

    Args:
      config: the experiment, as in the first process.
      checkpoint: weights of the prior; None takes those in the package.

    Raises:
      InputError: another process failed, or the prior is unusable.
    """
    posed = config.model.projection != "none"
    path = prior_path(checkpoint) if posed else checkpoint or FOUR_REAL
    is_ready = False
    try:
        prior = open_prior(config, path)
        is_ready = True
    finally:  # or the others would wait for this one
        all_are_ready = are_all_ready(is_ready)
    require_all(all_are_ready)
    while (asked := _receive()) != DONE:
        if asked == FAILED:
            do = "see what it printed"
            raise InputError("process", "number 0", "an error", "what it was asked for", do)
        make, sampler, arrays = asked
        _whole(make(replace(prior, sampler=sampler), *arrays))


def _whole(tree: Any) -> Any:
    """Return arrays that lie on all devices as arrays of this process, whole in each."""
    return jax.tree.map(
        lambda x: (
            multihost_utils.process_allgather(x, tiled=True) if isinstance(x, jax.Array) else x
        ),
        tree,
    )


def _send(message: Any) -> None:
    """Hand a message of the first process to the others, who wait in `_receive`."""
    data = np.frombuffer(pickle.dumps(message), np.uint8)
    wait_for_all()
    multihost_utils.broadcast_one_to_all(np.int32(data.size))
    multihost_utils.broadcast_one_to_all(data)


def _receive() -> Any:
    """Return the next message of the first process; it comes from the same program."""
    wait_for_all()
    size = int(multihost_utils.broadcast_one_to_all(np.int32(0)))
    data = multihost_utils.broadcast_one_to_all(np.zeros(size, np.uint8))
    return pickle.loads(np.asarray(data).tobytes())
