"""The tile rasterizer against the slow oracle: values, and gradients under random cotangents."""

import re
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_renderer import render_reference, surfaces_reference

from gaussians.rendering import binning, compositing
from gaussians.rendering.rasterizer import (
    count_intersections,
    intersection_budget,
    render,
    render_surfaces,
)
from gaussians.types import Camera, Gaussians, Rendering


def random_scene(g=70, degree=3, seed=0, spread=1.0) -> Gaussians:
    rng = np.random.default_rng(seed)
    return Gaussians(
        means=jnp.float32(rng.uniform(-spread, spread, (g, 3)) + [0, 0, 3]),
        quaternions=jnp.float32(rng.normal(size=(g, 4))),
        log_scales=jnp.float32(rng.normal(-2.5, 0.25, (g, 3))),
        logit_opacities=jnp.float32(rng.normal(0.0, 1.0, g)),
        harmonics=jnp.float32(rng.normal(0, 0.4, (g, (degree + 1) ** 2, 3))),
    )


def random_camera(seed=1, tilt=0.1) -> Camera:
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(np.eye(3) + tilt * rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.diagonal(rotation))[None]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, rng.normal(0, 0.2, 3)
    intrinsics = np.array([[48.0, 0, 23], [0, 43.0, 12], [0, 0, 1]])
    return Camera(jnp.float32(pose), jnp.float32(intrinsics), 44, 28)


def assert_same(ours, oracle, tolerance):
    """Largest deviation, relative to the largest entry, per leaf.

    Expected depth of nearly empty pixels is a quotient of tiny numbers: weighed down by alpha.
    """
    if isinstance(ours, Rendering):
        ours, oracle = (x._replace(depth=x.depth * x.alpha) for x in (ours, oracle))
    for name, a, b in zip(ours._fields, ours, oracle, strict=True):
        if a is None or b is None:
            assert a is b, name
            continue
        scale = max(1.0, float(jnp.abs(b).max()))
        both = a / scale, b / scale
        np.testing.assert_allclose(*both, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("antialiased", "side"), [(False, 16), (True, 32)])
def test_values_and_gradients_match_the_oracle(antialiased, side, monkeypatch):
    """In double precision; with groups of two tiles, so that the padding tile is exercised too."""
    monkeypatch.setattr(binning, "TILE_PIXELS", side)
    monkeypatch.setattr(compositing, "GROUP_TILES", 2)
    jax.clear_caches()
    scene, camera = random_scene(), random_camera()
    rng = np.random.default_rng(2)
    cotangent = tuple(
        jnp.float32(rng.normal(size=shape))
        for shape in ((28, 44, 3), (28, 44), (28, 44), (28, 44, 5))
    )
    features = jnp.float32(rng.normal(size=(70, 5)))

    def pull_back(renderer, inputs, cotangent, **options):
        def picture(scene, pose, intrinsics, background, features):
            view = Camera(pose, intrinsics, camera.width, camera.height)
            style = {"sh_degree": 3, "antialiased": antialiased, "features": features}
            made = renderer(scene, view, background=background, **style, **options)
            # Expected depth of nearly empty pixels is a quotient of tiny numbers: weigh it down.
            depth = made.depth * jax.lax.stop_gradient(made.alpha)
            return made.rgb, depth, made.alpha, made.features

        value, vjp = jax.vjp(picture, *inputs)
        return value, vjp(cotangent)

    background = jnp.array([0.2, 0.5, 0.9])
    inputs = (scene, camera.world_to_camera, camera.intrinsics, background, features)
    fast = jax.jit(partial(pull_back, render, max_intersections=2048))
    ours, our_gradients = fast(inputs, cotangent)
    with jax.enable_x64(True):
        slow = jax.jit(partial(pull_back, render_reference))
        double = jax.tree.map(lambda x: np.asarray(x, np.float64), (inputs, cotangent))
        oracle, gradients = jax.tree.map(np.asarray, slow(*double))
    assert oracle[2].max() > 0.85
    for a, b in zip(ours, oracle, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(b).max()))
    both = map(jax.tree.leaves, (our_gradients, gradients))
    for a, b in zip(*both, strict=True):
        scale = np.linalg.norm(b)
        assert scale > 0
        assert np.linalg.norm(a - b) < 1e-5 * scale


def test_surfaces_are_those_of_the_oracle():
    """But where two weights, or the light left and one half, differ by roundings alone."""
    scene = random_scene(degree=0)
    scene = scene._replace(logit_opacities=scene.logit_opacities + 2)
    camera = random_camera()
    ours = render_surfaces(scene, camera, antialiased=True)
    oracle = jax.jit(partial(surfaces_reference, antialiased=True))(scene, camera)
    for name in ("ids", "median_ids"):
        mine, theirs = (np.asarray(getattr(made, name)) for made in (ours, oracle))
        assert (mine != theirs).mean() < 0.002, name
        assert 0.05 < (mine < 0).mean() < 0.95
        assert len(np.unique(mine)) > 20
    same = np.asarray(ours.median_ids == oracle.median_ids)
    depths = ours.median_depth[same], oracle.median_depth[same]
    np.testing.assert_allclose(*depths, rtol=1e-5)
    assert int(ours.overflow) == 0
    assert ours.ids.shape == (camera.height, camera.width)


def test_the_median_depth_follows_the_centre_that_it_belongs_to():
    scene, camera = random_scene(degree=0), random_camera()
    scene = scene._replace(logit_opacities=scene.logit_opacities + 2)
    budget = intersection_budget(scene, camera)

    def total(means):
        moved = scene._replace(means=means)
        made = render_surfaces(moved, camera, max_intersections=budget)
        return made.median_depth.sum()

    middle = np.asarray(render_surfaces(scene, camera).median_ids)
    pixels = np.bincount(middle[middle >= 0], minlength=len(scene.means))
    axis = np.asarray(camera.world_to_camera)[2, :3]
    slope = jax.grad(total)(scene.means)
    np.testing.assert_allclose(slope, pixels[:, None] * axis, rtol=1e-4)


@pytest.mark.slow
def test_vmap_map_and_eight_devices_give_the_pictures_and_gradients_of_one_camera_each():
    scene = random_scene(g=20, degree=1)
    cameras = [random_camera(seed=seed) for seed in range(8)]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *cameras)

    def loss(scene, camera):
        out = render(scene, camera, max_intersections=512)
        return (out.rgb**2).sum(), out

    gradient = jax.grad(loss, has_aux=True)
    one = jax.jit(gradient)
    single = [one(scene, camera) for camera in cameras]
    several = jax.jit(jax.vmap(gradient, (None, 0)))
    batched = several(scene, batch)
    of_one = partial(gradient, scene)
    mapped = jax.jit(lambda cameras: jax.lax.map(of_one, cameras))(batch)
    mesh = jax.make_mesh((8,), ("cameras",), axis_types=(jax.sharding.AxisType.Auto,))
    over = jax.sharding.NamedSharding(mesh, jax.P("cameras"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.P())
    sharded = several(jax.device_put(scene, everywhere), jax.device_put(batch, over))
    assert sharded[1].rgb.sharding.spec[0] == "cameras"
    # Another fusion rounds otherwise, and expected depth divides by the coverage.
    for found, tolerance in ((batched, 3e-6), (mapped, 3e-6), (sharded, 2e-5)):
        for i, (slope, picture) in enumerate(single):
            assert_same(jax.tree.map(lambda x, i=i: x[i], found[0]), slope, 1e-5)
            assert_same(jax.tree.map(lambda x, i=i: x[i], found[1]), picture, tolerance)


def test_overflow_is_counted_and_drops_the_farthest():
    scene, camera = random_scene(degree=0), random_camera(tilt=0.0)
    needed = int(count_intersections(scene, camera))
    assert int(render(scene, camera, max_intersections=needed).overflow) == 0
    # Depth order is camera depth, so the nearest ten of the scene are those of the picture.
    farther = scene.means[:, 2].argsort()[10:]
    near = scene._replace(logit_opacities=scene.logit_opacities.at[farther].set(-1e4))
    kept = int(count_intersections(near, camera))
    cut = render(scene, camera, max_intersections=kept)
    assert int(cut.overflow) == needed - kept > 0
    expected = render(near, camera, max_intersections=needed)
    assert int(expected.overflow) == 0
    assert_same(cut._replace(overflow=0), expected._replace(overflow=0), 1e-6)


def degenerate_scenes() -> dict[str, Gaussians]:
    scene = random_scene(g=6, degree=1)
    means, quaternions, scales, opacities, harmonics = scene
    needle = jnp.array([8.0, -40.0, -40.0])
    return {
        "zero quaternion": scene._replace(quaternions=quaternions.at[0].set(0.0)),
        "nan quaternion": scene._replace(quaternions=quaternions.at[0].set(jnp.nan)),
        "infinite mean": scene._replace(means=means.at[0].set(jnp.inf)),
        "nan colour": scene._replace(harmonics=harmonics.at[0, 1].set(jnp.nan)),
        "huge": scene._replace(log_scales=scales.at[0].set(60.0)),
        "needle": scene._replace(log_scales=scales.at[0].set(needle)),
        "tiny": scene._replace(log_scales=scales.at[:].set(-60.0)),
        "behind": scene._replace(means=means - 20),
        "at the camera": scene._replace(means=means.at[0].set(0.0)),
        "transparent": scene._replace(logit_opacities=opacities - 1e4),
        "nothing in sight": scene._replace(means=means.at[:, 2].set(0.0) + 50),
        "opaque": scene._replace(logit_opacities=opacities + 1e4),
        "one covers all": scene._replace(log_scales=scales.at[0].set(2.0)),
    }


def test_degenerate_input_stays_finite_in_values_and_gradients():
    pose = jnp.eye(4)
    intrinsics = jnp.array([[40.0, 0, 16], [0, 40.0, 12], [0, 0, 1]])

    def total(scene, pose):
        camera = Camera(pose, intrinsics, 32, 24)
        out = render(scene, camera, antialiased=True, max_intersections=256)
        return out.rgb.sum() + out.depth.sum() + out.alpha.sum(), out

    gradient = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
    for name, scene in degenerate_scenes().items():
        (_, out), gradients = gradient(scene, pose)
        assert int(out.overflow) == 0, name
        for leaf in jax.tree.leaves((out, gradients)):
            assert np.isfinite(leaf).all(), name
        if name in ("behind", "transparent", "nothing in sight"):
            assert float(out.alpha.max()) == 0.0, name
        if name == "one covers all":
            assert float(out.alpha.min()) > 0.1


@pytest.mark.usefixtures("unchecked")
def test_shapes_that_would_broadcast_are_refused():
    scene = random_scene(g=5, degree=0)
    camera = random_camera()
    several = jax.tree.map(lambda x: jnp.stack([x] * 2), camera)
    empty = jax.tree.map(lambda x: x[:0], scene)
    cases: list[tuple[tuple[Gaussians, Camera], dict[str, Any]]] = [
        ((empty, camera), {}),
        ((scene, several), {}),
        ((scene, camera), {"sh_degree": 1}),
        ((scene, camera), {"background": jnp.zeros((24, 40, 3))}),
        ((scene, camera), {"features": jnp.zeros((4, 2))}),
    ]
    for given, options in cases:
        with pytest.raises(ValueError, match="render: found"):
            render(*given, max_intersections=64, **options)


@pytest.mark.usefixtures("unchecked")
def test_an_argument_of_another_shape_is_named_with_both_shapes():
    scene = random_scene(g=5, degree=0)
    camera = random_camera()
    wrong = {
        "means": (5, 2),
        "quaternions": (5, 3),
        "log_scales": (5, 1),
        "logit_opacities": (5, 1),
        "harmonics": (5, 3),
    }
    for name, shape in wrong.items():
        right = getattr(scene, name).shape
        bad = scene._replace(**{name: jnp.zeros(shape)})
        says = f"render: found {name}, an array of shape {shape}, expected "
        # A budget, surfaces and traces need the same.
        for draw in (render, render_surfaces, intersection_budget, jax.jit(render)):
            with pytest.raises(ValueError, match=re.escape(says)) as told:
                draw(bad, camera)
            assert str(told.value).endswith(f"an array of shape {right}")
    options: dict[str, Any] = {"background": [0, 0, 1]}
    says = "background, a list of shape (3,), expected an array of shape (3,)"
    with pytest.raises(ValueError, match=re.escape(says)):
        render(scene, camera, **options)
    says = "features, an array of shape (5,), expected an array of shape (5, 1)"
    with pytest.raises(ValueError, match=re.escape(says)):
        render(scene, camera, features=jnp.zeros(5))
    for side in ("width", "height"):
        with pytest.raises(ValueError, match=f"{side} 0, expected at least 1"):
            render(scene, replace(camera, **{side: 0}))
