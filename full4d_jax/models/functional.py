"""Networks of flax as pure functions of their parameters."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PRNGKeyArray

# Nested, leaves are arrays.
Params = dict[str, Any]
# Of its sizes.
Network = Callable[[Any, nnx.Rngs], nnx.Module]


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


def by_name(params: Any) -> dict[str, Any]:
    """Return the leaves of nested parameters by dotted name."""
    return cast(dict[str, Any], flatten_dict(params, sep="."))


def nested(leaves: Mapping[str, Any]) -> Params:
    """Return nested parameters, the inverse of `by_name`."""
    return unflatten_dict(dict(leaves), sep=".")


def name_of(function: Any) -> str:
    """Return the name of a function of yours, as records and metadata have it."""
    return getattr(function, "__qualname__", type(function).__qualname__)
