"""Work divided among devices: items of samples in one program, or calls of threads."""

import math
from collections.abc import Callable
from queue import LifoQueue
from typing import Any

import jax
import jax.numpy as jnp

from full4d_jax.models.dit.sharding import RULES, mesh_around, spec


def map_items(
    one: Callable[[Any, Any, Any], Any],
    items: Any,
    of_sample: Any,
    of_all: Any,
    at_once: int,
) -> Any:
    """Return `one(item, of_sample, of_all)` for each item, as trees of arrays (b n ...).

    In the mesh around, samples are divided evenly over its groups of devices, and the items of a
    sample over the devices that share its tokens, of either of which some may have nothing to do;
    without a mesh, this device works on all. Results are the same.

    Args:
      one: a pure function of one item, without leading axes.
      items: a tree of arrays (b n ...), n items of each of b samples.
      of_sample: a tree of arrays (b ...), one row of which `one` takes.
      of_all: a tree of arrays that `one` takes whole.
      at_once: how many items a device works on side by side, which bounds its memory.
    """

    def local(items, of_sample, of_all):
        b, n = jax.tree.leaves(items)[0].shape[:2]

        def at(place):
            sample, item = jnp.divmod(place, n)
            mine = jax.tree.map(lambda x: x[sample, item], items)
            return one(mine, jax.tree.map(lambda x: x[sample], of_sample), of_all)

        out = jax.lax.map(at, jnp.arange(b * n), batch_size=min(at_once, b * n))
        return jax.tree.map(lambda x: x.reshape(b, n, *x.shape[1:]), out)

    mesh = mesh_around()
    if mesh is None:
        return local(items, of_sample, of_all)
    b, n = jax.tree.leaves(items)[0].shape[:2]
    idle_samples = -b % _devices(mesh, "samples")
    idle_items = -n % _devices(mesh, "tokens")
    items = jax.tree.map(lambda x: _grown(x, idle_samples, idle_items), items)
    of_sample = jax.tree.map(lambda x: _grown(x, idle_samples), of_sample)
    cut = spec("samples", "tokens")
    cuts = (cut, spec("samples"), spec())
    on_devices = jax.shard_map(local, in_specs=cuts, out_specs=cut, check_vma=False)
    return jax.tree.map(lambda x: x[:b, :n], on_devices(items, of_sample, of_all))


def _devices(mesh: jax.sharding.AbstractMesh, axis: str) -> int:
    """Return over how many devices an axis of arrays is divided."""
    return math.prod(mesh.shape[name] for name in RULES[axis])


def _grown(x: jax.Array, *idle: int) -> jax.Array:
    """Return an array with zeros behind its first axes, as many as are given for each."""
    return jnp.pad(x, [(0, count) for count in idle] + [(0, 0)] * (x.ndim - len(idle)))


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
