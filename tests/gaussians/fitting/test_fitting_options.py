"""Options of a fit beyond the plain loop, each on a scene of a few Gaussians."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import beside, twelve_gaussians, twelve_moving

from gaussians.deformation import DeformingGaussians, deforming
from gaussians.fitting.distillation import Distillation
from gaussians.fitting.fit_config import FitConfig, Targets
from gaussians.fitting.fit_step import FitState
from gaussians.fitting.loop import fit
from gaussians.fitting.losses import capped_psnr
from gaussians.fitting.relocation import with_room
from gaussians.motion import still
from gaussians.rendering.rasterizer import render_clip
from gaussians.types import Camera, Gaussians

INSTANTS = 3
VIEWS = jnp.arange(6) // INSTANTS
PEERS = jnp.full((6, 2), 0.5)


def in_a_row(*places: float) -> Camera:
    """Cameras beside one another at all instants, one for each picture."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), beside(places, INSTANTS))


@cache
def pictures() -> Targets:
    """Return pictures of two cameras at three instants."""
    views = in_a_row(-0.1, 0.1)
    times = jnp.tile(jnp.linspace(0, 1, INSTANTS), 2)
    frames = render_clip(twelve_moving(), views, times).rgb
    return Targets(frames, views, times, jnp.ones(6))


def same(_, x):
    return x


def to_gray(a, _):
    return ((a - 0.5) ** 2).mean()


def start() -> Gaussians:
    return twelve_gaussians()._replace(harmonics=jnp.zeros((12, 1, 3)))


@pytest.mark.slow
def test_a_fit_that_was_stopped_goes_on_to_the_same_bits():
    views, times = beside((0.3,), INSTANTS), jnp.linspace(0, 1, 3)
    prior = Distillation(lambda _, z, tau: z - 0.5, same, same, None, views, times)
    config = FitConfig(steps=40, chunk=10, relocation=0.9, growth=0.5)
    config = replace(config, opacity_pull=0.01, perceptual=0.1)
    initial, targets = with_room(still(start()), 20), pictures()
    targets = targets._replace(views=VIEWS, peers=PEERS)
    kept: list[FitState] = []
    alive: list[float] = []

    def run(**options):
        asked = {"distillation": prior, "perceptual": to_gray}
        return fit(initial, targets, config, jax.random.key(0), **asked, **options)

    whole = run(
        keep=kept.append, report=lambda step, metrics: alive.append(metrics["alive"])
    )
    assert [int(state.step) for state in kept] == [10, 20, 30, 40]
    assert alive[0] == 18  # 12 and half as many, of 20
    assert alive[2] == 20
    for i in (0, 2, 3):  # before the prior is queried, after it, and at the end
        # numpy between, as from a file
        saved = jax.tree.map(np.asarray, kept[i])
        resumed = run(restore=lambda _, saved=saved: jax.tree.map(jnp.asarray, saved))
        np.testing.assert_equal(*jax.device_get((resumed, whole)))


def test_exposures_of_the_views_are_found():
    gains = jnp.array([0.8, 1.25])[jnp.arange(6) // 3]
    targets = pictures()
    targets = targets._replace(
        frames=targets.frames * gains[:, None, None, None], views=VIEWS, peers=PEERS
    )
    config = FitConfig(steps=150, chunk=150, exposures=2e-2, poses=0.0)
    found = fit(twelve_moving(), targets, config, jax.random.key(0)).exposures
    ratio = np.exp(np.asarray(found[1, 0] - found[0, 0]))
    np.testing.assert_allclose(ratio, 1.25 / 0.8, rtol=0.1)


def test_a_camera_that_stands_elsewhere_is_found():
    """The second camera is told .04 too far to the right of where its pictures were taken."""
    told = in_a_row(-0.1, 0.06)
    targets = pictures()._replace(cameras=told, views=VIEWS, peers=PEERS)
    config = FitConfig(
        steps=150, chunk=150, poses=3e-3, exposures=0.0, means=1e-4, still=True
    )
    found = fit(twelve_moving(), targets, config, jax.random.key(0)).poses
    turn, shift = np.diff(np.asarray(found), axis=0)[0]
    # Seen from 1 away, a turn about the vertical acts as a shift.
    np.testing.assert_allclose(shift[0] + turn[1], -0.04, atol=0.01)


@pytest.mark.slow
def test_a_deformation_learns_to_move_after_its_warm_up():
    config = FitConfig(steps=400, chunk=40, colors=5e-2, means=5e-3)
    states: list[FitState] = []
    initial = deforming(start(), INSTANTS, jax.random.key(1))
    result = fit(initial, pictures(), config, jax.random.key(0), keep=states.append)
    assert isinstance(result.scene, DeformingGaussians)
    warm = states[0].fitted.scene
    for name in ("embeddings", "inner", "biases", "outer", "reach"):
        np.testing.assert_array_equal(getattr(warm, name), getattr(initial, name))
    assert not np.array_equal(result.scene.outer, initial.outer)
    at = jax.jit(DeformingGaussians.at)
    moved = at(result.scene, 1.0).means - at(result.scene, 0.0).means
    np.testing.assert_allclose(np.median(moved[:, 0]), 0.2, atol=0.06)
    targets = pictures()
    shown = render_clip(result.scene, targets.cameras, targets.times).rgb
    assert float(jax.vmap(capped_psnr)(shown, targets.frames).min()) > 22


@pytest.mark.usefixtures("unchecked")
def test_targets_and_settings_that_do_not_fit_are_refused():
    wrong = pictures()._replace(views=jnp.zeros(5, jnp.int32))
    for targets, config in ((wrong, FitConfig()), (pictures(), FitConfig(chunk=0))):
        with pytest.raises(ValueError, match="fit: "):
            fit(still(start()), targets, config, jax.random.key(0))


def test_a_scene_that_is_not_finite_is_refused():
    scene = start()
    scene = scene._replace(means=scene.means.at[0, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="diverged"):
        fit(still(scene), pictures(), FitConfig(steps=10, chunk=10), jax.random.key(0))


@pytest.mark.slow
def test_pixels_that_are_not_known_change_nothing():
    """Whatever stands there, the fit is the same."""
    targets, config = pictures(), FitConfig(steps=12, chunk=4)
    known = jnp.ones(targets.frames.shape[:3]).at[:, :8].set(0.0)
    black = jnp.where(known[..., None] > 0, targets.frames, 0.0)

    def run(frames, known):
        masked = targets._replace(frames=frames, known=known)
        return fit(still(start()), masked, config, jax.random.key(0))

    whole, ruined = run(targets.frames, known), run(black, known)
    np.testing.assert_equal(*jax.device_get((whole, ruined)))
    seen = run(targets.frames, jnp.ones_like(known))
    colors = seen.scene.gaussians.harmonics, whole.scene.gaussians.harmonics
    assert not np.array_equal(*colors)
