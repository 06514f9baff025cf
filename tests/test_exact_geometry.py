"""No product of geometry is rounded, on whatever device its program is compiled for.

Programs are only traced, so that their precision is what users get, whatever the tests run on.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_programs import count_products, rounded_products, traced
from flax import nnx
from reference_renderer import render_reference

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import project_clips
from full4d_jax.generation.static_points import StaticPoints, project_known
from full4d_jax.geometry.depth_maps import fuse_depth
from full4d_jax.geometry.flow_depth import corrected
from full4d_jax.models.dit.camera_conditioning import (
    _apply,
    plucker_rays,
    projective_transforms,
)
from full4d_jax.models.dit.linear import linear
from full4d_jax.scene.seeds import push_behind_source
from full4d_jax.scene.surroundings import push_behind_views
from full4d_jax.training.clips.pseudo_views import pseudo_grid, several_views, two_views
from gaussians import Camera, Gaussians, deforming, render
from gaussians.fitting.view_corrections import correct_camera
from gaussians.precision import exact_products
from gaussians.rendering import compositing
from gaussians.rendering.binning import Bins, Tiles
from input_pipeline.procedural.scene import Worlds, procedural_scene

HEIGHT = 16
WIDTH = 24
LENS = jnp.array([[24.0, 0, 12], [0, 24, 8], [0, 0, 1]])
POSE = jnp.eye(4)
CAMERA = Camera(POSE, LENS, WIDTH, HEIGHT)
COUNT = 20
KEY = jax.random.key(0)
DEPTH = jnp.ones((2, HEIGHT, WIDTH))
FRAMES = jnp.zeros((2, HEIGHT, WIDTH, 3))
SHOWN = jnp.ones((3, HEIGHT, WIDTH))
POSES = jnp.broadcast_to(POSE, (3, 2, 4, 4))
CAMERAS = Cameras(jnp.broadcast_to(LENS, (3, 3, 3)), POSES, HEIGHT, WIDTH)
ONE_CLIP = jax.tree.map(lambda x: x[None], CAMERAS)
KNOWN = StaticPoints(jnp.ones((5, 3)), jnp.ones((5, 3)), jnp.ones((2, 5), bool))
SCENE = Gaussians(
    means=jnp.ones((COUNT, 3)),
    quaternions=jnp.ones((COUNT, 4)),
    log_scales=jnp.zeros((COUNT, 3)),
    logit_opacities=jnp.zeros(COUNT),
    harmonics=jnp.zeros((COUNT, 4, 3)),
)
TILES = Tiles(WIDTH, HEIGHT, 16)
BINS = Bins(
    jnp.zeros(600, jnp.int32),
    jnp.zeros(TILES.count, jnp.int32),
    jnp.zeros(TILES.count, jnp.int32),
    jnp.int32(0),
)
FEATURES = jnp.ones((COUNT, 10))
TOKENS = jnp.ones((1, 3, 2, 4, 2, 8), jnp.bfloat16)
DRAWN = jnp.ones((HEIGHT, 32, 5))  # whole tiles


def picture(scene: Gaussians, pose: jax.Array) -> jax.Array:
    return render(scene, Camera(pose, LENS, WIDTH, HEIGHT), max_intersections=64).rgb


def reference(scene: Gaussians, pose: jax.Array) -> jax.Array:
    return render_reference(scene, Camera(pose, LENS, WIDTH, HEIGHT)).rgb


def bent(time: jax.Array) -> Gaussians:
    return deforming(SCENE, 3, KEY).at(time)


def gradient(function):
    """Gradients of a picture's squares."""
    return jax.grad(lambda *args: (function(*args) ** 2).sum(), argnums=(0, 1))


def backward(features: jax.Array) -> jax.Array:
    return compositing.backward(features, BINS, DRAWN, DRAWN, TILES)


def scene_of(worlds: Worlds):
    return lambda index: procedural_scene(
        index, views=2, frames=2, height=HEIGHT, width=WIDTH, worlds=worlds
    )


PROGRAMS = {
    "render": (picture, SCENE, POSE),
    "render, gradient": (gradient(picture), SCENE, POSE),
    "reference": (reference, SCENE, POSE),
    "reference, gradient": (gradient(reference), SCENE, POSE),
    "tiles, backward": (backward, FEATURES),
    "deformation": (bent, 0.5),
    "corrected camera": (
        lambda turn: correct_camera(CAMERA, turn, jnp.int32(1)),
        jnp.ones((3, 2, 3)),
    ),
    "projection": (
        lambda x, z: project_clips(x[None], z[None], ONE_CLIP, fill=True)[0],
        FRAMES,
        DEPTH,
    ),
    "known points": (lambda x, z: project_known(x, z, KNOWN, CAMERAS), FRAMES, DEPTH),
    "fused depth": (fuse_depth, FRAMES, DEPTH, LENS, POSES[0]),
    "pushed seeds": (push_behind_source, DEPTH[0], LENS, POSE, DEPTH[0], LENS),
    "pushed surroundings": (
        push_behind_views,
        DEPTH[0],
        CAMERA,
        Camera(POSES[:, 0], ONE_CLIP.intrinsics[0], WIDTH, HEIGHT),
        SHOWN,
    ),
    "corrected depth": (corrected, DEPTH, DEPTH, DEPTH),
    "double reprojection": (two_views, FRAMES, DEPTH, LENS, POSE),
    "turned views": (
        lambda frames, depth: several_views(
            KEY, frames, depth, LENS, POSE, (3, HEIGHT // 2, WIDTH // 2)
        ),
        FRAMES,
        DEPTH,
    ),
    "pseudo grid": (lambda video: pseudo_grid(KEY, video, 3, 8, 8), FRAMES),
    "rays": (lambda x: plucker_rays(x, ONE_CLIP.intrinsics, 2, 3), POSES[None]),
    "transforms": (
        lambda x: projective_transforms(x, ONE_CLIP.intrinsics),
        POSES[None],
    ),
    "transformed tokens": (_apply, POSES[None], TOKENS),
    "simple scene": (scene_of("simple"), 0),
    "rich scene": (scene_of("rich"), 0),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_product_of_geometry_is_rounded(program):
    function, *args = PROGRAMS[program]
    traced_program = traced(function, *args)
    assert count_products(traced_program) > 0
    assert rounded_products(traced_program) == []


def test_cameras_are_multiplied_exactly():
    layer = linear(16, 8, nnx.Rngs(0), exact=True)
    layer.kernel[...] = layer.kernel[...].astype(jnp.bfloat16)
    assert rounded_products(traced(layer, jnp.ones((3, 16)))) == []
    assert layer(jnp.ones((3, 16))).dtype == jnp.float32


def test_a_product_of_default_precision_is_noticed_wherever_it_hides():
    def inner(a):
        return jax.lax.map(lambda x: x @ x, a)

    assert len(rounded_products(traced(jax.jit(inner), jnp.ones((2, 3, 3))))) == 1
    assert rounded_products(traced(exact_products(inner), jnp.ones((2, 3, 3)))) == []
    assert rounded_products(traced(inner, jnp.ones((2, 3, 3), jnp.bfloat16))) == []
    pulled = jax.grad(lambda a: exact_products(inner)(a).sum())
    assert rounded_products(traced(pulled, np.ones((2, 3, 3), np.float32))) == []
