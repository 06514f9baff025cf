"""From real videos of several cameras to 4D Gaussians; some pictures are held out and watched."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray, UInt8
from numpy import ndarray

from full4d_jax.config import LiftConfig
from full4d_jax.grid import Grid, Origin
from full4d_jax.media.metrics import psnr
from full4d_jax.scene import fit_settings, initial_gaussians, scene_reader
from full4d_jax.scene.disagreement import (
    disagreement_arrays,
    measure_disagreement,
    peer_weights,
)
from full4d_jax.scene.fit_checkpoint import PartialFit, Report, run_fit
from full4d_jax.session.errors import InputError
from gaussians import Camera, Scene, Targets, clip_budget, render_clip
from input_pipeline.selection import evenly

# Largest difference that counts as one colour; JPEG rounds.
SAME_COLOR_DIFFERENCE = 0.04
FIXED_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}


class Background(NamedTuple):
    """Colour and extent of the background behind a subject.

    Attributes:
      color: behind the Gaussians, when fitting and when shown.
      subject: which pixels show the subject; None where the scene fills the pictures.
      note: a sentence for people.
      random: whether every step puts another colour behind the subject.
      ignored: whether pixels outside of the subject are not fitted.
    """

    color: tuple[float, float, float]
    subject: Bool[ndarray, "v t h w"] | None
    note: str
    random: bool = False
    ignored: bool = False


class Fit(NamedTuple):
    """A fitted capture.

    Attributes:
      scene: the Gaussians.
      background: the colour behind them.
      fitted_psnr: of fitted pictures, dB.
      held_out_psnr: of the others, dB; NaN without any.
      watched: steps, and PSNR of a few held-out pictures after them, of the steps done by this run.
      disagreement: of generated views, as the stage `scene` saves it; empty where they are taken to
        agree.
    """

    scene: Scene
    background: tuple[float, float, float]
    fitted_psnr: float
    held_out_psnr: float
    watched: tuple[tuple[int, float], ...] = ()
    disagreement: Mapping[str, ndarray] = {}


def lift_capture(
    settings: LiftConfig,
    grid: Grid,
    key: PRNGKeyArray,
    *,
    report: Report | None = None,
    partial: PartialFit | None = None,
    say: Callable[[str], None] = print,
) -> Fit:
    """Fit 4D Gaussians to a grid whose views all count alike; no prior is queried.

    Args:
      settings: how to fit, with steps and capacity (`sized_for`).
      grid: frames of all views, with cameras; those that are held out are not fitted.
      key: the result is a function of the arguments and it alone.
      report: called with the step and with metrics from time to time.
      partial: where a fit under way is kept, to go on from.
      say: prints a line for people.

    Raises:
      InputError: the background asked for needs masks.
    """
    cameras = grid.known_cameras
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
    start = initial_gaussians.find_start(
        settings,
        frames[views],
        None if grid.depth is None else grid.depth[views],
        None if background.subject is None else background.subject[views],
        cameras.views(views),
        np.flatnonzero(instants),
        grid.cloud,
        start_key,
    )
    say(
        f"start: {start.note}; background: {background.note}; held out: {_words(held_out)}"
    )
    # A few held-out frames are scored on the way, which shows when a fit starts to overfit.
    watched = []

    def watch(state):
        if not held_out.any():
            return {}
        reached = scored(state.fitted.scene, grid, background, held_out, most=4)
        watched.append((int(state.step), reached))
        return {"held_out_psnr": reached}

    config = fit_settings.capture_settings(
        settings, frames.shape, background.color, sharp=start.sharp
    )
    targets = _targets(grid, background)
    result = run_fit(
        start.scene,
        targets,
        config,
        fit_key,
        watch=watch,
        report=report,
        partial=partial,
    )
    # The result is scored on more frames than were watched, of fitted and held-out ones alike.
    fitted_psnr, held_out_psnr = (
        scored(result.scene, grid, background, mask, most=16)
        for mask in (~held_out, held_out)
    )
    fit = Fit(
        result.scene, background.color, fitted_psnr, held_out_psnr, tuple(watched)
    )
    if agree:
        return fit
    measured = measure_disagreement(grid, views, result.exposures, result.poses)
    return fit._replace(disagreement=disagreement_arrays(views, *measured))


def to_floats(frames: UInt8[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Return colours in [0, 1]."""
    return frames.astype(np.float32) / 255


def fit_arrays(fit: Fit) -> dict[str, ndarray]:
    """Return what the stage `scene` saves of a capture."""
    names = "background", "fitted_psnr", "held_out_psnr"
    scores = {name: np.asarray(getattr(fit, name), np.float32) for name in names}
    return {**scene_reader.to_arrays(fit.scene), **scores, **fit.disagreement}


def describe_scores(fit: Fit) -> str:
    """Return how well a scene shows fitted and other pictures, and what to do where it does not."""
    # How much better fitted pictures are than others, dB.
    large_gap = 4.0
    # How much worse held-out pictures got while fitting, dB.
    large_fall = 1.0
    text = f"fitted pictures {fit.fitted_psnr:.1f} dB"
    if fit.disagreement:
        text = f"{fit.disagreement['disagreement']}; {text}"
    if np.isnan(fit.held_out_psnr):
        return f"{text}; none was held out"
    text += f", held-out ones {fit.held_out_psnr:.1f} dB"
    if fit.fitted_psnr - fit.held_out_psnr > large_gap:
        text += (
            "; views between the cameras look worse than these: add cameras closer together, "
            "depth (full4d data depth) or masks, and look at full4d data check"
        )
    step, best = max(fit.watched, key=lambda x: x[1], default=(0, -np.inf))
    if fit.watched and best - fit.watched[-1][1] > large_fall:
        text += (
            f"; held-out pictures were best after {step} steps, at {best:.1f} dB: "
            f"fewer (--lift.steps {step}) may do"
        )
    return text


def scored(
    scene: Scene,
    grid: Grid,
    background: Background,
    mask: Bool[ndarray, "v t"],
    most: int,
) -> float:
    """Return the PSNR in dB of at most `most` of the marked pictures; NaN for none.

    Of the pixels those that count have a part in it.
    """
    places = np.argwhere(mask)
    if not len(places):
        return np.nan
    views, instants = places[evenly(len(places), most)].T
    seen = scene, *_cameras_times(grid, views, instants)
    budget = clip_budget(*seen, slack=1.0)
    behind = jnp.array(background.color)
    made = render_clip(
        *seen, background=behind, antialiased=True, max_intersections=budget
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
        *_cameras_times(grid, views, instants),
        jnp.ones(len(views)),
        views=numbers,
        peers=peers,
        known=subject if background.ignored else None,
        alpha=subject if background.random else None,
    )


def _cameras_times(
    grid: Grid, views: ndarray, instants: ndarray
) -> tuple[Camera, jax.Array]:
    """Return cameras of pictures, and their times in clips."""
    cameras = grid.known_cameras
    poses = jnp.asarray(cameras.world_to_camera[views, instants])
    lenses = jnp.asarray(cameras.intrinsics[views])
    times = jnp.asarray(instants / max(grid.frames.shape[1] - 1, 1), jnp.float32)
    return Camera(poses, lenses, cameras.width, cameras.height), times


def _words(held_out: Bool[ndarray, "v t"]) -> str:
    """Return which pictures are held out."""
    for name, axis in (("views", 1), ("instants", 0)):
        numbers = np.flatnonzero(held_out.all(axis))
        if len(numbers):
            return (
                f"{name} {' '.join(map(str, numbers))} (--held_out none fits them too)"
            )
    return "none"


def find_background(
    wanted: str,
    frames: Float[ndarray, "v t h w 3"],
    masks: Bool[ndarray, "v t h w"] | None,
    *,
    agree: bool = True,
) -> Background:
    """Return the background of a capture.

    Args:
      wanted: `lift.background`.
      frames: the pictures, [0, 1].
      masks: where the subject is, if somebody marked it.
      agree: whether the views agree in colour; else their edges are made alike first.

    Raises:
      InputError: `wanted` needs masks or a plain background, and there is neither.
    """
    around = np.zeros(frames.shape[:4], bool) if masks is None else ~masks
    if masks is None:
        around[..., [0, 1, -2, -1], :] = True
        around[..., [0, 1, -2, -1]] = True
        if not agree:
            # Their edges get the same median colour.
            own = np.median(frames[:, around[0]], axis=1)
            change = np.median(own, axis=0) - own
            frames = frames + change[:, None, None, None].astype(frames.dtype)
    color = plain_color(frames[around])
    subject = masks
    if color is not None and masks is None:
        subject = (
            np.abs(frames - np.asarray(color, np.float32)).max(-1)
            > SAME_COLOR_DIFFERENCE
        )
    behind = FIXED_COLORS.get(wanted, color or FIXED_COLORS["black"])
    if wanted in ("random", "unknown"):
        if subject is None:
            found = "masks; found no masks, no alpha and no plain background"
            do = "add masks (docs/data.md) and import again, or leave --lift.background out"
            raise InputError("config", "lift.background", wanted, found, do)
        random = wanted == "random"
        note = (
            "a random colour each step"
            if random
            else "not fitted (outside of the masks)"
        )
        return Background(behind, subject, note, random, not random)
    if wanted == "auto" and color is None:
        return Background(behind, None, "part of the scene")
    levels = " ".join(f"{255 * x:.0f}" for x in behind)
    return Background(behind, subject if color else None, f"one colour, {levels}")


def plain_color(around: Float[ndarray, "n 3"]) -> tuple[float, float, float] | None:
    """Return the colour of the pixels around a subject; None for several."""
    if not len(around):
        return None
    # Share of the pixels around the subject that have the background's colour.
    plain_share = 0.95
    color = np.median(around, axis=0)
    alike = np.abs(around - color).max(-1) <= SAME_COLOR_DIFFERENCE
    red, green, blue = map(float, color)
    return (red, green, blue) if alike.mean() >= plain_share else None
