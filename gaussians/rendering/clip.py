"""Render many pairs of camera and time of a dynamic scene, one after another."""

from functools import partial

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
    return _render_all(scene, cameras, times, background, sh_degree, antialiased, max_intersections)


@partial(jax.jit, static_argnums=(4, 5, 6))
def _render_all(
    scene: Scene,
    cameras: Camera,
    times: Float[Array, "n"],
    background: Float[Array, "3"],
    sh_degree: int | None,
    antialiased: bool,
    max_intersections: int,
) -> Rendering:
    def picture(camera_time: tuple[Camera, Array]) -> Rendering:
        camera, time = camera_time
        return render(
            scene.at(time),
            camera,
            background=background,
            sh_degree=sh_degree,
            antialiased=antialiased,
            max_intersections=max_intersections,
        )

    return lax.map(picture, (cameras, times))


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
    def picture(camera_time: tuple[Camera, Array]) -> Int[Array, ""]:
        camera, time = camera_time
        return count_intersections(scene.at(time), camera, antialiased=antialiased)

    return lax.map(picture, (cameras, times)).max()
