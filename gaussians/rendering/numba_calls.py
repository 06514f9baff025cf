"""Functions that Numba compiles, called by XLA's CPU programs without Python in between.

XLA hands a call frame to a C function: where arguments and results lie, and their shapes. They are
read by the layout of version 0 of XLA's interface (`xla/ffi/api/c_api.h`, which comes with jaxlib):
all structures are words of eight bytes, the first two of which are a size and a pointer to
extensions.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, no_type_check

import jax
import numpy as np
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray

# Numbers of words: in the frame, in what an extension asks for, and in a buffer.
EXTENSION = 1
ARGUMENTS = 9
RESULTS = 14
METADATA = 3
DATA = 3
AXES = 4
SHAPE = 5
# Bytes in the metadata before the version that is asked for.
BEFORE_VERSION = 24
# The first version with this layout.
VERSION = 0, 1

# Sums may be taken in another order, which vector instructions need.
compiled = njit(
    fastmath={"contract", "reassoc", "nsz"}, error_model="numpy", cache=True
)
# Machine code is freed with its last reference.
KEPT: list[Any] = []


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
    """Return where an argument's or result's numbers are, how many, and its shape."""
    buffers = _words(_words(frame, group + 1)[group], index + 1)
    buffer = _words(buffers[index], SHAPE + 1)
    shape = _words(buffer[SHAPE], buffer[AXES])
    count = 1
    for length in shape:
        count *= length
    return _pointer(buffer[DATA]), count, shape


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
    extension = _words(frame, EXTENSION + 1)[EXTENSION]
    if extension == 0:
        return False
    metadata = _words(extension, METADATA + 1)[METADATA]
    version = carray(_pointer(metadata + BEFORE_VERSION), (2,), np.int32)
    version[0] = VERSION[0]
    version[1] = VERSION[1]
    return True


@cache
def register(name: str, handler: Callable[[Any], int]) -> None:
    """Let `jax.ffi.ffi_call` find a function by a name.

    Args:
      name: of the target.
      handler: gets the address of the call frame and returns 0. It is a function of a module, so
        that Numba keeps what it compiled, and first returns where `is_query`.
    """
    compiled = cfunc(types.int64(types.int64), cache=True)(handler)
    KEPT.append(compiled)
    target = jax.ffi.pycapsule(compiled.ctypes)
    jax.ffi.register_ffi_target(name, target, platform="cpu")
