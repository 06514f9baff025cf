"""Render many pairs of camera and time of a dynamic scene, one after another."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from gaussians.deformation import Scene
from gaussians.rendering.rasterizer import count_intersections, render, round_budget
from gaussians.types import Camera, Rendering


def render_clip(
    scene: Scene,
    cameras: Camera,
    times: Float[Array, "n"],
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
    """
    if max_intersections is None:
        max_intersections = clip_budget(scene, cameras, times, antialiased=antialiased)
    background = jnp.zeros(3) if background is None else background
    static = {"sh_degree": sh_degree, "antialiased": antialiased}
    return _render_all(
        scene, cameras, times, background, max_intersections=max_intersections, **static
    )


@partial(jax.jit, static_argnames=("sh_degree", "antialiased", "max_intersections"))
def _render_all(
    scene: Scene,
    cameras: Camera,
    times: Float[Array, "n"],
    background: Float[Array, "3"],
    **static: Any,
) -> Rendering:
    draw = partial(render, background=background, **static)
    return lax.map(lambda pair: draw(scene.at(pair[1]), pair[0]), (cameras, times))


def clip_budget(
    scene: Scene,
    cameras: Camera,
    times: Float[Array, "n"],
    *,
    antialiased: bool = False,
    slack: float = 1.25,
) -> int:
    """Return a budget that fits each picture: `slack` times the need of the fullest."""
    return round_budget(_most_intersections(scene, cameras, times, antialiased), slack)


@partial(jax.jit, static_argnums=3)
def _most_intersections(
    scene: Scene, cameras: Camera, times: Float[Array, "n"], antialiased: bool
) -> Int[Array, ""]:
    count = partial(count_intersections, antialiased=antialiased)
    return lax.map(lambda pair: count(scene.at(pair[1]), pair[0]), (cameras, times)).max()
