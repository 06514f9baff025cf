"""Refuses skinned meshes whose numbers cannot be rendered."""

import numpy as np
from jaxtyping import Int

LARGEST = 1e6  # coordinates and scales; float32 keeps millimetres of a kilometre


def parents_first(parent: Int[np.ndarray, "n"]) -> list[int]:
    """Return all nodes, each after its parent (-1 for roots).

    Raises:
      ValueError: a node is its own ancestor.
    """
    children: dict[int, list[int]] = {}
    for node, above in enumerate(parent.tolist()):
        children.setdefault(above, []).append(node)
    order = list(children.get(-1, []))
    for node in order:  # grows while it is read
        order.extend(children.get(node, []))
    if len(order) < len(parent):
        raise ValueError(f"{len(parent) - len(order)} nodes that are their own ancestors")
    return order


def require_indices(name: str, values: np.ndarray, count: int) -> None:
    """Refuse indices outside [0, count).

    Raises:
      ValueError: one is, or there are none.
    """
    if not values.size:
        raise ValueError(f"no {name}")
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"{name} from {values.min()} to {values.max()} for {count} of them")


def require_bounded(name: str, values: np.ndarray, most: float = LARGEST) -> None:
    """Refuse numbers that are not finite or larger than `most`.

    Raises:
      ValueError: one is.
    """
    if not np.isfinite(values).all() or (values.size and np.abs(values).max() > most):
        raise ValueError(f"{name} that are no numbers of at most {most:g}")


def require_times(times: np.ndarray, values: np.ndarray, width: int) -> None:
    """Refuse key frames without times that ascend from 0 on, or without a value each.

    Raises:
      ValueError: the animation cannot be played.
    """
    require_bounded("key frames", times)
    require_bounded("values of key frames", values)
    if not times.size or times[0] < 0 or (np.diff(times) <= 0).any() or times[-1] <= 0:
        raise ValueError("key frames whose times do not ascend")
    if values.shape != (len(times), width):
        raise ValueError(f"{len(times)} key frames with values of shape {values.shape}")
