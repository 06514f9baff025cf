"""Work on many items of each sample, divided among the devices that share the sample."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from full4d_jax.models.sharding import RULES, spec


def map_items(
    one: Callable[[Any, Any, Any], Any], items: Any, of_sample: Any, of_all: Any, at_once: int
) -> Any:
    """Return `one(item, of_sample, of_all)` for each item, as trees of arrays (b n ...).

    In the mesh around, the items of a sample are divided evenly over the devices that share its
    tokens; without one, this device works on all. Results are the same.

    Args:
      one: a pure function of one item, without leading axes.
      items: a tree of arrays (b n ...), n items of each of b samples.
      of_sample: a tree of arrays (b ...), one row of which `one` takes.
      of_all: a tree of arrays that `one` takes whole.
      at_once: how many items a device works on side by side, which bounds its memory.
    """

    def local(items: Any, of_sample: Any, of_all: Any) -> Any:
        b, n = jax.tree.leaves(items)[0].shape[:2]

        def at(place: jax.Array) -> Any:
            sample, item = jnp.divmod(place, n)
            mine = jax.tree.map(lambda x: x[sample, item], items)
            return one(mine, jax.tree.map(lambda x: x[sample], of_sample), of_all)

        out = jax.lax.map(at, jnp.arange(b * n), batch_size=min(at_once, b * n))
        return jax.tree.map(lambda x: x.reshape(b, n, *x.shape[1:]), out)

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return local(items, of_sample, of_all)
    count = jax.tree.leaves(items)[0].shape[1]
    missing = -count % math.prod(mesh.shape[name] for name in RULES["tokens"])
    grown = jax.tree.map(
        lambda x: jnp.pad(x, ((0, 0), (0, missing)) + ((0, 0),) * (x.ndim - 2)), items
    )
    cut = spec("samples", "tokens")
    on_devices = jax.shard_map(
        local, in_specs=(cut, spec("samples"), spec()), out_specs=cut, check_vma=False
    )
    return jax.tree.map(lambda x: x[:, :count], on_devices(grown, of_sample, of_all))
