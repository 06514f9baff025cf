"""Targets and settings of a fit."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gaussians.fitting.ssim import SSIM_WINDOW
from gaussians.types import Camera


class Targets(NamedTuple):
    """Pictures that a scene is fitted to.

    Attributes:
      frames: colours in [0, 1].
      cameras: a camera for each frame.
      times: time of each frame, in clips (0 first, 1 last).
      weights: how often each frame is drawn relative to the others; 0 means never.
      views: the view of each frame, 0 to v - 1, whose exposure and camera are corrected; None
        means that all frames agree.
      peers: given with `views`: weights (summing to 1) of the views that an exposure is measured
        against.
      known: above 0 where a pixel counts; None means everywhere.
      alpha: how much of a pixel the subject covers, 0 to 1. With it every step puts a colour of its
        own behind the subject, in the picture as in its render; `FitConfig.background` is the
        colour there in `frames`. None keeps that colour.
    """

    frames: Float[Array, "n h w 3"]
    cameras: Camera
    times: Float[Array, "n"]
    weights: Float[Array, "n"]
    views: Int[Array, "n"] | None = None
    peers: Float[Array, "n v"] | None = None
    known: Float[Array, "n h w"] | None = None
    alpha: Float[Array, "n h w"] | None = None


@dataclass(frozen=True)
class FitConfig:
    """Settings of a fit. Learning rates are those of the first Adam step; all decay exponentially.

    Attributes:
      steps: optimiser steps, one picture each.
      chunk: steps between reports and between relocations.
      means: rate of centres, relative to their distance from the camera of the step.
      log_scales, opacities, colors: rates of raw parameters; higher harmonics get a twentieth of
          `colors`.
      velocities: rate per clip, relative to the same distance.
      still: keep the temporal parameters of `DynamicGaussians` as they are.
      exposures: rate of log-gains and offsets, used where the targets have `views`.
      poses: rate of the cameras' corrections, used there too.
      perceptual: weight of the perceptual distance that `fit` may be given.
      relocation: share of the steps in which dead Gaussians are moved onto live ones.
      growth: largest number moved at a time, relative to the live ones.
      opacity_pull: weight of the mean opacity, which empties Gaussians that nothing needs.
      scale_pull: weight of the mean standard deviation in world units, for the same purpose.
      coarse: factor by which pictures are shrunk at first, then half of it, and so on; 1 means full
          resolution from the start.
      background: colour behind everything.
      antialiased: dim Gaussians thinner than a pixel.
    """

    steps: int = 1500
    chunk: int = 100
    means: float = 2e-3
    log_scales: float = 1e-2
    opacities: float = 4e-2
    colors: float = 1e-2
    velocities: float = 2e-3
    still: bool = False
    exposures: float = 3e-3
    poses: float = 2e-4
    perceptual: float = 0.0
    relocation: float = 0.8
    growth: float = 0.1
    opacity_pull: float = 0.0
    scale_pull: float = 0.0
    coarse: int = 1
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    antialiased: bool = False

    @property
    def render_options(self) -> dict[str, Any]:
        """Arguments of `render` for the pictures of a fit."""
        return {
            "background": jnp.array(self.background),
            "antialiased": self.antialiased,
        }


def check_targets(targets: Targets, config: FitConfig) -> None:
    """Raise ValueError when the targets disagree in number or size, or cannot be shrunk."""
    n, h, w, _ = targets.frames.shape
    shapes = dict.fromkeys(("times", "weights", "views"), (n,))
    shapes |= dict.fromkeys(("known", "alpha"), (n, h, w))
    for name, shape in shapes.items():
        values = getattr(targets, name)
        if values is not None and values.shape != shape:
            text = f"fit: {name}: found shape {values.shape}, expected {shape}"
            raise ValueError(text)
    cameras, weights, kind = targets.cameras, targets.weights, targets.frames.dtype
    seen = len(cameras.world_to_camera), cameras.height, cameras.width
    coarse = config.coarse
    least = SSIM_WINDOW * coarse
    is_power = coarse > 0 and not coarse & (coarse - 1)
    rules = {
        f"cameras: found {seen}, expected {(n, h, w)}": seen == (n, h, w),
        f"frames: found {kind}, expected floats": jnp.issubdtype(kind, jnp.floating),
        "views, peers: expected both or none": (targets.views is None)
        == (targets.peers is None),
        "weights: expected 0 or more, and some above": weights.min() >= 0
        and weights.sum() > 0,
        "steps, chunk: expected 1 or more": min(config.steps, config.chunk) >= 1,
        f"coarse: found {coarse}, expected a power of 2 that divides {h}x{w}": (
            is_power and not h % coarse and not w % coarse
        ),
        f"frames: found {h}x{w}, expected {least} pixels each way": min(h, w) >= least,
    }
    for message, holds in rules.items():
        if not holds:
            raise ValueError(f"fit: {message}")
