"""What lies behind the subject of a capture: a scene, one colour, or nothing that is fitted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from full4d_jax.session.errors import InputError

SAME_COLOR_DIFFERENCE = 0.04  # largest difference that counts as one colour; JPEG rounds
FIXED_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}


class Background(NamedTuple):
    """What lies behind the subject.

    Attributes:
      color: behind the Gaussians, when fitting and when shown.
      subject: which pixels show the subject; None where the scene fills the pictures.
      random: whether every step puts another colour behind the subject.
      ignored: whether pixels outside of the subject are not fitted.
      note: a sentence for people.
    """

    color: tuple[float, float, float]
    subject: Bool[ndarray, "v t h w"] | None
    random: bool
    ignored: bool
    note: str


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
    if not agree and masks is None:
        frames = _levelled(frames)
    color = plain_color(frames, masks)
    subject = masks
    if color is not None and masks is None:
        subject = np.abs(frames - np.asarray(color, np.float32)).max(-1) > SAME_COLOR_DIFFERENCE
    if wanted in ("random", "unknown") and subject is None:
        found = "no masks, no alpha and no plain background"
        do = "add masks (docs/data.md) and import again, or leave --lift.background out"
        raise InputError("config", "lift.background", wanted, f"masks; found {found}", do)
    behind = FIXED_COLORS.get(wanted, color or FIXED_COLORS["black"])
    if wanted == "unknown":
        return Background(behind, subject, False, True, "not fitted (outside of the masks)")
    if wanted == "random":
        return Background(behind, subject, True, False, "a random colour each step")
    if wanted == "auto" and color is None:
        return Background(behind, None, False, False, "part of the scene")
    levels = " ".join(f"{255 * x:.0f}" for x in behind)
    return Background(behind, subject if color else None, False, False, f"one colour, {levels}")


def plain_color(
    frames: Float[ndarray, "v t h w 3"], masks: Bool[ndarray, "v t h w"] | None
) -> tuple[float, float, float] | None:
    """Return the colour around the subject, or at the edges of the pictures; None for several."""
    if masks is None:
        masks = ~_edges(frames)
    around = frames[~masks]
    if not len(around):
        return None
    plain_share = 0.95  # of the pixels around the subject, which have the background's colour
    color = np.median(around, axis=0)
    alike = np.abs(around - color).max(-1) <= SAME_COLOR_DIFFERENCE
    red, green, blue = map(float, color)
    return (red, green, blue) if alike.mean() >= plain_share else None


def _levelled(frames: Float[ndarray, "v t h w 3"]) -> Float[ndarray, "v t h w 3"]:
    """Return pictures whose edges have the same median colour in all views."""
    edges = _edges(frames)[0]
    own = np.stack([np.median(film[edges], axis=0) for film in frames])
    change = np.median(own, axis=0) - own
    return frames + change[:, None, None, None].astype(frames.dtype)


def _edges(frames: Float[ndarray, "v t h w 3"]) -> Bool[ndarray, "v t h w"]:
    """Return which pixels lie at the edges of the pictures."""
    edges = np.zeros(frames.shape[:4], bool)
    edges[..., [0, 1, -2, -1], :] = True
    edges[..., [0, 1, -2, -1]] = True
    return edges
