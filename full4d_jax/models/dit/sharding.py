"""The device mesh, and the one table of which array axis is sharded over which mesh axis.

    data      samples; every device along it has all parameters
    fsdp      samples too; parameters are sharded over it and gathered one layer at a time
    view      \\ together they shard the tokens of a sample, flattened in the order
    time      / (view, time, token); see `attention.fused`
    tensor    attention heads and the hidden channels of the feed-forward network

Code names the axes of its arrays by the words of `RULES`. `constrain` acts in the mesh around it,
`jax.set_mesh(make_mesh(...))`, and does nothing without one. Programs are written for whole arrays;
XLA inserts the communication.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.custom_derivatives import linear_call
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from full4d_jax.config import Config, MeshConfig, to_dict
from full4d_jax.session.fields import require

AnyMesh = Mesh | AbstractMesh
AXES = ("data", "fsdp", "view", "time", "tensor")
RULES: dict[str | None, tuple[str, ...]] = {
    "samples": ("data", "fsdp"),
    "tokens": ("view", "time"),
    # Rows or columns of grids, each on its own.
    "videos": ("data", "fsdp", "view", "time"),
    # And hidden channels.
    "heads": ("tensor",),
    # Of parameters: the channels of a token.
    "width": ("fsdp", "view", "time"),
    None: (),
}
# Ends of the names of matrices of blocks that lead to heads or hidden channels, and back.
TO_HEADS = (
    "attention.query.kernel",
    "attention.key.kernel",
    "attention.value.kernel",
    "ffn_in.kernel",
)
FROM_HEADS = ("attention.out.kernel", "ffn_out.kernel")


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Make the mesh over all devices, with neighbours in the machine's network side by side.

    Several slices (groups of devices without a fast network between them) are sharded over `data`.
    With `data` given, a single process may leave devices out.

    Raises:
      InputError: the sizes do not make up the number of devices, or `data` the slices.
    """
    devices = jax.devices() if devices is None else devices
    may_leave_out = jax.process_count() == 1 and devices[0].platform != "tpu"
    shape = list(mesh_shape(config, len(devices), may_leave_out))
    devices = devices[: math.prod(shape)]
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    split = {"allow_split_physical_axes": True}
    if slices > 1:
        words = f"a multiple of the {slices} slices"
        require("mesh.data", shape[0], shape[0] % slices == 0, words)
        inside = [shape[0] // slices, *shape[1:]]
        outside = [slices] + [1] * (len(AXES) - 1)
        layout = mesh_utils.create_hybrid_device_mesh(inside, outside, devices, **split)
    else:
        layout = mesh_utils.create_device_mesh(shape, devices, **split)
    return Mesh(layout, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def mesh_shape(
    config: MeshConfig, devices: int, may_leave_out: bool = True
) -> tuple[int, ...]:
    """Return the sizes of `AXES` for a number of devices, of which some may be left out.

    Raises:
      InputError: their product is another one; only with `data` given it may be smaller.
    """
    sizes = to_dict(config)
    # Devices of one shard of `data`.
    per_sample = math.prod(sizes[name] for name in AXES[1:])
    data = config.data or devices // per_sample
    taken = data * per_sample
    may_leave_out = may_leave_out and config.data > 0
    fits = taken <= devices if may_leave_out else taken == devices
    words = "is at most" if may_leave_out else "makes up"
    require("mesh", sizes, fits, f"sizes whose product {words} {devices} devices")
    return (data, *(sizes[name] for name in AXES[1:]))


def spec(*names: str | None) -> PartitionSpec:
    """Turn names of `RULES`, one for each array axis, into mesh axes."""
    return PartitionSpec(*(RULES[name] or None for name in names))


def sharding_on(mesh: AnyMesh | None, *names: str | None) -> Any:
    """Return the sharding of arrays with these axes, or without; None where there is no mesh."""
    return None if mesh is None else NamedSharding(mesh, spec(*names))


def mesh_around() -> AbstractMesh | None:
    """Return the mesh in which a program is traced; None without one."""
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Shard an array's axes as `RULES` says, in the mesh around; None gathers an axis."""
    if mesh_around() is None:
        return x
    return jax.lax.with_sharding_constraint(x, spec(*names))


def parameter_axes(
    name: str, shape: Sequence[int], width: int
) -> tuple[str | None, ...]:
    """Return the logical axes of a parameter by its dotted name.

    Matrices are sharded along the channels of a token, `width` of them, and along heads. The axis
    of stacked blocks stays whole, and so do vectors and convolutions.
    """
    if len(shape) - ("blocks." in name) != 2:
        return (None,) * len(shape)
    stacked = (None,) * (len(shape) - 2)
    if name.endswith(TO_HEADS):
        return (*stacked, "width", "heads")
    if name.endswith(FROM_HEADS):
        return (*stacked, "heads", "width")
    if shape[-2] % width == 0:
        return (*stacked, "width", None)
    return (*stacked, None, "width" if shape[-1] % width == 0 else None)


def shapes_on(mesh: AnyMesh | None, shapes: Any, kind: DTypeLike | None = None) -> Any:
    """Return the shapes of arrays that lie whole on every device of a mesh, of a type if given."""
    whole = sharding_on(mesh)

    def one(x):
        return jax.ShapeDtypeStruct(
            x.shape, x.dtype if kind is None else kind, sharding=whole
        )

    return jax.tree.map(one, shapes)


def dotted(path: tuple) -> str:
    """Return the path of a leaf as parameters are named: `blocks.attention.query`."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def with_axes(function: Callable[..., Any], tree: Any, width: int) -> Any:
    """Return `function(leaf, axes)` of the leaves of a tree, by the end of their paths."""

    def one(path, x):
        return function(x, parameter_axes(dotted(path), x.shape, width))

    return jax.tree.map_with_path(one, tree)


def tree_shardings(mesh: AnyMesh, tree: Any, width: int) -> Any:
    """Return shardings of a tree of parameters, or of an optimizer's state for them.

    The end of a leaf's path decides. Scalars are on every device.
    """
    return with_axes(lambda _, axes: sharding_on(mesh, *axes), tree, width)


def constrain_tree(tree: Any, width: int) -> Any:
    """Constrain parameters, or an optimizer's state for them."""
    return with_axes(lambda x, axes: constrain(x, *axes), tree, width)


def gather_layer(params: Any, width: int) -> Any:
    """Gather the parameters of one layer, except over heads, just before they are used.

    Gradients are summed into shards. Without these constraints XLA may move activations instead, or
    sum whole gradients.
    """
    if mesh_around() is None:
        return params

    def gather(x, axes):
        whole = [axis if axis == "heads" else None for axis in axes]
        return linear_call(
            lambda _, x: constrain(x, *whole), lambda _, g: constrain(g, *axes), (), x
        )

    return with_axes(gather, params, width)


def frames_and_tokens(config: Config, frames: int) -> tuple[int, int]:
    """Return latent frames of a view of so many, the projected half too, and tokens of each."""
    model = config.model
    data = config.data
    halves = 2 if model.guide.projected_half else 1
    strides = model.strides
    side = model.patch * strides.pixels
    tokens = (data.height // side) * (data.width // side)
    return halves * strides.latent_frames(frames), tokens


def check_mesh(config: Config, mesh: AnyMesh) -> None:
    """Refuse sizes that do not divide, which XLA would compute on every device.

    Raises:
      InputError: a size does not divide; the message names the field and sizes that would do.
    """
    data, fsdp, view, time, tensor = (mesh.shape[name] for name in AXES)
    model = config.model
    views = config.data.views
    batch = config.training.batch
    samples = data * fsdp * config.training.accumulate
    parts = view * time
    shards = fsdp * parts
    heads = model.heads // tensor
    times, tokens = frames_and_tokens(config, config.data.frames)
    frames = views * times
    divided = math.gcd(views, times)
    of_tokens = f"sizes whose product divides all views, {views}, and times, {times}"
    queries = 1
    if model.attention.is_whole:
        divided = frames * tokens
        of_tokens = f"sizes whose product divides {frames} frames of {tokens} tokens"
        queries = math.prod(
            mesh.shape[name] for name in swap_axes(heads, view, time)[1]
        )

    names = "mesh.view, mesh.time"
    require_parts = partial(require, names, (view, time))
    of_samples = f"a multiple of mesh.data x mesh.fsdp x training.accumulate, {samples}"
    require("training.batch", batch, batch % samples == 0, of_samples)
    if config.data.lines:
        require_parts(
            parts == 1, "sizes of 1 with data.lines: rows and columns are not cut"
        )
    require_parts(divided % parts == 0, of_tokens)
    channels = math.gcd(model.heads, model.ffn)
    of_channels = (
        f"a size that divides model.heads, {model.heads}, and model.ffn, {model.ffn}"
    )
    require("mesh.tensor", tensor, channels % tensor == 0, of_channels)
    of_width = f"sizes whose product divides model.width, {model.width}"
    require(f"mesh.fsdp, {names}", shards, model.width % shards == 0, of_width)
    of_heads = f"sizes that divide the {heads} heads of a device, or {frames} frames"
    require_parts(frames % queries == 0, of_heads)
    is_free = queries == 1 or "prope" not in model.cameras
    require_parts(is_free, "sizes that divide the heads, with prope")


def swap_axes(
    heads: int, view: int, time: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the token axes traded for heads, and the rest, over which keys are gathered.

    `time` comes first: without it the tokens of a device would be in pieces.
    """
    sizes = {"view": view, "time": time}
    for swap in (("view", "time"), ("time",), ()):
        if heads % math.prod(sizes[name] for name in swap) == 0:
            break
    swap = tuple(name for name in swap if sizes[name] > 1)
    return swap, tuple(name for name in sizes if name not in swap and sizes[name] > 1)


def rows_here(mesh: Mesh | None, batch: int) -> list[int]:
    """Return the places in a batch of the samples that this process holds, ascending."""
    if mesh is None:
        return list(range(batch))
    cuts = (
        sharding_on(mesh, "samples").addressable_devices_indices_map((batch,)).values()
    )
    return sorted({row for cut in cuts if cut for row in range(*cut[0].indices(batch))})


def put_batch(
    mesh: Mesh | None, batch: Any, rows: Sequence[int] = (), size: int = 0
) -> Any:
    """Put host arrays on the devices, sharded over samples.

    Args:
      mesh: over the devices of all processes; None for one device.
      batch: a tree of arrays; every process has them whole, or its own `rows` of them.
      rows: places of its samples in the whole batch (`rows_here`).
      size: samples of the whole batch, if rows are given.
    """
    if mesh is None:
        return jax.device_put(batch)

    def one(x):
        x = np.asarray(x)
        held = rows or range(len(x))
        shape = (size or len(x), *x.shape[1:])

        def part(index):
            return x[np.searchsorted(held, range(*index[0].indices(shape[0])))]

        sharding = sharding_on(mesh, "samples", *[None] * (x.ndim - 1))
        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(one, batch)
