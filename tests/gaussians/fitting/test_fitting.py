"""Fitting on a small moving scene that is known exactly."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.deformation import Scene
from gaussians.fitting import loop
from gaussians.fitting.distillation import Distillation
from gaussians.fitting.fit_config import FitConfig, Targets
from gaussians.fitting.loop import fit
from gaussians.fitting.losses import capped_psnr
from gaussians.motion import DynamicGaussians, still
from gaussians.rendering.clip import clip_budget, render_clip
from gaussians.types import Camera, Gaussians

SIZE, TIMES = 16, jnp.array([0.0, 0.5, 1.0])
CONFIG = FitConfig(steps=150, chunk=75, means=1e-2, velocities=2e-2, log_scales=2e-2, colors=5e-2)


def cameras(azimuths) -> Camera:
    """Looking at depth 1 from around it, one pose per azimuth and time: batched (v t)."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(azimuths), 3, 1, 1))
    for pose, angle in zip(poses, azimuths, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        pose[:, :3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        pose[:, :3, 3] = np.array([0, 0, 1]) - pose[0, :3, :3] @ np.array([0, 0, 1])
    intrinsics = np.array([[18.0, 0, 8], [0, 18.0, 8], [0, 0, 1]], np.float32)
    tiled = np.tile(intrinsics, (len(azimuths), 3, 1, 1))
    return Camera(jnp.asarray(poses), jnp.asarray(tiled), SIZE, SIZE)


def flat(camera: Camera) -> Camera:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), camera)


@cache
def truth() -> DynamicGaussians:
    rng = np.random.default_rng(0)
    arrays = (
        rng.uniform(-0.35, 0.35, (40, 3)) + [0, 0, 1],
        rng.normal(size=(40, 4)),
        rng.normal(-2.6, 0.2, (40, 3)),
        rng.uniform(0, 2, 40),
        rng.normal(0, 1, (40, 1, 3)),
    )
    moving = jnp.float32(rng.normal(0, 0.2, (40, 3)))
    return still(Gaussians(*map(jnp.float32, arrays)))._replace(velocities=moving)


def start() -> DynamicGaussians:
    """The truth without its colours and motion, in slightly wrong places."""
    noise = jnp.float32(np.random.default_rng(1).normal(0, 0.02, (40, 3)))
    gaussians = truth().gaussians
    return still(
        gaussians._replace(
            means=gaussians.means + noise, harmonics=jnp.zeros_like(gaussians.harmonics)
        )
    )


@cache
def pictures(azimuths: tuple[float, ...]) -> Targets:
    views, times = flat(cameras(azimuths)), jnp.tile(TIMES, len(azimuths))
    frames = jnp.clip(render_clip(truth(), views, times).rgb, 0, 1)
    return Targets(frames, views, times, jnp.ones(len(times)))


def mean_psnr(scene: Scene, targets: Targets) -> float:
    rendered = render_clip(scene, targets.cameras, targets.times, max_intersections=1024)
    assert int(rendered.overflow.max()) == 0
    return float(jax.jit(jax.vmap(capped_psnr))(rendered.rgb, targets.frames).mean())


def test_fitting_explains_the_pictures_and_is_deterministic():
    targets, reports = pictures((-0.4, 0.4)), []
    result = fit(
        start(), targets, CONFIG, jax.random.key(0), report=lambda *args: reports.append(args)
    )
    assert [step for step, _ in reports] == [75, 150]
    assert reports[1][1]["loss"] < reports[0][1]["loss"]
    before = mean_psnr(start(), targets)
    after = mean_psnr(result.scene, targets)
    assert after > before + 6, (before, after)
    again = fit(start(), targets, CONFIG, jax.random.key(0))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(result), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_fit_does_not_depend_on_the_unit_of_the_world():
    """So what is close to a camera is as steady in the picture as what is far from it."""
    unit, config = 4.0, FitConfig(steps=20, chunk=20)
    targets, scene = pictures((-0.4, 0.4)), start()
    pose = targets.cameras.world_to_camera
    larger = targets._replace(
        cameras=replace(targets.cameras, world_to_camera=pose.at[:, :3, 3].multiply(unit))
    )
    gaussians = scene.gaussians._replace(
        means=unit * scene.gaussians.means, log_scales=scene.gaussians.log_scales + np.log(unit)
    )
    small = fit(scene, targets, config, jax.random.key(0)).scene
    large = fit(scene._replace(gaussians=gaussians), larger, config, jax.random.key(0)).scene
    assert isinstance(small, DynamicGaussians)
    assert isinstance(large, DynamicGaussians)
    moved = np.abs(small.gaussians.means - scene.gaussians.means).max()
    assert moved > 0.01, moved
    assert np.abs(small.velocities).max() > 0.01
    pairs = (small.gaussians.means, large.gaussians.means), (small.velocities, large.velocities)
    for of_small, of_large in pairs:
        np.testing.assert_allclose(unit * of_small, of_large, atol=1e-3 * unit)


def test_a_budget_that_is_too_small_grows_and_leaves_no_trace(monkeypatch):
    targets = pictures((-0.4, 0.4))
    config = FitConfig(steps=20, chunk=20)
    needed = clip_budget(start(), targets.cameras, targets.times, slack=1.0)
    monkeypatch.setattr(loop, "clip_budget", lambda *args, slack: 8)
    grown = fit(start(), targets, config, jax.random.key(0))
    assert grown.max_intersections >= needed > 8
    monkeypatch.setattr(loop, "clip_budget", lambda *args, slack: grown.max_intersections)
    ample = fit(start(), targets, config, jax.random.key(0))
    for a, b in zip(jax.tree.leaves(grown), jax.tree.leaves(ample), strict=True):
        np.testing.assert_array_equal(a, b)


def prior_at(azimuth: float, **options) -> Distillation:
    """A flow that is nearly certain of what the novel camera sees: N(truth, 0.01^2)."""
    video = pictures((azimuth,)).frames[None]
    return Distillation(
        nearly_certain, same, same, video, cameras((azimuth,)), TIMES, start=0.2, **options
    )


def nearly_certain(video, z, tau):
    signal = 1 - tau
    gain = signal * 1e-4 / (signal**2 * 1e-4 + tau**2)
    return (z - (video + gain * (z - signal * video))) / tau


def same(_, x):
    return x


@pytest.mark.slow
def test_both_forms_of_distillation_teach_what_no_picture_shows():
    seen, hidden = pictures((-0.4,)), pictures((0.9,))

    def taught(**options) -> float:
        prior = prior_at(0.9, flow_steps=8, **options)
        result = fit(start(), seen, CONFIG, jax.random.key(0), distillation=prior)
        return mean_psnr(result.scene, hidden)

    alone = taught(weight_first=0.0, weight_last=0.0)
    assert taught(weight_first=3.0, weight_last=3.0) > alone + 2
    assert taught(weight_first=3.0, weight_last=3.0, form="gradient") > alone + 2


def test_a_random_background_keeps_out_what_the_pictures_do_not_show():
    targets, place = pictures((-0.1, 0.1)), jnp.array([[0.0, 0.0, 1.0]])
    black = still(  # as the background, and all over the pictures
        truth().gaussians._replace(
            means=jnp.tile(place, (40, 1)),
            log_scales=jnp.full((40, 3), -0.5),
            logit_opacities=jnp.full(40, -2.0),
            harmonics=jnp.full((40, 1, 3), -1.7),
        )
    )
    config = FitConfig(steps=60, chunk=60, relocation=0, opacities=0.2)
    covered = render_clip(truth(), targets.cameras, targets.times).alpha
    empty, left = np.asarray(covered) < 0.02, []
    for given in (targets, targets._replace(alpha=covered)):
        scene = fit(black, given, config, jax.random.key(0)).scene
        alpha = render_clip(scene, targets.cameras, targets.times).alpha
        left.append(float(np.asarray(alpha)[empty].mean()))
    assert left[1] < 0.5 * left[0]


def test_higher_harmonics_are_fitted_one_degree_after_the_other():
    scene = still(truth().gaussians._replace(harmonics=jnp.zeros((40, 9, 3))))
    found = []
    fit(
        scene,
        pictures((-0.1, 0.1)),
        FitConfig(steps=40, chunk=10, bands=0.25),
        jax.random.key(0),
        keep=lambda state: found.append(np.asarray(state.fitted.scene.gaussians.harmonics)),
    )
    used = [[bool(np.abs(x[:, a:b]).max() > 0) for a, b in ((1, 4), (4, 9))] for x in found]
    assert used == [[False, False], [True, False], [True, True], [True, True]]
