"""Grids and scenes that several processes make: the first asks for them, all run the prior.

The first process alone reads a source, decides, fits and writes. Whenever it needs the mesh it
sends the others what to call, who wait for that in `_follow`. Arrays lie as in training, so that no
process holds a model whole.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from full4d_jax.config import Config, SamplerConfig
from full4d_jax.generation.prior import Prior, open_prior, prior_path
from full4d_jax.session.errors import InputError, PeerError
from full4d_jax.session.processes import (
    ProcessOptions,
    exit_code_of,
    is_first_process,
    join_processes,
    require_all,
    wait_for_all,
    worst_code,
)

OPEN = "open"
_leads = False  # in the first process inside `_leading`


class Call(NamedTuple):
    """What the first process asks the others to compute with it.

    Attributes:
      make: a function of a module, which they find by its name.
      sampler: of the prior that is its first argument; None takes what is held instead.
      arrays: its other arguments, trees of numpy arrays.
      stays: whether the result is held from now on.
    """

    make: Callable[..., Any]
    sampler: SamplerConfig | None
    arrays: tuple[Any, ...]
    stays: bool = False


def make_together(
    several: ProcessOptions, config: Config, checkpoint: Path | None, work: Callable[[], object]
) -> None:
    """Do work that asks a prior: alone, or in the first process with the others' devices.

    Args:
      several: the other processes, which are joined.
      config: the experiment.
      checkpoint: weights of the prior; None takes those in the package.
      work: opens that prior by `open_together` if it needs it, and asks it by `on_all`.

    Raises:
      InputError: another process did not come or failed.
    """
    if not several.are_several:
        work()
        return
    join_processes(several)
    if is_first_process():
        with _leading():
            work()
    else:
        _follow(config, checkpoint)


def check_shares(config: Config) -> None:
    """Refuse a mesh that would leave a grid to one device of several processes.

    Raises:
      InputError: it does.
    """
    mesh = config.mesh
    if mesh.fsdp * mesh.view * mesh.time * mesh.tensor == 1:
        expected = "a mesh that divides a grid, with several processes"
        do = "set --mesh.fsdp, or start one process alone"
        raise InputError("config", "mesh", "all 1", expected, do)


def open_together(config: Config, checkpoint: Path | None) -> Prior:
    """Return a prior, inside `make_together` opened by all processes.

    Raises:
      InputError: as `open_prior`, or another process cannot read it, or the mesh divides no grid.
    """
    if not _leads:
        return open_prior(config, checkpoint)
    check_shares(config)
    _send(OPEN)
    return _opened(config, checkpoint)


def on_all(make: Callable[..., Any], prior: Prior, *arguments: Any) -> Any:
    """Return `make(prior, *arguments)`, inside `make_together` computed by all processes together.

    Args:
      make: a function of a module, which the others find by its name.
      prior: on one device, or on a mesh.
      arguments: trees of arrays, as the first process has them.
    """
    if not _leads or prior.mesh is None:
        return make(prior, *arguments)
    return _whole(_asked(Call(make, prior.sampler, arguments), prior))


def hold_on_all(make: Callable[..., Any], prior: Prior, *arguments: Any) -> Any:
    """Return `make(prior, *arguments)` as `on_all` does, but where it lies, for `on_held`."""
    if not _leads or prior.mesh is None:
        return make(prior, *arguments)
    return _asked(Call(make, prior.sampler, arguments, stays=True), prior)


def on_held(make: Callable[..., Any], held: Any, *arguments: Any) -> Any:
    """Return `make(held, *arguments)` as `on_all` does, of what `hold_on_all` returned last."""
    if not _leads:
        return make(held, *arguments)
    return _whole(_asked(Call(make, None, arguments), held))


def _asked(call: Call, subject: Any) -> Any:
    """Let the others compute a call, too; return what lies on the devices of all."""
    call = call._replace(arrays=jax.tree.map(np.asarray, call.arrays))
    _send(call)
    return call.make(subject, *call.arrays)


@contextmanager
def _leading() -> Iterator[None]:
    """Let the others follow meanwhile, and go when the first process is done or has failed."""
    global _leads
    _leads = True
    code = PeerError.exit_code
    try:
        yield
        code = 0
    except Exception as error:
        code = exit_code_of(error)
        raise
    finally:
        if _leads:
            _leads = False
            _send(code)


def _opened(config: Config, checkpoint: Path | None) -> Prior:
    """Open the prior, as every process does now.

    Raises:
      InputError: this one or another one cannot read it; then all end.
      PeerError: another one failed otherwise.
    """
    global _leads
    code = PeerError.exit_code
    try:
        prior = open_prior(config, checkpoint)
        code = 0
    except Exception as error:
        code = exit_code_of(error)
        raise
    finally:  # or the others would wait for this one
        worst = worst_code(code)
        _leads = _leads and not worst  # after a failure no process receives the end
    require_all(worst)
    return prior


def _follow(config: Config, checkpoint: Path | None) -> None:
    """Compute what the first process asks for until it is done.

    Args:
      config: the experiment, as in the first process.
      checkpoint: weights of the prior; None takes those in the package.

    Raises:
      InputError: the prior, or what the first process reads, is unusable.
      PeerError: another process failed otherwise.
    """
    path = prior_path(config.model, checkpoint)
    prior: Any = None
    held: Any = None
    while not isinstance(asked := _receive(), int):  # the exit code of the first process
        if asked == OPEN:
            prior = _opened(config, path)
            continue
        subject = held if asked.sampler is None else replace(prior, sampler=asked.sampler)
        result = asked.make(subject, *asked.arrays)
        if asked.stays:
            held = result
        else:
            _whole(result)
    require_all(asked)


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
