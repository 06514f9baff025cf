"""Rendering for one camera and one instant, and for many pairs of them, one after another."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from gaussians import harmonics, precision
from gaussians.deformation import Scene
from gaussians.rendering import binning, compositing, platforms, projection
from gaussians.types import Camera, Gaussians, Number, Rendering, Surfaces, Times

# Parameters beyond this, or not a number, make a Gaussian invisible.
LARGEST_PARAMETER = 1e15


@precision.in_own_precision
def render(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: Float[Array, "3"] | None = None,
    sh_degree: int | None = None,
    antialiased: bool = False,
    max_intersections: int | None = None,
    features: Float[Array, "g f"] | None = None,
) -> Rendering:
    """Render a picture, differentiable in the Gaussians, features, camera and background.

    Intersections beyond the budget are missing from the picture and counted in
    `Rendering.overflow`. Gaussians with parameters that are not finite are not drawn and get zero
    gradients.

    Args:
      gaussians: the scene.
      camera: one camera; focal lengths and principal point of its intrinsics are read, no skew.
      background: colour behind everything, black when None.
      sh_degree: degree of the harmonics to use, 0 to 3; None uses all that the Gaussians have.
      antialiased: dim Gaussians thinner than a pixel instead of widening them (3DGS-MCMC, Mip).
      max_intersections: budget of Gaussian-tile intersections, static; see `intersection_budget`.
        None counts them first, which needs concrete values, so it is an error under jit.
      features: of each Gaussian, any number of channels, finite; drawn as its colour is.

    Raises:
      ValueError: An argument is no array or of another shape, there are no Gaussians or no pixels,
        or the harmonics have no degree or not the one asked for.
    """
    _check(gaussians, camera, background, sh_degree, features)
    if max_intersections is None:
        max_intersections = intersection_budget(
            gaussians, camera, antialiased=antialiased
        )
    if sh_degree is None:
        sh_degree = round(gaussians.harmonics.shape[-2] ** 0.5) - 1
    if background is None:
        background = jnp.zeros(3)
    slots = max(1, max_intersections)
    return _render(
        gaussians, camera, background, features, sh_degree, antialiased, slots
    )


@precision.in_own_precision
def render_surfaces(
    gaussians: Gaussians,
    camera: Camera,
    *,
    antialiased: bool = False,
    max_intersections: int | None = None,
) -> Surfaces:
    """Return which Gaussians `render` draws at each pixel, and the median depth.

    The same loops find them on all platforms, slower than `render` on GPUs and TPUs. The gradient
    of the median depth is that of the centre which it belongs to.

    Args:
      gaussians: the scene.
      camera: one camera, as of `render`.
      antialiased: as of `render`.
      max_intersections: as of `render`.

    Raises:
      ValueError: see `render`.
    """
    _check(gaussians, camera)
    if max_intersections is None:
        max_intersections = intersection_budget(
            gaussians, camera, antialiased=antialiased
        )
    return _render_surfaces(gaussians, camera, antialiased, max(1, max_intersections))


def _check(
    gaussians: Gaussians,
    camera: Camera,
    background: Array | None = None,
    sh_degree: int | None = None,
    features: Array | None = None,
) -> None:
    """Refuse shapes that would broadcast into a wrong picture."""
    (g,) = np.shape(gaussians.means)[:1] or (0,)
    k = _columns(gaussians.harmonics, 3)
    _check_array("means", gaussians.means, (g, 3))
    _check_array("quaternions", gaussians.quaternions, (g, 4))
    _check_array("log_scales", gaussians.log_scales, (g, 3))
    _check_array("logit_opacities", gaussians.logit_opacities, (g,))
    _check_array("harmonics", gaussians.harmonics, (g, k, 3))
    one = " of one camera; vmap over more"
    _check_array("world_to_camera", camera.world_to_camera, (4, 4), one)
    _check_array("intrinsics", camera.intrinsics, (3, 3), one)
    if background is not None:
        _check_array("background", background, (3,))
    if features is not None:
        _check_array("features", features, (g, _columns(features, 2)))
    rules = {
        "no Gaussians, expected at least one": g > 0,
        f"{k} harmonics, expected 1, 4, 9 or 16": k in (1, 4, 9, 16),
        f"sh_degree {sh_degree} with {k} harmonics": 0 <= (sh_degree or 0) < k**0.5,
        f"width {camera.width}, expected at least 1": camera.width >= 1,
        f"height {camera.height}, expected at least 1": camera.height >= 1,
    }
    for found, holds in rules.items():
        if not holds:
            raise ValueError(f"render: found {found}")


def _columns(array: Any, axes: int) -> int:
    """Return the length of the second axis, which is free; 1 where the axes are not so many."""
    shape = np.shape(array)
    return shape[1] if len(shape) == axes else 1


def _check_array(
    name: str, array: Any, expected: tuple[int, ...], what: str = ""
) -> None:
    """Refuse what is no array, or one of another shape."""
    is_array = hasattr(array, "shape")
    kind = "an array" if is_array else f"a {type(array).__name__}"
    shape = np.shape(array)
    if not is_array or shape != expected:
        found = f"{name}, {kind} of shape {shape}"
        raise ValueError(
            f"render: found {found}, expected an array of shape {expected}{what}"
        )


@precision.in_own_precision
def intersection_budget(
    gaussians: Gaussians,
    camera: Camera,
    *,
    antialiased: bool = False,
    slack: float = 1.25,
) -> int:
    """Count the intersections and return a budget for `render`, `slack` times that count.

    Raises:
      ValueError: It is called under jit, where nothing can be counted, or the Gaussians or the
        camera are of another shape.
    """
    count = count_intersections(gaussians, camera, antialiased=antialiased)
    return round_budget(count, slack)


def round_budget(intersections: Number | int, slack: float = 1.0) -> int:
    """Round `slack` times a count up, in four steps per octave: similar scenes share a compilation.

    Raises:
      ValueError: The count is traced, or beyond 32-bit arithmetic.
    """
    try:
        needed = int(float(intersections) * slack)
    except jax.errors.ConcretizationTypeError as error:
        raise ValueError(
            "the intersection budget is a static shape and cannot be counted under jit, grad or "
            "vmap: call gaussians.intersection_budget outside and pass max_intersections"
        ) from error
    if needed >= binning.MOST_INTERSECTIONS:
        raise ValueError(
            f"{needed} or more Gaussian-tile intersections, at most {binning.MOST_INTERSECTIONS} "
            "can be counted: are the scales of the Gaussians right for this scene?"
        )
    step = max(256, 1 << max(0, needed.bit_length() - 3))
    return max(step, -(-needed // step) * step)


@precision.in_own_precision
@partial(jax.jit, static_argnames="antialiased")
def count_intersections(
    gaussians: Gaussians, camera: Camera, *, antialiased: bool = False
) -> Number:
    """Return the number of Gaussian-tile intersections that `render` needs room for.

    Raises:
      ValueError: The Gaussians or the camera are of another shape.
    """
    _check(gaussians, camera)
    splats, tiles, _ = _splats(gaussians, camera, antialiased)
    return binning.count_slots(splats, tiles)


@partial(jax.jit, static_argnames=("sh_degree", "antialiased", "slots"))
@precision.exact_products
def _render(
    gaussians: Gaussians,
    camera: Camera,
    background: Float[Array, "3"],
    features: Float[Array, "g f"] | None,
    sh_degree: int,
    antialiased: bool,
    slots: int,
) -> Rendering:
    splats, tiles, gaussians = _splats(gaussians, camera, antialiased)
    still = jax.tree.map(lax.stop_gradient, splats)
    away = gaussians.means - camera.eye[None]
    rgb = harmonics.colors(gaussians.harmonics, away, sh_degree)
    columns = [_geometry(splats), rgb, splats.depths[:, None]]
    if features is not None:
        columns.append(features.astype(rgb.dtype))

    bins = platforms.list_splats(still, tiles, slots)
    image = jnp.asarray(platforms.composite(jnp.concatenate(columns, -1), bins, tiles))
    rgb = image[..., :3]
    depth = image[..., 3]
    left = image[..., -1]
    covered = left < 1.0
    depth = jnp.where(covered, depth / jnp.where(covered, 1 - left, 1.0), 0.0)
    return Rendering(
        rgb=rgb + left[..., None] * background[None, None],
        depth=depth,
        alpha=1 - left,
        overflow=bins.overflow,
        features=None if features is None else image[..., 4:-1],
    )


@partial(jax.jit, static_argnames=("antialiased", "slots"))
@precision.exact_products
def _render_surfaces(
    gaussians: Gaussians, camera: Camera, antialiased: bool, slots: int
) -> Surfaces:
    splats, tiles, _ = _splats(gaussians, camera, antialiased)
    still = jax.tree.map(lax.stop_gradient, splats)
    bins = binning.bin_quarters(still, tiles, slots)
    surfaces = compositing.surfaces(_geometry(still), bins, tiles.quarters)
    ids = surfaces[: camera.height, : camera.width, 0]
    middle = surfaces[: camera.height, : camera.width, 1]
    depth = jnp.where(middle >= 0, splats.depths[jnp.maximum(middle, 0)], 0.0)
    return Surfaces(ids, middle, depth, bins.overflow)


def _geometry(splats: projection.Splats) -> Float[Array, "g 6"]:
    """Return the leading columns of what is composited."""
    a, b, c = splats.conics.T
    log_opacity = jnp.log(jnp.maximum(splats.opacities, projection.ALPHA_MIN / 2))
    return jnp.stack([*splats.centers.T, -a / 2, -b, -c / 2, log_opacity], -1)


def _splats(
    gaussians: Gaussians, camera: Camera, antialiased: bool
) -> tuple[projection.Splats, binning.Tiles, Gaussians]:
    """Make Gaussians that are not finite invisible and project; returns tiles and scene, too."""
    g = len(gaussians.means)
    sane = jnp.ones(g, bool)
    for field in gaussians:
        sane &= (jnp.abs(field) < LARGEST_PARAMETER).reshape(g, -1).all(-1)

    def shown(x):
        return jnp.where(sane.reshape(-1, *(1,) * (x.ndim - 1)), x, 0.0)

    clean = Gaussians(*map(shown, gaussians))
    opacities = jnp.where(sane, jax.nn.sigmoid(clean.logit_opacities), 0.0)
    splats = platforms.project(clean, opacities, camera, antialiased=antialiased)
    return splats, binning.choose_tiles(camera.width, camera.height, g), clean


@precision.in_own_precision
def render_clip(
    scene: Scene,
    cameras: Camera,
    times: Times,
    *,
    background: Float[Array, "3"] | None = None,
    sh_degree: int | None = None,
    antialiased: bool = False,
    max_intersections: int | None = None,
) -> Rendering:
    """Render n pictures; only one at a time takes up memory.

    Args:
      scene: the moving Gaussians.
      cameras: one for each picture.
      times: one for each picture, in clips.
      background: colour behind everything; black when None.
      sh_degree: degree of the harmonics to use; all when None.
      antialiased: dim Gaussians that are thinner than a pixel.
      max_intersections: budget of each picture; None counts first, which fails under jit.

    Raises:
      ValueError: see `render`.
    """
    if background is not None:
        _check_array("background", background, (3,))
    if max_intersections is None:
        max_intersections = clip_budget(scene, cameras, times, antialiased=antialiased)
    background = jnp.zeros(3) if background is None else background
    static = {"sh_degree": sh_degree, "max_intersections": max_intersections}
    return _render_all(
        scene, cameras, times, background, antialiased=antialiased, **static
    )


@partial(jax.jit, static_argnames=("sh_degree", "antialiased", "max_intersections"))
def _render_all(
    scene: Scene,
    cameras: Camera,
    times: Times,
    background: Float[Array, "3"],
    **static: Any,
) -> Rendering:
    draw = partial(render, background=background, **static)
    return lax.map(lambda pair: draw(scene.at(pair[1]), pair[0]), (cameras, times))


@precision.in_own_precision
def clip_budget(
    scene: Scene,
    cameras: Camera,
    times: Times,
    *,
    antialiased: bool = False,
    slack: float = 1.25,
) -> int:
    """Return a budget that fits each picture: `slack` times the need of the fullest."""
    return round_budget(_most_intersections(scene, cameras, times, antialiased), slack)


@partial(jax.jit, static_argnums=3)
def _most_intersections(
    scene: Scene, cameras: Camera, times: Times, antialiased: bool
) -> Number:
    count = partial(count_intersections, antialiased=antialiased)
    return lax.map(
        lambda pair: count(scene.at(pair[1]), pair[0]), (cameras, times)
    ).max()
