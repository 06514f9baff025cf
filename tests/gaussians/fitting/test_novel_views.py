"""The gradient form of distillation, step by step: what is drawn, and what reaches the scene."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import beside, twelve_gaussians, twelve_moving

from gaussians import distillation_loss, fit, render_clip
from gaussians.fitting.distillation import (
    Distillation,
    flat_cameras,
    query_prior,
    render_part,
)
from gaussians.fitting.fit_config import FitConfig, Targets
from gaussians.fitting.fit_step import FitState
from gaussians.motion import still
from gaussians.rendering.rasterizer import clip_budget
from gaussians.types import Camera

VIEWS, INSTANTS, SIZE, BUDGET = 4, 5, 16, 512
WINDOWS = jnp.array([[0, 1, 2], [2, 3, 4]])
CONFIG = FitConfig(steps=20, chunk=5, background=(0.2, 0.4, 0.6))
LOOK = CONFIG, BUDGET
PROGRESS = jnp.float32(0.5)


def velocity(params, z, tau):
    """Return a velocity that differs for each view and instant, as parameters do."""
    return params * (z - 0.5) + tau * z**2


def encode(_, video):
    return jnp.sin(2 * video)


def only(params, views, window):
    return params[views][:, WINDOWS[window]]


def prior(**options) -> Distillation:
    params = jax.random.normal(jax.random.key(1), (VIEWS, INSTANTS, 1, 1, 3))
    cameras = beside(np.linspace(-0.2, 0.2, VIEWS), INSTANTS)
    given = velocity, encode, lambda _, z: z, params, cameras, jnp.arange(5) / 4
    return Distillation(*given, form="gradient", weight=2.5, **options)


PARTED = {"views": 2, "windows": WINDOWS, "part": only}


def test_the_pull_is_the_gradient_of_the_loss_of_what_was_drawn():
    teacher, key = prior(**PARTED), jax.random.key(2)
    pull, overflow = query_prior(
        twelve_moving(), teacher, PROGRESS, key, CONFIG, BUDGET
    )
    assert pull is not None
    assert int(overflow) == 0
    part_key, noise_key = jax.random.split(key)
    part, _, _ = render_part(twelve_moving(), teacher, PROGRESS, part_key, *LOOK)
    instants = WINDOWS[part.window]
    params = teacher.params[part.views][:, instants]
    cameras = Camera(
        teacher.cameras.world_to_camera[part.views][:, instants].reshape(-1, 4, 4),
        teacher.cameras.intrinsics[part.views][:, instants].reshape(-1, 3, 3),
        *(SIZE, SIZE),
    )

    @jax.jit
    @jax.value_and_grad
    def whole(scene):
        look = {"background": jnp.array(CONFIG.background), "max_intersections": BUDGET}
        times = jnp.tile(teacher.times[instants], len(part.views))
        video = render_clip(scene, cameras, times, **look).rgb
        video = video.reshape(*params.shape[:2], SIZE, SIZE, 3)
        flow = partial(velocity, params), partial(encode, None)
        return 2.5 * distillation_loss(video, *flow, part.tau, noise_key)

    loss, gradient = whole(twelve_moving())
    np.testing.assert_allclose(pull.loss, loss, rtol=1e-5)
    both = map(jax.tree.leaves, (pull.gradient, gradient))
    for found, expected in zip(*both, strict=True):
        atol = 1e-5 * float(np.abs(expected).max())
        np.testing.assert_allclose(found, expected, atol=atol)
    assert np.abs(pull.gradient.gaussians.means).max() > 1e-3


@pytest.mark.slow
def test_a_stopped_fit_asks_the_same_again():
    teacher = replace(prior(**PARTED), start=0.25)
    cameras, times = flat_cameras(teacher)
    frames = render_clip(twelve_moving(), cameras, times).rgb
    targets = Targets(frames, cameras, times, jnp.ones(20))
    start = still(twelve_gaussians()._replace(harmonics=jnp.zeros((12, 1, 3))))
    key = jax.random.key(0)
    kept: list[FitState] = []

    def run(**options):
        return fit(start, targets, CONFIG, key, distillation=teacher, **options)

    whole = run(keep=kept.append)
    assert clip_budget(whole.scene, cameras, times, slack=1.0) <= int(kept[-1].budget)
    alone = fit(start, targets, CONFIG, key)
    means = [made.scene.gaussians.means for made in (whole, alone)]
    assert np.abs(means[0] - means[1]).max() > 1e-4
    for state in kept[:3]:  # before the prior is queried, and while it is
        saved = jax.tree.map(np.asarray, state)
        resumed = run(restore=lambda _, saved=saved: jax.tree.map(jnp.asarray, saved))
        np.testing.assert_equal(*jax.device_get((resumed, whole)))
