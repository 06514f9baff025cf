"""Chunks of optimiser steps: one picture a step, Adam with a rate for each field."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from gaussians import motion, precision
from gaussians.deformation import DeformingGaussians, Scene
from gaussians.fitting import distillation, losses, view_corrections
from gaussians.fitting.fit_config import FitConfig, Targets
from gaussians.rendering.rasterizer import render
from gaussians.types import Camera, Gaussians, Number, Picture, Scalar

Perceptual = Callable[[Picture, Picture], Scalar]


class Fitted(NamedTuple):
    """Everything that gradients reach.

    Attributes:
      scene: the Gaussians, as many as at the start.
      exposures: log-gains and offsets of the views, see `view_corrections`.
      poses: turns and shifts of their cameras.
    """

    scene: Scene
    exposures: Float[Array, "v 2 3"]
    poses: Float[Array, "v 2 3"]


class FitState(NamedTuple):
    """A fit between two chunks; with the inputs of `fit` it is all that is needed to continue.

    Attributes:
      fitted: the parameters.
      adam: their moments.
      step: number of steps done.
      taught: pictures of the prior at the novel cameras; black before it is queried.
      budget: budget of intersections.
    """

    fitted: Fitted
    # An optax.ScaleByAdamState, whose trees have the shape of Fitted.
    adam: Any
    step: Number
    taught: Float[Array, "novel h w 3"]
    budget: Number


# A step sees one picture of many, and a fit has some hundred steps: what is older than ten of a
# picture's turns says little.
ADAM = optax.scale_by_adam(b1=0.7, b2=0.98, eps=1e-15)
# Rates decay exponentially to this share.
LAST_RATE = 0.1
# In this share of the steps what deforms is fitted to the first instant alone.
WARM_UP_SHARE = 0.1


@partial(jax.jit, static_argnames=("config", "budget", "length"))
def run_chunk(
    state: FitState,
    targets: Targets,
    key: Array,
    config: FitConfig,
    budget: int,
    length: int,
    perceptual: Partial | None,
) -> tuple[FitState, dict[str, Array]]:
    """Run `length` steps; metrics are means, except for the overflow, which is the largest."""

    def step(state, drawn):
        return one_step(state, targets, *drawn, config, budget, perceptual, None)

    state, metrics = lax.scan(step, state, _draw_steps(targets, length, key))
    return state, _summary(metrics)


def run_taught(
    state: FitState,
    targets: Targets,
    key: Array,
    config: FitConfig,
    budget: int,
    length: int,
    perceptual: Partial | None,
    prior: distillation.Distillation,
) -> tuple[FitState, dict[str, Array]]:
    """Run `length` steps with the gradient form of distillation, several programs each.

    Arguments and results are those of `run_chunk`; the steps end at the first overflow.
    """
    metrics_of_steps = []
    for index, step_key in zip(*_draw_steps(targets, length, key), strict=True):
        scene = state.fitted.scene
        progress = prior.progress(state.step / config.steps)
        query_key = jax.random.fold_in(step_key, 3)
        prior_gradient, overflow = distillation.query_prior(
            scene, prior, jnp.float32(progress), query_key, config, budget
        )
        if prior_gradient is None:
            return state, {"overflow": overflow}
        how = config, budget, perceptual
        state, metrics = one_step(state, targets, index, step_key, *how, prior_gradient)
        if int(metrics["overflow"]) > 0:
            return state, {"overflow": metrics["overflow"]}
        metrics_of_steps.append(metrics)
    return state, _summary(jax.tree.map(lambda *x: jnp.stack(x), *metrics_of_steps))


@partial(jax.jit, static_argnames=("config", "budget"))
def one_step(
    state: FitState,
    targets: Targets,
    index: Number,
    key: Array,
    config: FitConfig,
    budget: int,
    perceptual: Partial | None,
    prior_gradient: distillation.PriorGradient | None,
) -> tuple[FitState, dict[str, Array]]:
    """Take one step of Adam: the gradient of one picture, and that of the prior's loss."""
    target = jax.tree.map(lambda x: x[index], targets)
    share = state.step / config.steps
    given = target, key, config, budget, perceptual
    gradient, metrics = jax.grad(_loss, has_aux=True)(state.fitted, *given)
    if prior_gradient is not None:
        scene = jax.tree.map(jnp.add, gradient.scene, prior_gradient.gradient)
        gradient = gradient._replace(scene=scene)
        metrics["loss"] += prior_gradient.loss
    updates, adam = ADAM.update(gradient, state.adam)
    decay = LAST_RATE**share
    fitted = jax.tree.map(
        lambda x, update, rate: x - decay * rate * update,
        state.fitted,
        updates,
        _rates(state.fitted, config, share, target.cameras),
    )
    return state._replace(fitted=fitted, adam=adam, step=state.step + 1), metrics


def first_fit_state(
    initial: Scene, targets: Targets, taught: int, budget: int
) -> FitState:
    """Return the state before the first step, with room for `taught` pictures of the prior."""
    # Weakly typed leaves would become strong along the way, each time with a new compilation.
    scene = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), initial)
    views = 1 if targets.views is None else int(targets.views.max()) + 1
    unchanged = jnp.zeros((views, 2, 3))
    fitted = Fitted(scene, exposures=unchanged, poses=unchanged)
    room = jnp.zeros((taught, *targets.frames.shape[1:]))
    adam = ADAM.init(jax.tree.map(jnp.asarray, fitted))
    return FitState(fitted, adam, jnp.int32(0), room, jnp.int32(budget))


def _loss(
    fitted: Fitted,
    target: Targets,
    key: Array,
    config: FitConfig,
    budget: int,
    perceptual: Perceptual | None,
) -> tuple[Array, dict[str, Array]]:
    """Return the loss of one picture, with all pulls, and its metrics."""
    options = config.render_options
    if target.alpha is not None:
        options["background"] = jax.random.uniform(jax.random.fold_in(key, 2), (3,))
    scene = fitted.scene
    now = scene.at(target.times)
    camera = target.cameras
    if target.views is not None:
        camera = view_corrections.correct_camera(camera, fitted.poses, target.views)
    picture = render(now, camera, **options, max_intersections=budget)
    rgb = picture.rgb
    if target.views is not None and target.peers is not None:
        rgb = view_corrections.expose(rgb, fitted.exposures, target.views, target.peers)
    truth = target.frames
    if target.alpha is not None:
        change = options["background"] - jnp.array(config.background)
        truth = truth + (1 - target.alpha[..., None]) * change[None, None]
    # Unknown pixels have no error, except within SSIM's window.
    if target.known is not None:
        truth = jnp.where(target.known[..., None] > 0, truth, lax.stop_gradient(rgb))
    value = losses.picture_loss(rgb, truth)
    if perceptual is not None:
        value += config.perceptual * perceptual(rgb, truth)
    # The regularisers; those of weight 0 are not computed.
    gaussians = scene.gaussians
    if config.opacity_pull > 0:
        value += config.opacity_pull * jax.nn.sigmoid(gaussians.logit_opacities).mean()
    if config.scale_pull > 0:
        value += config.scale_pull * jnp.exp(gaussians.log_scales).mean()
    if isinstance(scene, DeformingGaussians):
        # Weight of second differences in time.
        bending = 1e-3
        value += bending * (jnp.diff(scene.biases, 2, axis=0) ** 2).mean()
    if target.views is not None and target.peers is not None:
        exposed = fitted.exposures, target.views, target.peers
        change = view_corrections.exposure_change(*exposed)
        value += target.frames.mean() * (change**2).mean()
    score = losses.capped_psnr(rgb, truth, target.known)
    return value, {"psnr": score, "overflow": picture.overflow, "loss": value}


@precision.exact_products
def _rates(fitted: Fitted, config: FitConfig, share: Scalar, camera: Camera) -> Fitted:
    """Return the learning rate of every field, which is multiplied with its update.

    Adam's steps are as long as the rate, so one rate in world units would throw what is close to
    the camera over many pixels and hardly move what is far.
    """
    scene = fitted.scene
    away = scene.gaussians.means - camera.eye[None]
    distances = jnp.linalg.norm(away, axis=-1, keepdims=True)
    degrees = jnp.floor(jnp.sqrt(jnp.arange(scene.gaussians.harmonics.shape[1])))
    # After each further such share of the steps one more degree of the harmonics is fitted.
    band = 0.15
    colors = jnp.where(share >= band * degrees, config.colors / 20, 0.0)
    gaussians = Gaussians(
        means=config.means * distances,
        quaternions=jnp.float32(5e-3),
        log_scales=jnp.float32(config.log_scales),
        logit_opacities=jnp.float32(config.opacities),
        harmonics=colors.at[0].set(config.colors)[None, :, None],
    )
    if isinstance(scene, motion.DynamicGaussians):
        rates = motion.DynamicGaussians(
            gaussians,
            velocities=config.velocities * distances,
            moments=jnp.float32(2e-3),
            log_durations=jnp.float32(1e-2),
            logit_gates=jnp.float32(4e-2),
        )
        if config.still:
            nothing = jax.tree.map(jnp.zeros_like, rates)
            rates = nothing._replace(gaussians=gaussians)
    else:
        moving = share >= WARM_UP_SHARE
        embeddings = jnp.where(moving, 4e-2, 0.0)
        network = jnp.where(moving, 2e-3, 0.0)
        rates = DeformingGaussians(
            gaussians,
            embeddings=embeddings,
            inner=network,
            biases=embeddings,
            outer=network,
            reach=jnp.float32(0),
        )
    # Once the scene explains the light on it, which an exposure would else take over.
    corrected = share >= 0.2
    exposures = jnp.where(corrected, config.exposures, 0.0)
    poses = jnp.where(corrected, config.poses, 0.0)
    return Fitted(rates, exposures, poses)


def _draw_steps(
    targets: Targets, length: int, key: Array
) -> tuple[Int[Array, "length"], Array]:
    """Draw the picture and the key of each of so many steps."""
    draw_key, noise_key = jax.random.split(key)
    shift_key, order_key = jax.random.split(draw_key)
    # In proportion to the weights, as evenly as possible, in random order.
    points = (jnp.arange(length) + jax.random.uniform(shift_key)) / length
    cumulative = jnp.cumsum(targets.weights) / targets.weights.sum()
    indices = jnp.searchsorted(cumulative, points, side="right")
    indices = jnp.minimum(indices, len(cumulative) - 1)
    return jax.random.permutation(order_key, indices), jax.random.split(
        noise_key, length
    )


def _summary(metrics: dict[str, Array]) -> dict[str, Array]:
    """Return the means over steps, and the largest overflow."""
    overflow = metrics.pop("overflow").max()
    return {**{name: x.mean() for name, x in metrics.items()}, "overflow": overflow}
