"""Targets and settings of a fit."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gaussians.fitting.losses import SSIM_WINDOW
from gaussians.types import Camera


class Targets(NamedTuple):
    """Pictures that a scene is fitted to.

    Attributes:
      frames: colours in [0, 1].
      cameras: a camera for each frame.
      times: time of each frame, in clips (0 first, 1 last).
      weights: how often each frame is drawn relative to the others; 0 means never.
      final_weights: weights at the end of distillation, reached linearly; None keeps `weights`.
      views: the view of each frame, 0 to v - 1, whose exposure and camera are corrected; None
        means that all frames agree.
      peers: with `views`, weights (summing to 1) of the views that an exposure is measured against;
        None means all alike.
      known: above 0 where a pixel counts; None means everywhere.
      alpha: how much of a pixel the subject covers, 0 to 1. With it every step puts a colour of its
        own behind the subject, in the picture as in its render; `FitConfig.background` is the
        colour there in `frames`. None keeps that colour.
    """

    frames: Float[Array, "n h w 3"]
    cameras: Camera
    times: Float[Array, "n"]
    weights: Float[Array, "n"]
    final_weights: Float[Array, "n"] | None = None
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
      quaternions, log_scales, opacities, colors: rates of raw parameters; higher harmonics get
          a twentieth of `colors`.
      velocities: rate per clip, relative to the same distance.
      moments, durations, gates: rates of the temporal parameters of `DynamicGaussians`.
      embeddings, network: rates of embeddings and biases, and of the weights, of
          `DeformingGaussians`.
      exposures: rate of log-gains and offsets, used where the targets have `views`.
      poses: rate of the cameras' corrections, used there too; 0 leaves the cameras where they are.
      settle: share of the steps after which exposures and cameras are corrected.
      exposure_pull: weight of the squared log-gains and offsets, times the mean of the picture.
      decay: last learning rate over the first.
      dssim: share of D-SSIM in the picture loss; the rest is L1.
      perceptual: weight of the perceptual distance that `fit` may be given.
      relocation: share of the steps in which dead Gaussians are moved onto live ones.
      growth: largest number moved at a time, relative to the live ones.
      opacity_pull: weight of the mean opacity, which empties Gaussians that nothing needs.
      scale_pull: weight of the mean standard deviation in world units, for the same purpose.
      bending: weight of the second differences in time of the biases of `DeformingGaussians`.
      warm_up: share of the steps in which `DeformingGaussians` are fitted to the frames of the
          first instant without their network.
      coarse: factor by which pictures are shrunk at first, then half of it, and so on; 1 means full
          resolution from the start.
      sharpen: share of the steps after which the resolution is full.
      bands: share of the steps after which each further degree of the harmonics is fitted.
      background: colour behind everything.
      antialiased: dim Gaussians thinner than a pixel.
    """

    steps: int = 1500
    chunk: int = 100
    means: float = 2e-3
    quaternions: float = 5e-3
    log_scales: float = 1e-2
    opacities: float = 4e-2
    colors: float = 1e-2
    velocities: float = 2e-3
    moments: float = 2e-3
    durations: float = 1e-2
    gates: float = 4e-2
    embeddings: float = 4e-2
    network: float = 2e-3
    exposures: float = 1e-3
    poses: float = 0.0
    settle: float = 0.0
    exposure_pull: float = 0.0
    decay: float = 0.05
    dssim: float = 0.2
    perceptual: float = 0.0
    relocation: float = 0.8
    growth: float = 0.1
    opacity_pull: float = 0.0
    scale_pull: float = 0.0
    bending: float = 1e-3
    warm_up: float = 0.1
    coarse: int = 1
    sharpen: float = 0.3
    bands: float = 0.15
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    antialiased: bool = False


def fit_memory(gaussians: int, pictures: int, height: int, width: int, *, bent: bool) -> int:
    """Return about how many bytes a fit needs at its peak, for colours of harmonic degree 0.

    These are parameters, moments, gradients and intersections of every Gaussian, the buffers of one
    picture, and three copies of the targets. The constants are measured on XLA's CPU programs.

    Args:
      gaussians: number of Gaussians.
      pictures: number of targets.
      height: rows of a picture.
      width: columns of a picture.
      bent: whether the scene is a `DeformingGaussians`.
    """
    return (2800 if bent else 1350) * gaussians + (550 + 36 * pictures) * height * width


def check_targets(targets: Targets, config: FitConfig) -> None:
    """Raise ValueError when the targets disagree in number or size, or cannot be shrunk."""
    n, h, w, _ = targets.frames.shape
    shapes = dict.fromkeys(("times", "weights", "final_weights", "views"), (n,))
    shapes |= dict.fromkeys(("known", "alpha"), (n, h, w))
    for name, shape in shapes.items():
        values = getattr(targets, name)
        if values is not None and values.shape != shape:
            raise ValueError(f"fit: {name}: found shape {values.shape}, expected {shape}")
    cameras = targets.cameras
    seen = cameras.world_to_camera.shape[0], cameras.height, cameras.width
    coarse = config.coarse
    smallest = SSIM_WINDOW * coarse if config.dssim > 0 else coarse
    weights = targets.weights
    rules = (
        (seen == (n, h, w), f"cameras: found {seen}, expected {(n, h, w)}"),
        (
            jnp.issubdtype(targets.frames.dtype, jnp.floating),
            f"frames: found {targets.frames.dtype}, expected floats in [0, 1]",
        ),
        (weights.min() >= 0 and weights.sum() > 0, "weights: expected 0 or more, and some above"),
        (min(config.steps, config.chunk) >= 1, "steps, chunk: expected 1 or more"),
        (
            coarse > 0 and not coarse & (coarse - 1) and not h % coarse and not w % coarse,
            f"coarse: found {coarse}, expected a power of 2 that divides {h}x{w}",
        ),
        (min(h, w) >= smallest, f"frames: found {h}x{w}, expected {smallest} pixels each way"),
    )
    for holds, message in rules:
        if not holds:
            raise ValueError(f"fit: {message}")
