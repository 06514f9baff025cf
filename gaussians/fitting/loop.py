"""Fit a dynamic scene to pictures: a fixed number of Gaussians, Adam, one picture per step.

Steps run in chunks, jitted where no prior judges each. The number of Gaussian-tile intersections is
a static shape: when a picture overflows, its chunk is repeated from the start with a larger budget.
Between chunks dead Gaussians are relocated, the prior is queried and the resolution changes.
The result is a function of the inputs and the key alone, however often the fit is interrupted.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from einops import reduce
from jax.tree_util import Partial
from jaxtyping import Array, Bool

from gaussians import deformation, types
from gaussians.fitting import fit_step, relocation
from gaussians.fitting.distillation import Distillation, cached_frames, flat_cameras
from gaussians.fitting.fit_config import FitConfig, Targets, check_targets
from gaussians.precision import in_own_precision
from gaussians.rendering.rasterizer import clip_budget, round_budget

# Gaussians widen: more slows every step, less costs compilations.
BUDGET_SLACK = 1.75


@in_own_precision
def fit(
    initial: deformation.Scene,
    targets: Targets,
    config: FitConfig,
    key: Array,
    *,
    report: Callable[[int, dict[str, float]], None] | None = None,
    distillation: Distillation | None = None,
    perceptual: fit_step.Perceptual | None = None,
    restore: Callable[[fit_step.FitState], fit_step.FitState] | None = None,
    keep: Callable[[fit_step.FitState], None] | None = None,
) -> fit_step.Fitted:
    """Optimise every parameter of `initial`, as many Gaussians, until it renders `targets`.

    Args:
      initial: the scene to start from.
      targets: the pictures to fit.
      config: steps, learning rates and weights.
      key: decides the order of pictures and all noise.
      report: called after each chunk with the step and {"loss", "psnr", "alive"}: means over the
        chunk, and the number of Gaussians that are visible at all.
      distillation: a prior that teaches at novel cameras in the later steps.
      perceptual: a distance of two pictures in [0, 1], weighted by `config.perceptual`. The arrays
        of a `jax.tree_util.Partial` are arguments of the compiled steps, not part of them.
      restore: gets the state before the first step and returns the state to continue from: the same
        one, or one kept by a fit with the same inputs.
      keep: called with the state after each chunk.

    Raises:
      ValueError: The targets disagree in number, or the scene becomes non-finite.
    """
    check_targets(targets, config)
    if config.perceptual > 0 and perceptual is None:
        raise ValueError("fit: config.perceptual needs the argument `perceptual`")
    if perceptual is not None and not isinstance(perceptual, Partial):
        perceptual = Partial(perceptual)
    by_gradient = (
        distillation if distillation and distillation.form == "gradient" else None
    )
    cached = None if by_gradient else distillation
    novel = len(flat_cameras(cached)[1]) if cached else 0
    # Pictures start small, so that large errors of place and colour are mended cheaply first.
    cameras = _shrunk(targets, config.coarse).cameras
    budget = clip_budget(initial, cameras, targets.times, slack=BUDGET_SLACK)
    state = fit_step.first_fit_state(initial, targets, novel, budget)
    if restore is not None:
        state = restore(state)

    for first in range(int(state.step), config.steps, config.chunk):
        length = min(config.chunk, config.steps - first)
        # Keys follow from the step alone, so a fit that goes on draws the numbers of one that ran
        # through.
        chunk_key = jax.random.fold_in(key, first)
        # Pictures of another size cover other numbers of tiles, which the budget must hold.
        size = _size(first, config)
        if first and size != _size(first - config.chunk, config):
            cameras = _shrunk(targets, size).cameras
            scene = state.fitted.scene
            budget = clip_budget(scene, cameras, targets.times, slack=BUDGET_SLACK)
            state = state._replace(budget=jnp.int32(budget))
        # Denoising costs far more than a step, so its pictures serve until the next refresh.
        if cached and _due(first, config, cached):
            tau = jnp.float32(cached.largest_tau(cached.progress(first / config.steps)))
            taught = cached_frames(state.fitted.scene, cached, tau, chunk_key, config)
            state = state._replace(taught=taught)
        now = _shrunk(_targets_at(first, state, targets, config, cached), size)
        run = fit_step.run_chunk
        # A prior by gradient is queried in each step: another compiled program, once it begins.
        if by_gradient and first >= by_gradient.start * config.steps:
            run = partial(fit_step.run_taught, prior=by_gradient)
        # It is repeated from its start until no picture overflows.
        while True:
            how = config, int(state.budget), length, perceptual
            after, metrics = run(state, now, chunk_key, *how)
            overflow = int(metrics.pop("overflow"))
            if overflow == 0:
                break
            grown = round_budget(int(state.budget) + overflow, BUDGET_SLACK)
            state = state._replace(budget=jnp.int32(grown))
        state = after
        # Numbers that are not finite are refused before `keep` sees them.
        if not (jnp.isfinite(metrics["loss"]) and _finite(state.fitted)):
            text = f"fitting diverged between steps {first} and {first + length}"
            raise ValueError(text)
        if first + length < config.relocation * config.steps:
            state = _relocated(state, jax.random.fold_in(chunk_key, 1), config.growth)
        if keep is not None:
            keep(state)
        if report is not None:
            alive = (~relocation.dead(state.fitted.scene.gaussians)).sum()
            means = {name: float(value) for name, value in metrics.items()}
            report(first + length, means | {"alive": float(alive)})
    return state.fitted


@jax.jit
def _finite(fitted: fit_step.Fitted) -> Bool[Array, ""]:
    """Return whether all parameters are finite; the renderer leaves out Gaussians that are not."""
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(fitted)]).all()


@partial(jax.jit, static_argnames="growth")
def _relocated(
    state: fit_step.FitState, key: Array, growth: float
) -> fit_step.FitState:
    """Return the state after a relocation; exposures and cameras stay as they are."""
    fitted = state.fitted
    adam = state.adam
    moments = adam.mu.scene, adam.nu.scene
    scene, (mu, nu) = relocation.relocate(fitted.scene, moments, key, growth)
    adam = adam._replace(mu=adam.mu._replace(scene=mu), nu=adam.nu._replace(scene=nu))
    return state._replace(fitted=fitted._replace(scene=scene), adam=adam)


def _targets_at(
    first: int,
    state: fit_step.FitState,
    targets: Targets,
    config: FitConfig,
    prior: Distillation | None,
) -> Targets:
    """Return the targets of the chunk that begins at step `first`, then the prior's pictures."""
    share = first / config.steps
    deforms = isinstance(state.fitted.scene, deformation.DeformingGaussians)
    if deforms and share < fit_step.WARM_UP_SHARE:
        is_first = targets.times == targets.times.min()
        targets = targets._replace(weights=jnp.where(is_first, targets.weights, 0.0))
    if prior is None:
        return targets
    cameras, times = flat_cameras(prior)
    # The prior's pictures count as the first one's view.
    count = len(times)
    taught = jax.tree.map(lambda x: jnp.repeat(x[:1], count, 0), targets)
    weight = prior.weight if share >= prior.start else 0.0
    taught = taught._replace(
        frames=state.taught,
        cameras=cameras,
        times=times,
        weights=jnp.full(count, weight, jnp.float32),
        known=jax.tree.map(jnp.ones_like, taught.known),
        alpha=jax.tree.map(jnp.ones_like, taught.alpha),
    )
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), targets, taught)


def _due(first: int, config: FitConfig, prior: Distillation) -> bool:
    """Return whether new cached targets are due before the chunk that begins at step `first`."""
    span = (1 - prior.start) * config.steps / prior.refreshes
    steps = [prior.start * config.steps + i * span for i in range(prior.refreshes)]
    return any(first - config.chunk < step <= first for step in steps)


def _size(first: int, config: FitConfig) -> int:
    """Return the factor by which pictures are shrunk in the chunk that begins at step `first`."""
    levels = config.coarse.bit_length() - 1
    # The first step at full resolution.
    sharp = 0.3 * config.steps
    return 1 if first >= sharp else config.coarse >> int(levels * first / sharp)


def _shrunk(targets: Targets, size: int) -> Targets:
    """Return pictures averaged over squares of `size` pixels, with cameras of that size."""
    if size == 1:
        return targets
    cameras = targets.cameras
    scale = jnp.array([[1 / size], [1 / size], [1.0]])
    smaller = types.Camera(
        cameras.world_to_camera,
        cameras.intrinsics * scale[None],
        cameras.width // size,
        cameras.height // size,
    )

    def pooled(x, how):
        if x is None:
            return None
        return reduce(x, "n (h a) (w b) ... -> n h w ...", how, a=size, b=size)

    return targets._replace(
        frames=pooled(targets.frames, "mean"),
        cameras=smaller,
        known=pooled(targets.known, "min"),
        alpha=pooled(targets.alpha, "mean"),
    )
