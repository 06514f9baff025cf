"""Functions that Numba compiles, called by XLA's CPU programs without Python in between.

XLA hands a call frame to a C function: where arguments and results lie, and their shapes. They are
read by the layout of version 0 of XLA's interface (`xla/ffi/api/c_api.h`, which comes with jaxlib):
all structures are words of eight bytes, the first two of which are a size and a pointer to
extensions.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, no_type_check

import jax
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxtyping import Array
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray

# Places of words in a call frame: its extension, and the lists of buffers.
EXTENSION_WORD = 1
ARGUMENTS_WORD = 9
RESULTS_WORD = 14
# Of the extension that asks for metadata.
METADATA_WORD = 3
# Of a buffer.
DATA_WORD = 3
AXES_WORD = 4
SHAPE_WORD = 5
# Bytes of the metadata before its version.
BEFORE_VERSION = 24
# The first version with this layout.
VERSION = 0, 1

# Sums may be taken in another order, which vector instructions need.
compiled = njit(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
# Machine code by the name that XLA calls it by; it would be freed with its last reference.
REGISTERED: dict[str, Any] = {}
REGISTERING = Lock()

numba_call = Primitive("numba_call")
numba_call.multiple_results = True


@intrinsic
@no_type_check
def _pointer(_typing: Any, _address: Any) -> Any:
    """Return an address as a pointer."""

    def build(_context, builder, _signature, values):
        return builder.inttoptr(values[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), build


@compiled
@no_type_check
def _words(address, count):
    """Return so many words from an address on."""
    return carray(_pointer(address), (count,), np.int64)


@compiled
@no_type_check
def _buffer(frame, group, index):
    """Return where a buffer's numbers are, how many, and its shape.

    `group` is `ARGUMENTS_WORD` or `RESULTS_WORD`, `index` that in the group.
    """
    buffers = _words(_words(frame, group + 1)[group], index + 1)
    buffer = _words(buffers[index], SHAPE_WORD + 1)
    shape = _words(buffer[SHAPE_WORD], buffer[AXES_WORD])
    count = 1
    for length in shape:
        count *= length
    return _pointer(buffer[DATA_WORD]), count, shape


@compiled
@no_type_check
def floats(frame, group, index):
    """Return the float32 numbers of an argument or result in one row, and its shape."""
    place, count, shape = _buffer(frame, group, index)
    return carray(place, (count,), np.float32), shape


@compiled
@no_type_check
def integers(frame, group, index):
    """Return the int32 numbers of an argument or result in one row, and its shape."""
    place, count, shape = _buffer(frame, group, index)
    return carray(place, (count,), np.int32), shape


@compiled
@no_type_check
def is_query(frame):
    """Return whether XLA asks for the version of the interface, and answer."""
    extension = _words(frame, EXTENSION_WORD + 1)[EXTENSION_WORD]
    if extension == 0:
        return False
    metadata = _words(extension, METADATA_WORD + 1)[METADATA_WORD]
    version = carray(_pointer(metadata + BEFORE_VERSION), (2,), np.int32)
    version[0] = VERSION[0]
    version[1] = VERSION[1]
    return True


def call_numba(
    handler: Callable[[Any], int],
    results: Sequence[jax.ShapeDtypeStruct],
    *arrays: Array | np.ndarray | np.number,
) -> list[Array]:
    """Return what a function makes of arrays; in programs for CPUs only.

    Numba compiles it when such a program is lowered: those for GPUs and TPUs, in which this is
    traced as well, need not wait for it.

    Args:
      handler: gets the address of the call frame and returns 0, first of all where `is_query`. It
        is a function of a module, so that its machine code is kept between runs, and XLA knows it
        by its name, which no other handler has.
      results: their shapes and types.
      arrays: in the order of the frame's arguments.
    """
    shapes = tuple(ShapedArray(x.shape, x.dtype) for x in results)
    return numba_call.bind(*arrays, handler=handler, shapes=shapes)


@numba_call.def_abstract_eval
def _shapes(*_arrays: Any, shapes: tuple, **_: Any) -> tuple:
    return shapes


def _lower(context: Any, *arrays: Any, handler: Callable, **_: Any) -> Any:
    name = f"gaussians{handler.__name__}"
    _register(name, handler)
    return jax.ffi.ffi_lowering(name)(context, *arrays)


mlir.register_lowering(numba_call, _lower, platform="cpu")


def _register(name: str, handler: Callable[[Any], int]) -> None:
    """Let XLA call a function by a name, once in this process."""
    with REGISTERING:
        if name in REGISTERED:
            return
        function = _compile(handler)
        target = jax.ffi.pycapsule(function.ctypes)
        jax.ffi.register_ffi_target(name, target, platform="cpu")
        REGISTERED[name] = function


def _compile(handler: Callable[[Any], int]) -> Any:
    """Return machine code, from an earlier run if none of our sources changed since.

    Numba compares the file of the function alone. What it calls, and constants, lie in others.
    """
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(x.read_bytes() for x in sources)).hexdigest()
    # Numba names the file by it.
    handler.__qualname__ = f"{handler.__name__}_{digest[:16]}"
    signature = types.int64(types.int64)
    try:
        return cfunc(signature, cache=True)(handler)
    except (OSError, RuntimeError):
        # No folder can be written to.
        return cfunc(signature)(handler)
