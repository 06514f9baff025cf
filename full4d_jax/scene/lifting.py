"""From a grid of views to 4D Gaussians: binds depth, cameras and the prior for `gaussians.fit`.

The scene starts from points: every source pixel at its depth and, for what the source does not see,
the pixels of the generated views that no source point reached, at a disparity filled in from around
the hole. The real source view weighs more than the generated ones. Distillation asks the prior what
the scene should look like from cameras half-way between the generated ones.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Float, PRNGKeyArray
from numpy import ndarray

from full4d_jax.config import Config, LiftConfig
from full4d_jax.generation.generate import bind_velocity
from full4d_jax.generation.projection_guidance import fill_holes, project
from full4d_jax.media.metrics import require_lpips
from full4d_jax.models.codecs.codec import codec_weights, make_codec
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.session.errors import InputError
from full4d_jax.source.camera_paths import angles_of
from gaussians import (
    Camera,
    DeformingGaussians,
    Distillation,
    DynamicGaussians,
    FitConfig,
    Gaussians,
    Scene,
    Targets,
    deforming,
    fit,
    initialize,
    with_room,
)
from gaussians.fit_config import fit_memory
from gaussians.fit_step import Perceptual
from gaussians.hexplane import HexPlane
from input_pipeline.cameras import invert

Report = Callable[[int, Mapping[str, float]], None]


def lift(
    config: Config,
    params: Any,
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "*v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    key: PRNGKeyArray,
    *,
    distill: bool = True,
    report: Report | None = None,
    partial: PartialFit | None = None,
) -> Scene:
    """Fit 4D Gaussians to a grid of views.

    Args:
      config: its `lift` section says how.
      params: of the prior, for distillation; not used where `asks_prior` is false.
      frames: the grid, [0, 1]; view 0 is the source.
      depth: of the source, (t h w) in world units. In a capture of all views, (v t h w), to start
        from; then no view is generated, none counts more, and the prior is not asked.
      intrinsics: pixels.
      world_to_camera: OpenCV axes, the world of the source camera.
      key: the result is a function of the arguments and it alone.
      distill: whether to ask the prior; `config.lift.distillation` says how.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
    """
    lift, captured = config.lift, depth.ndim == 4
    start_key, fit_key = jax.random.split(key)
    seeds = depth
    if not captured:
        seeds = jax.jit(grid_depth)(frames, depth, intrinsics, world_to_camera)
    initial = first_scene(lift, frames, seeds, intrinsics, world_to_camera, start_key)
    source_weight = 1.0 if captured else lift.source_weight
    prior = None
    if distill and asks_prior(lift, captured=captured):
        prior = bind_prior(config, params, frames[0], depth, intrinsics, world_to_camera)
    result = fit(
        initial,
        grid_targets(frames, intrinsics, world_to_camera, source_weight, lift.anchor),
        fit_settings(lift),
        fit_key,
        report=report,
        distillation=prior,
        perceptual=picture_distance() if lift.perceptual > 0 else None,
        restore=None if partial is None else partial.restore,
        keep=None if partial is None else partial.keep,
    )
    return result.scene


def fit_settings(lift: LiftConfig) -> FitConfig:
    """How `gaussians.fit` works on a grid."""
    # Antialiased, so that the scene still closes when it is drawn larger than the grid.
    return FitConfig(
        steps=lift.steps,
        # Distillation begins between two chunks, so a short fit has short ones.
        chunk=100 if lift.steps > 200 else max(1, lift.steps // 15),
        antialiased=True,
        log_scales=2e-2,
        opacities=2e-2,
        perceptual=lift.perceptual,
    )


def asks_prior(lift: LiftConfig, *, captured: bool) -> bool:
    """Whether a fit needs the prior: to a grid, unless told otherwise; never to a capture."""
    return lift.distillation != "none" and not captured


def check_lift(lift: LiftConfig, checkpoint: Path | None, *, captured: bool) -> None:
    """Refuse settings, and weights of a prior, that would do nothing.

    Raises:
      InputError: naming the option.
    """
    if asks_prior(lift, captured=captured):
        return
    why = "with a capture" if captured else "with --lift.distillation none"
    if checkpoint is not None:
        raise InputError("option", "--checkpoint", checkpoint, f"none {why}", "leave it out")
    idle = ("anchor", "source_weight") if captured else ("anchor",)
    for name in idle + ("distillation",) * (lift.distillation == "gradient"):
        found, default = getattr(lift, name), getattr(LiftConfig(), name)
        if found != default:
            expected = f"{default} {why}, where nothing is generated or asked"
            raise InputError("config", f"lift.{name}", found, expected, f"leave --lift.{name} out")


def first_scene(
    lift: LiftConfig,
    frames: Float[Array, "v t h w 3"],
    seeds: Float[Array, "v t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    key: PRNGKeyArray,
) -> Scene:
    """Where the fit starts: at pixels of known depth (`seeds` > 0) of all frames, or of the first
    ones, to be bent over time."""
    times = frames.shape[1]
    used = times if lift.motion == "freetime" else 1
    given = frames[:, :used], seeds[:, :used], intrinsics, world_to_camera[:, :used]
    start = initialize(*given, lift.capacity, key)
    if lift.motion == "deformation":
        start = deforming(start.gaussians, max(3, times), key)
    return with_room(start, lift.capacity)


@cache
def picture_distance() -> Perceptual:
    """LPIPS of two pictures, one function so that fits share compilations.

    Raises InputError where it is not installed.
    """
    distance = require_lpips("lift.perceptual")
    return lambda a, b: distance(a[None], b[None])[0]


def memory_note(lift: LiftConfig, grid: tuple[int, ...]) -> str:
    """What fitting will hold in memory beside the program itself; `grid` is (v, t, h, w, 3)."""
    views, instants, height, width, _ = grid
    bent = lift.motion == "deformation"
    needed = fit_memory(lift.capacity, views * instants, height, width, bent=bent)
    return (
        f"fitting {lift.capacity} Gaussians to {views} views of {instants} frames of "
        f"{width}x{height}: about {needed / 2**20:.0f} MiB beside the program and the prior"
    )


def grid_targets(
    frames: Float[Array, "v t h w 3"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
    source_weight: float,
    anchor: float = 1.0,
) -> Targets:
    """All frames of the grid as pictures to explain; the source's are drawn more often.

    The weight of the others falls to `anchor` of what it was in the time of distillation.
    """
    v, t, h, w, _ = frames.shape
    flat = "v t ... -> (v t) ..."
    source = jnp.arange(v) == 0
    weights = jnp.where(source, source_weight, 1.0)
    return Targets(
        frames=rearrange(frames, flat),
        cameras=Camera(
            rearrange(world_to_camera, flat), repeat(intrinsics, "v i j -> (v t) i j", t=t), w, h
        ),
        times=jnp.tile(jnp.linspace(0.0, 1.0, t), v),
        weights=jnp.repeat(weights, t),
        final_weights=jnp.repeat(jnp.where(source, weights, anchor * weights), t),
    )


def bind_prior(
    config: Config,
    params: Any,
    source: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
) -> Distillation:
    """The prior at the cameras `between` the generated ones, as `gaussians` takes it.

    In the cached form a sampler without noise gives the prior's mean, whatever the scene looks
    like: that is asked for once, before the first step. One with noise draws, and redoes what the
    scene shows by then. The gradient form judges what the scene shows, with noise of its own.
    """
    t, h, w, _ = source.shape
    novel = jnp.asarray(between(np.asarray(world_to_camera)))
    poses = jnp.concatenate([world_to_camera[:1], novel])
    codec = make_codec(config.model, codec_weights(config))
    form = config.lift.distillation
    if form == "none":
        raise ValueError("bind_prior: found lift.distillation none, expected cached or gradient")
    once = {"start": 0.0, "tau_first": 1.0, "tau_last": 1.0, "noise": 0.0, "refreshes": 1}
    once |= {"weight_first": 1.0, "weight_last": 1.0, "flow_steps": config.sampler.steps}
    return Distillation(
        velocity=bind_velocity(config, params, 2 * source - 1, depth, intrinsics, poses),
        encode=lambda video: codec.encode(2 * video - 1),
        decode=lambda z: codec.decode(z) / 2 + 0.5,
        cameras=Camera(novel, repeat(intrinsics[1:], "v i j -> v t i j", t=t), w, h),
        times=jnp.linspace(0.0, 1.0, t),
        form=form,
        **(once if form == "cached" and config.sampler.noise == 0 else {}),
    )


def grid_depth(
    frames: Float[Array, "v t h w 3"],
    depth: Float[Array, "t h w"],
    intrinsics: Float[Array, "v 3 3"],
    world_to_camera: Float[Array, "v t 4 4"],
) -> Float[Array, "v t h w"]:
    """Depth of the pixels that seed the scene, 0 for the others.

    All source pixels of known depth, and the pixels of the other views that no source point
    reached: their disparity is filled in from around the hole, the background first.
    """
    seen = project(frames[0], depth, intrinsics, world_to_camera)
    disparity = fill_holes(seen._replace(frames=seen.disparity[..., None]))[..., 0]
    hidden = jnp.where(seen.mask > 0, 0.0, 1 / jnp.maximum(disparity, 0.05))
    return jnp.concatenate([depth[None], hidden])


def between(world_to_camera: Float[ndarray, "v t 4 4"]) -> Float[ndarray, "v-1 t 4 4"]:
    """Cameras half-way between neighbours in azimuth, the source among them."""
    order = np.argsort(angles_of(world_to_camera[:, 0])[:, 0])
    poses = invert(np.asarray(world_to_camera, np.float64))[order]
    centers = (poses[1:, ..., :3, 3] + poses[:-1, ..., :3, 3]) / 2
    # The rotation nearest to the mean of two rotations is half-way between them.
    left, _, right = np.linalg.svd(poses[1:, ..., :3, :3] + poses[:-1, ..., :3, :3])
    middle = poses[1:].copy()
    middle[..., :3, :3] = left @ right
    middle[..., :3, 3] = centers
    return invert(middle).astype(np.float32)


def to_arrays(scene: Scene) -> dict[str, ndarray]:
    """A scene as named arrays, float32."""
    parts = scene._asdict()
    parts |= parts.pop("gaussians")._asdict()
    if isinstance(scene, DeformingGaussians):
        parts |= parts.pop("planes")._asdict()
    return {name: np.asarray(x) for name, x in parts.items()}


def from_arrays(arrays: Mapping[str, ndarray]) -> Scene:
    """The inverse of `to_arrays`."""

    def some(names: Iterable[str]) -> dict[str, Array]:
        return {name: jnp.asarray(arrays[name]) for name in names}

    static = Gaussians(**some(Gaussians._fields))
    if "moments" in arrays:
        return DynamicGaussians(static, **some(DynamicGaussians._fields[1:]))
    planes = HexPlane(**some(HexPlane._fields))
    return DeformingGaussians(static, planes, **some(DeformingGaussians._fields[2:]))
