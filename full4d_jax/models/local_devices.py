"""One program on all devices of this host, for as many threads."""

from collections.abc import Callable
from queue import LifoQueue
from typing import Any

import jax


class OnLocalDevices:
    """A function whose calls, by any number of threads, each take a device that is free.

    Each call is the whole program on one device, so that the result has the same bits on all. Of
    free devices it is the one that was used last, since the program is compiled for each: as many
    threads as devices use all of them, a single one never waits for a second compilation.

    Args:
      function: called with the weights first; jitted.
      weights: a tree of arrays, of which each device of this process gets a copy.
    """

    def __init__(self, function: Callable[..., Any], weights: Any):
        self._function = function
        self._free: LifoQueue[tuple[Any, Any]] = LifoQueue()
        for device in jax.local_devices():
            self._free.put((device, jax.device_put(weights, device)))

    def __call__(self, *arguments: Any) -> Any:
        """Return `function(weights, *arguments)` as numpy arrays."""
        device, weights = self._free.get()
        try:
            with jax.default_device(device):
                return jax.device_get(self._function(weights, *arguments))
        finally:
            self._free.put((device, weights))
