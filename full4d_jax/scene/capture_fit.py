"""From real videos of several cameras to 4D Gaussians; some pictures are held out and watched."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, UInt8
from numpy import ndarray

from full4d_jax.config import LiftConfig
from full4d_jax.grid import Grid, Origin
from full4d_jax.media.metrics import psnr
from full4d_jax.scene.backgrounds import Background, find_background
from full4d_jax.scene.disagreement import (
    Disagreement,
    disagreement_arrays,
    measure_disagreement,
    peer_weights,
    words_of_disagreement,
)
from full4d_jax.scene.fit_checkpoint import PartialFit
from full4d_jax.scene.fit_settings import capture_settings, sized_for
from full4d_jax.scene.initial_gaussians import find_start
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.scene.source_fit import picture_distance
from gaussians import Camera, Scene, Targets, clip_budget, fit, render_clip
from gaussians.fitting.fit_step import FitState
from input_pipeline.selection import evenly

Report = Callable[[int, Mapping[str, float]], None]


class Fit(NamedTuple):
    """A fitted capture.

    Attributes:
      scene: the Gaussians.
      background: the colour behind them.
      fitted_psnr: of fitted pictures, dB.
      held_out_psnr: of the others, dB; NaN without any.
      watched: steps, and PSNR of a few held-out pictures after them, of the steps done by this run.
      disagreement: of generated views; None where they are taken to agree.
    """

    scene: Scene
    background: tuple[float, float, float]
    fitted_psnr: float
    held_out_psnr: float
    watched: tuple[tuple[int, float], ...] = ()
    disagreement: Disagreement | None = None


def lift_capture(
    settings: LiftConfig,
    grid: Grid,
    key: PRNGKeyArray,
    *,
    report: Report | None = None,
    partial: PartialFit | None = None,
    say: Callable[[str], None] = print,
) -> Fit:
    """Fit 4D Gaussians to a grid whose views all count alike; no prior is asked.

    Args:
      settings: how to fit.
      grid: frames of all views, with cameras; those that are held out are not fitted.
      key: the result is a function of the arguments and it alone.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
      say: prints a line for people.

    Raises:
      InputError: the background asked for needs masks.
    """
    cameras = grid.known_cameras
    settings = sized_for(settings, grid)
    start_key, fit_key = jax.random.split(key)
    frames = to_floats(grid.frames)
    held_out = grid.origin == Origin.HELD_OUT
    # Films of a rig share colours and places; those of a generator disagree, and the fit lets each
    # view have an exposure and a pose of its own.
    agree = not grid.only_generated
    background = find_background(settings.background, frames, grid.masks, agree=agree)
    # Held-out pictures and depth have no part in the start, so that they stay a fair test.
    views = np.flatnonzero(~held_out.all(1))
    instants = ~held_out.all(0)
    start = find_start(
        settings,
        frames[views],
        None if grid.depth is None else grid.depth[views],
        None if background.subject is None else background.subject[views],
        cameras.views(views),
        np.flatnonzero(instants),
        grid.cloud,
        start_key,
    )
    say(f"start: {start.note}; background: {background.note}; held out: {_words(held_out)}")
    # A few held-out frames are scored on the way, which shows when a fit starts to overfit.
    watched_pictures = _some(held_out, most=4)
    watched: list[tuple[int, float]] = []

    def keep(state: FitState) -> None:
        if partial is not None:
            partial.keep(state)
        if len(watched_pictures[0]):
            reached = scored(state.fitted.scene, grid, background, watched_pictures)
            watched.append((int(state.step), reached))

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        if report is not None:
            reached = {"held_out_psnr": watched[-1][1]} if watched else {}
            report(step, {**metrics, **reached})

    shape = grid.frames.shape
    config = capture_settings(settings, shape, background.color, sharp=start.sharp, agree=agree)
    result = fit(
        start.scene,
        _targets(grid, background),
        config,
        fit_key,
        report=tell,
        perceptual=picture_distance() if settings.perceptual > 0 else None,
        restore=None if partial is None else partial.restore,
        keep=keep,
    )
    # The result is scored on more frames than were watched, of fitted and held-out ones alike.
    groups = (_some(mask, most=16) for mask in (~held_out, held_out))
    fitted_psnr, held_out_psnr = (scored(result.scene, grid, background, group) for group in groups)
    disagreement = None
    if not agree:
        disagreement = measure_disagreement(grid, views, result.exposures, result.poses)
    return Fit(
        scene=result.scene,
        background=background.color,
        fitted_psnr=fitted_psnr,
        held_out_psnr=held_out_psnr,
        watched=tuple(watched),
        disagreement=disagreement,
    )


def to_floats(frames: UInt8[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Return colours in [0, 1]."""
    return frames.astype(np.float32) / 255


def fit_arrays(fit: Fit) -> dict[str, ndarray]:
    """Return what the stage `scene` saves of a capture."""
    names = "background", "fitted_psnr", "held_out_psnr"
    scores = {name: np.asarray(getattr(fit, name), np.float32) for name in names}
    arrays = to_arrays(fit.scene) | scores
    if fit.disagreement is not None:
        arrays |= disagreement_arrays(fit.disagreement)
    return arrays


def describe_scores(fit: Fit) -> str:
    """Return how well a scene shows fitted and other pictures, and what to do where it does not."""
    large_gap = 4.0  # dB by which fitted pictures are better than others
    large_fall = 1.0  # dB by which held-out pictures got worse while fitting
    text = f"fitted pictures {fit.fitted_psnr:.1f} dB"
    if fit.disagreement is not None:
        text = f"{words_of_disagreement(fit.disagreement)}; {text}"
    if np.isnan(fit.held_out_psnr):
        return f"{text}; none was held out"
    text += f", held-out ones {fit.held_out_psnr:.1f} dB"
    if fit.fitted_psnr - fit.held_out_psnr > large_gap:
        text += (
            f"; the gap is above {large_gap:g} dB, so views between the cameras look worse than "
            "these: add cameras closer together, depth (full4d data depth) or masks, and look at "
            "full4d data check"
        )
    step, best = max(fit.watched, key=lambda x: x[1], default=(0, -np.inf))
    if fit.watched and best - fit.watched[-1][1] > large_fall:
        text += (
            f"; held-out pictures were best after {step} steps ({best:.1f} dB, "
            f"{fit.watched[-1][1]:.1f} at the end): fewer (--lift.steps {step}) may do"
        )
    return text


def scored(
    scene: Scene,
    grid: Grid,
    background: Background,
    pictures: tuple[Int[ndarray, "n"], Int[ndarray, "n"]],
) -> float:
    """Return the PSNR in dB of these views and instants, of the pixels that count; NaN for none."""
    views, instants = pictures
    if not len(views):
        return float("nan")
    cameras = _cameras(grid, views, instants)
    times = _times(grid, instants)
    made = render_clip(
        scene,
        cameras,
        times,
        background=jnp.array(background.color),
        antialiased=True,
        max_intersections=clip_budget(scene, cameras, times, slack=1.0),
    )
    truth = to_floats(grid.frames[views, instants])
    rendered = np.clip(np.asarray(made.rgb), 0, 1)
    if background.ignored and background.subject is not None:
        known = background.subject[views, instants]
        truth = truth[known]
        rendered = rendered[known]
    return float(psnr(rendered, truth))


def _targets(grid: Grid, background: Background) -> Targets:
    views, instants = np.nonzero(grid.origin != Origin.HELD_OUT)
    subject = None
    if background.subject is not None:
        subject = jnp.asarray(background.subject[views, instants], jnp.float32)
    numbers = peers = None
    if grid.only_generated:
        fitted, places = np.unique(views, return_inverse=True)
        numbers = jnp.asarray(places, jnp.int32)
        peers = jnp.asarray(peer_weights(grid, fitted)[places])
    return Targets(
        jnp.asarray(to_floats(grid.frames[views, instants])),
        _cameras(grid, views, instants),
        _times(grid, instants),
        jnp.ones(len(views)),
        views=numbers,
        peers=peers,
        known=subject if background.ignored else None,
        alpha=subject if background.random else None,
    )


def _cameras(grid: Grid, views: ndarray, instants: ndarray) -> Camera:
    cameras = grid.known_cameras
    poses = jnp.asarray(cameras.world_to_camera[views, instants])
    lenses = jnp.asarray(cameras.intrinsics[views])
    return Camera(poses, lenses, cameras.width, cameras.height)


def _times(grid: Grid, instants: ndarray) -> jax.Array:
    return jnp.asarray(instants / max(grid.frames.shape[1] - 1, 1), jnp.float32)


def _some(mask: Bool[ndarray, "v t"], most: int) -> tuple[ndarray, ndarray]:
    """Return views and instants of at most `most` of the marked pictures."""
    views, instants = np.nonzero(mask)
    chosen = evenly(len(views), most) if len(views) else []
    return views[chosen], instants[chosen]


def _words(held_out: Bool[ndarray, "v t"]) -> str:
    """Return which pictures are held out."""
    for name, axis in (("views", 1), ("instants", 0)):
        numbers = np.flatnonzero(held_out.all(axis))
        if len(numbers):
            return f"{name} {' '.join(map(str, numbers))} (--held_out none fits them too)"
    return "none"
