"""Lists and compositing in the formulation of the platform that a program is lowered for.

GPUs run Pallas kernels over 16-pixel tiles (`compositing_gpu`), TPUs one over chunks of their lists
(`compositing_tpu`), CPUs loops over 8-pixel quarters that Numba compiles (`compositing_cpu`). All
else loops over quarters in XLA (`compositing`): NVIDIA GPUs before Ampere, and double precision on
CPUs and TPUs. The platform of the program decides, not the default device, and only its own branch
is lowered. Both passes of the gradient choose for themselves, so no branch saves arrays for
another. Projecting is the same everywhere; CPUs have a gradient of their own (`projection_cpu`).
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from gaussians.precision import in_own_precision
from gaussians.rendering import (
    compositing,
    compositing_cpu,
    compositing_gpu,
    compositing_tpu,
    projection_cpu,
)
from gaussians.rendering.binning import Bins, Tiles, bin_quarters, bin_splats
from gaussians.rendering.compositing import Features, Image
from gaussians.rendering.gpus import runs_triton
from gaussians.rendering.projection import Splats, project_gaussians
from gaussians.types import Camera, Gaussians, Values

T = TypeVar("T")


def list_splats(splats: Splats, tiles: Tiles, slots: int) -> Bins:
    """Return the lists that this platform composites, for `composite` only.

    They have one shape everywhere, that of `bin_quarters`; lists of whole tiles fill its front.
    """
    return on_this_platform(partial(_build_lists, tiles=tiles, slots=slots), splats)


def project(
    gaussians: Gaussians, opacities: Values, camera: Camera, *, antialiased: bool
) -> Splats:
    """Return `projection.project_gaussians`, with a gradient of the platform's own."""
    arrays = gaussians, opacities, camera.world_to_camera, camera.intrinsics
    size = camera.width, camera.height
    splats: Any = _project(arrays, size, antialiased)
    return Splats(*splats)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _project(arrays: tuple, size: tuple[int, int], antialiased: bool) -> Splats:
    gaussians, opacities, pose, lens = arrays
    camera = Camera(pose, lens, *size)
    return project_gaussians(gaussians, opacities, camera, antialiased=antialiased)


def _project_forward(
    arrays: tuple, size: tuple[int, int], antialiased: bool
) -> tuple[Splats, tuple]:
    return _project(arrays, size, antialiased), arrays


# Backward passes are traced after the forward pass, where jax is set as the caller wants it.
def _project_backward(
    size: tuple[int, int], antialiased: bool, arrays: tuple, cotangent: Splats
) -> tuple[tuple]:
    style = {"size": size, "antialiased": antialiased}
    pull_back = in_own_precision(
        partial(on_this_platform, partial(_pull_back_projection, **style))
    )
    return (pull_back(arrays, cotangent),)


_project.defvjp(_project_forward, _project_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def composite(features: Features, bins: Bins, tiles: Tiles) -> Image:
    """Composite the payload; the last channel is the light left for the background.

    `features` has the `compositing.GEOMETRY_ROWS`, then the payload.
    """
    return _forward(features, bins, tiles)[0]


def _forward(features: Array, bins: Bins, tiles: Tiles) -> tuple[Array, tuple]:
    image = on_this_platform(partial(_draw, tiles=tiles), features, bins)
    return image, (features, bins, image)


def _backward(tiles: Tiles, residuals: tuple, cotangent: Array) -> tuple[Array, None]:
    pull_back = in_own_precision(
        partial(on_this_platform, partial(_pull_back, tiles=tiles))
    )
    return pull_back(*residuals, cotangent), None


composite.defvjp(_forward, _backward)


# All branches are traced wherever one is needed. `jax.jit` lets each be traced once for its shapes.
@partial(jax.jit, static_argnames=("kernels", "tiles", "slots"))
def _build_lists(kernels: ModuleType, splats: Splats, tiles: Tiles, slots: int) -> Bins:
    if kernels is compositing:
        return bin_quarters(splats, tiles, slots)
    if kernels is compositing_cpu:
        return compositing_cpu.list_splats(splats, tiles.quarters, 2 * slots)
    bins = bin_splats(splats, tiles, slots)
    more = tiles.quarters.count - tiles.count
    first, length = (jnp.pad(run, (0, more)) for run in (bins.first, bins.length))
    return Bins(jnp.pad(bins.ids, (0, slots)), first, length, bins.overflow)


@partial(jax.jit, static_argnames=("kernels", "tiles"))
def _draw(kernels: ModuleType, features: Array, bins: Bins, tiles: Tiles) -> Array:
    image = kernels.forward(features, *_own_lists(kernels, bins, tiles))
    return image[: tiles.height, : tiles.width]


@partial(jax.jit, static_argnames=("kernels", "tiles"))
def _pull_back(
    kernels: ModuleType,
    features: Array,
    bins: Bins,
    image: Array,
    cotangent: Array,
    tiles: Tiles,
) -> Array:
    bins, own = _own_lists(kernels, bins, tiles)
    beyond = (own.rows * own.side - tiles.height, own.columns * own.side - tiles.width)
    padding = ((0, beyond[0]), (0, beyond[1]), (0, 0))
    image, cotangent = (jnp.pad(x, padding) for x in (image, cotangent))
    return kernels.backward(features, bins, image, cotangent, own)


@partial(jax.jit, static_argnames=("kernels", "size", "antialiased"))
def _pull_back_projection(
    kernels: ModuleType,
    arrays: tuple,
    cotangent: Splats,
    size: tuple[int, int],
    antialiased: bool,
) -> tuple:
    if kernels is compositing_cpu:
        gaussians, opacities, pose, lens = arrays
        style = {"size": size, "antialiased": antialiased}
        return projection_cpu.pull_back(
            gaussians, opacities, pose, lens, cotangent, **style
        )

    def again(arrays):
        gaussians, opacities, pose, lens = arrays
        camera = Camera(pose, lens, *size)
        return project_gaussians(gaussians, opacities, camera, antialiased=antialiased)

    return jax.vjp(again, arrays)[1](cotangent)[0]


def _by_numba(work: Callable[..., T]) -> Callable[..., T]:
    """Return `work` with Numba's loops; under vmap with XLA's, which a mesh can divide."""

    @custom_vmap
    def by_numba(*arrays):
        return work(compositing_cpu, *arrays)

    @by_numba.def_vmap
    def by_xla(_size, are_batched, *arrays):
        axes = jax.tree.map(lambda x: 0 if x else None, tuple(are_batched))
        results = jax.vmap(partial(work, compositing), in_axes=axes)(*arrays)
        return results, jax.tree.map(lambda _: True, results)

    return by_numba


def on_this_platform(work: Callable[..., T], *arrays: Any) -> T:
    """Return `work(kernels, *arrays)` with the module of the platform; see above."""
    # These kernels are traced everywhere and have no double precision.
    is_single = jnp.result_type(float) == jnp.float32
    on_cpu = _by_numba(work) if is_single else partial(work, compositing)
    tpu = compositing_tpu if is_single else compositing
    return lax.platform_dependent(
        *arrays,
        cuda=partial(work, compositing_gpu if runs_triton() else compositing),
        rocm=partial(work, compositing_gpu),
        tpu=partial(work, tpu),
        cpu=on_cpu,
        default=partial(work, compositing),
    )


def _own_lists(kernels: ModuleType, bins: Bins, tiles: Tiles) -> tuple[Bins, Tiles]:
    """Return the lists of `list_splats` without the unused end, and their tiles."""
    if kernels in (compositing, compositing_cpu):
        return bins, tiles.quarters
    ids = bins.ids[: bins.ids.shape[0] // 2]
    n = tiles.count
    return Bins(ids, bins.first[:n], bins.length[:n], bins.overflow), tiles
