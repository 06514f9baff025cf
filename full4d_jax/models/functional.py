"""Networks of flax as pure functions of their parameters."""

import functools
from collections.abc import Callable
from typing import Any

from flax import nnx
from jaxtyping import PRNGKeyArray

Params = dict[str, Any]  # nested, leaves are arrays
Network = Callable[[Any, nnx.Rngs], nnx.Module]  # of its sizes


def draw_params(network: Network, config: Any, key: PRNGKeyArray) -> Params:
    """Return random parameters, float32."""
    return nnx.to_pure_dict(nnx.state(network(config, nnx.Rngs(params=key)), nnx.Param))


@functools.cache
def structure(network: Network, config: Any) -> tuple[nnx.GraphDef, Params]:
    """Return a network's structure and the shapes of its parameters, without allocating them."""
    graph, params = nnx.split(nnx.eval_shape(lambda: network(config, nnx.Rngs(0))))
    return graph, nnx.to_pure_dict(params)


def bound(network: Network, config: Any, params: Params) -> Any:
    """Return a network with these parameters."""
    return nnx.merge(structure(network, config)[0], params)
