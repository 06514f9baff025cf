"""Rendering many (camera, time) pairs of a dynamic scene, one after another."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from gaussians.deformation import Scene
from gaussians.rasterizer import count_intersections, render, round_budget
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
    """n pictures, `cameras` and `times` batched alike; memory is that of one picture at a time.

    `max_intersections` is the budget of each picture; None counts first, so not under jit.
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
    """A budget that fits each of the n pictures, `slack` times what the fullest needs."""
    return round_budget(_most_intersections(scene, cameras, times, antialiased), slack)


@partial(jax.jit, static_argnums=3)
def _most_intersections(
    scene: Scene, cameras: Camera, times: Float[Array, "n"], antialiased: bool
) -> Int[Array, ""]:
    def picture(camera_time: tuple[Camera, Array]) -> Int[Array, ""]:
        camera, time = camera_time
        return count_intersections(scene.at(time), camera, antialiased=antialiased)

    return lax.map(picture, (cameras, times)).max()
