"""Several processes of one command: joining, sharing files, waiting for each other."""

import contextlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np

from full4d_jax.session.errors import InputError, PeerError
from full4d_jax.session.fields import Between, require_option

# Stands for a number that was not given.
NO_NUMBER = -1
MOST_PROCESSES = 2**20
# How much later process 0 may start, as in jax.
SECONDS_TO_WAIT = 300.0
# Endings of what a command reads of its own folder.
STAGE_FILES = {".npz", ".json", ".jsonl"}


@dataclass(frozen=True)
class ProcessOptions:
    """The other processes of a command."""

    distributed: bool = False
    """This process is one of several of a cluster, which says how many (docs/training.md)."""
    coordinator: str = ""
    """Address of process 0 on bare machines, HOST:PORT."""
    processes: Annotated[int, Between(0, MOST_PROCESSES)] = 0
    """With a coordinator, how many there are."""
    process: Annotated[int, Between(NO_NUMBER, MOST_PROCESSES - 1)] = NO_NUMBER
    """With a coordinator, the number of this one, from 0."""

    @property
    def are_several(self) -> bool:
        """Whether there are other processes."""
        return self.distributed or bool(self.coordinator)

    @property
    def flag(self) -> str:
        """The option that was given for other processes."""
        return "--coordinator" if self.coordinator else "--distributed"


ALONE = ProcessOptions()


def is_first_process() -> bool:
    """Return whether this process is the first of those that joined, or alone."""
    if "jax" not in sys.modules:
        return True
    import jax

    return not jax.distributed.is_initialized() or jax.process_index() == 0


def check_processes(options: ProcessOptions) -> None:
    """Refuse numbers of processes that do not belong together.

    Raises:
      InputError: naming the option.
    """
    count = options.processes
    number = options.process
    expected = "none without a coordinator, HOST:PORT of process 0"
    is_alone = number == NO_NUMBER
    rules = [("processes", count == 0, expected), ("process", is_alone, expected)]
    if options.coordinator:
        is_address = re.fullmatch(r".+:\d{1,5}", options.coordinator) is not None
        numbers = f"0 to {count - 1}, another one in each process"
        rules = [
            ("coordinator", is_address, "HOST:PORT of process 0"),
            ("processes", count > 1, "at least 2 with a coordinator"),
            ("process", 0 <= number < count, numbers),
        ]
    for name, fits, expected in rules:
        require_option(name, getattr(options, name), fits, expected)


def join_processes(options: ProcessOptions) -> None:
    """Wait for the other processes of a run, and see their devices as one.

    Args:
      options: where they are; without a coordinator a TPU slice, SLURM, Open MPI or Kubernetes
        tells it.

    Raises:
      InputError: there is nothing around that jax knows, or no answer at the coordinator.
      PeerError: the others did not come, or the port of the coordinator is not free.
    """
    import jax

    if options.coordinator and options.process > 0:
        _wait_for_first(options)
    try:
        if options.coordinator:
            # Detection of SLURM's would take one GPU of several.
            addresses = (options.coordinator, options.processes, options.process)
            jax.distributed.initialize(
                *addresses, cluster_detection_method="deactivate"
            )
        else:
            jax.distributed.initialize()
    except ValueError as error:
        expected = "a TPU slice, SLURM, Open MPI or Kubernetes around it"
        found = f"none that jax knows ({error})"
        do = "leave it out for a single process, or give --coordinator (docs/training.md)"
        raise InputError("option", "--distributed", found, expected, do) from None
    except RuntimeError as error:
        expected = "processes that start within minutes, and reach the first"
        do = "check the address, the port and the other processes"
        found = f"{error!s:.200}"
        raise PeerError("option", options.flag, found, expected, do) from None


def _wait_for_first(options: ProcessOptions) -> None:
    """Wait until process 0 listens: jax itself would abort where it never does.

    Raises:
      InputError: it does not within `SECONDS_TO_WAIT`.
    """
    pause_seconds = 1.0
    host, _, port = options.coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    end = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            socket.create_connection(address, timeout=pause_seconds).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                why = error.strerror or error
                found = f"no answer in {SECONDS_TO_WAIT:.0f} s ({why})"
                words = "process 0 there", "check the address, the port and process 0"
                raise InputError("option", options.flag, found, *words) from None
        time.sleep(pause_seconds)


@contextlib.contextmanager
def one_part(
    options: ProcessOptions, part: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Give each process its part of the work, and wait at the end until all parts are done.

    Args:
      options: the others, which are joined; none leave the part as it is.
      part: (i, n), the i-th of n parts.

    Yields:
      The part; of several processes the number of this one and how many there are.

    Raises:
      InputError: as `join_processes`.
      PeerError: another process failed.
    """
    if not options.are_several:
        yield part
        return
    import jax

    with _joined(options):
        yield jax.process_index(), jax.process_count()


@contextlib.contextmanager
def _joined(options: ProcessOptions) -> Iterator[None]:
    """Join the other processes, and wait at the end until all are there; raises as `one_part`."""
    join_processes(options)
    try:
        yield
    except PeerError:
        # It comes from `agree`, so that the others have it too.
        raise
    except Exception as error:
        # The others go on, and would be ended if this one left before they agree next.
        print(
            f"{error}\nwaiting for the other processes to end",
            file=sys.stderr,
            flush=True,
        )
        _worst_code(error)
        raise
    agree()


@contextlib.contextmanager
def output_of(options: ProcessOptions, folder: Path) -> Iterator[Path]:
    """Yield the folder in which this process works: of several, the first writes in `folder` alone.

    The others run the same program in a copy of what the first has there, without a word, and the
    copy is deleted at the end.

    Raises:
      InputError: as `check_processes` and `join_processes`.
      PeerError: another process failed.
    """
    check_processes(options)
    if not options.are_several:
        yield folder
        return
    with _joined(options), contextlib.ExitStack() as stack:
        if not is_first_process():
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="full4d-")))
            silence = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
            stack.enter_context(contextlib.redirect_stderr(silence))
        _share_files(folder)
        yield folder


def agree() -> None:
    """Wait until all processes are here.

    Raises:
      PeerError: another one failed before.
    """
    import jax

    if jax.process_count() == 1:
        return
    if code := _worst_code():
        error = _peer_error("an error", "see what it printed")
        error.exit_code = code
        raise error


def _peer_error(found: str, do: str) -> PeerError:
    return PeerError("process", "another one", found, "its part of the work", do)


def on_mesh(mesh: Any, make: Callable[..., Any], *arguments: Any) -> Any:
    """Return `make(*arguments)`, computed by all processes whose devices a mesh has.

    Args:
      mesh: None for arrays on one device.
      make: the same function in every process.
      arguments: trees of arrays, of the same values in every process.

    Returns:
      Arrays of this process, whole; where it runs alone, or traces, as `make` returns them.

    Raises:
      PeerError: another process failed before.
    """
    import jax

    return jax.tree.map(_whole, mesh_arrays(mesh, make, *arguments))


def mesh_arrays(mesh: Any, make: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `on_mesh` without gathering it: each process has its part."""
    import jax
    from jax.core import Tracer

    is_traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(arguments))
    if mesh is None or is_traced or jax.process_count() == 1:
        return make(*arguments)
    agree()
    # What lies on a device of this process alone cannot enter a program of all of them.
    return make(*jax.tree.map(np.asarray, arguments))


def _whole(x: Any) -> Any:
    """Return an array that lies on devices of several processes as one of this process."""
    import jax
    from jax.core import Tracer
    from jax.experimental import multihost_utils

    is_whole = not isinstance(x, jax.Array) or isinstance(x, Tracer)
    if is_whole or x.is_fully_addressable:
        return x
    return multihost_utils.process_allgather(x, tiled=True)


def _share_files(folder: Path) -> None:
    """Give every process the files of stages that the first has in its folder."""
    names = []
    if is_first_process():
        files = [x for x in folder.glob("*") if x.suffix in STAGE_FILES]
        names = sorted(x.name for x in files if x.is_file() and not x.is_symlink())
    for name in json.loads(_of_first(json.dumps(names).encode())):
        path = folder / name
        data = _of_first(path.read_bytes() if is_first_process() else b"")
        if not is_first_process():
            path.write_bytes(data)


def _of_first(data: bytes) -> bytes:
    """Return the bytes that the first process has."""
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    own = np.zeros(size, np.uint8)
    if is_first_process():
        own = np.frombuffer(data, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes()


def _worst_code(error: Exception | None = None) -> int:
    """Return the exit code of all processes; each calls it once, with its error if there is one.

    It is 2 where the same command would fail again, else 75: it may go on. Unusable input of one
    outweighs what may pass.
    """
    from jax.experimental import multihost_utils

    code = getattr(error, "exit_code", PeerError.exit_code) if error else 0
    _wait_for_all()
    codes = multihost_utils.process_allgather(np.int32(code))
    return InputError.exit_code if InputError.exit_code in codes else int(codes.max())


def _wait_for_all() -> None:
    """Wait until all processes are here, without a device, whose collectives give up earlier.

    Raises:
      PeerError: another one has died, which jax notices within two minutes.
    """
    import jax
    import orbax.checkpoint as ocp

    # One of them may measure or encode for long.
    week_ms = 7 * 24 * 3600 * 1000
    try:
        ocp.multihost.get_barrier_sync_fn()(key="next", timeout_ms=week_ms)
    except jax.errors.JaxRuntimeError as error:
        do = "start all again: the same commands resume"
        raise _peer_error(f"{error!s:.200}", do) from None
