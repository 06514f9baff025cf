"""Frame masks of fused attention: by name, or from a file of yours.

A mask is a function of two sets of frames to booleans: may frame i read frame j? `time_view` is
that of Full-4D; one softmax runs over all tokens of all frames that a token may read. The fields of
`Frames` are arrays that broadcast against each other, so a mask is written for one pair:

    def near(i, j):                                   # --model.attention.mask mine.py:near
        return abs(i.view - j.view) + abs(i.time - j.time) < 3

A grid that the network makes in parts (`sampler.group_views`, `sampler.window_frames`) has one mask
for each part, whose views and frames are counted from 0.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Int

from full4d_jax.config.model import PAPER_MASK
from full4d_jax.config.presets import value_in
from full4d_jax.session.errors import InputError, require_file

SOURCE_VIEW = 0


class Frames(NamedTuple):
    """Places of frames in a grid.

    Attributes:
      view: 0 is the source.
      time: latent frame of the clip, the same for a frame to generate and its projected one.
      half: 0 for frames to generate (and where there is no other half), 1 for projected ones.
    """

    view: Int[np.ndarray, "..."]
    time: Int[np.ndarray, "..."]
    half: Int[np.ndarray, "..."]


Allowed = Bool[np.ndarray, "..."]
Mask = Callable[[Frames, Frames], Allowed]
ADVICE = "change --model.attention.mask (docs/attention.md)"


def time_view(i: Frames, j: Frames) -> Allowed:
    """Own view, all views at the instant, and the input video at the instant (Full-4D)."""
    return without_cross_half(i, j) | input_video(i, j)


def without_cross_half(i: Frames, j: Frames) -> Allowed:
    """Own view, and all views at the instant within the half."""
    return (i.view == j.view) | same_instant(i, j)


def windowed(i: Frames, j: Frames) -> Allowed:
    """Allow what `time_view` does, of own view 4 latent frames before and after."""
    reach_latent_frames = 4
    return time_view(i, j) & (abs(i.time - j.time) <= reach_latent_frames)


def neighbours(i: Frames, j: Frames) -> Allowed:
    """Allow what `time_view` does, of other views the source and those next in order."""
    return time_view(i, j) & ((abs(i.view - j.view) <= 1) | (j.view == SOURCE_VIEW))


def causal(i: Frames, j: Frames) -> Allowed:
    """Allow what `time_view` does, nothing of later instants."""
    return time_view(i, j) & (j.time <= i.time)


def full(i: Frames, j: Frames) -> Allowed:
    """Every frame reads every frame."""
    return (i.view == i.view) & (j.view == j.view)


def same_instant(i: Frames, j: Frames) -> Allowed:
    """All views at one time within the same half."""
    return (i.time == j.time) & (i.half == j.half)


def input_video(i: Frames, j: Frames) -> Allowed:
    """A frame to generate reads the source's projected frame, the input video, at its time."""
    return (i.half == 0) & (j.half == 1) & (i.time == j.time) & (j.view == SOURCE_VIEW)


PAPER = PAPER_MASK
MASKS: dict[str, Mask] = {
    mask.__name__: mask
    for mask in (time_view, without_cross_half, windowed, neighbours, causal, full)
}


def find_mask(name: str) -> Mask:
    """Return a mask by its name, or `FUNCTION` of a user's `FILE.py:FUNCTION`.

    Raises:
      InputError: there is no such name, file or function, or the file does not run.
    """
    path = mask_file(name)
    if path is None:
        return MASKS[name]
    return _function_of(path, path.read_bytes(), name.rpartition(":")[2])


def mask_file(name: str) -> Path | None:
    """Return the file of a user's mask, which runs and saved grids depend on; None without one.

    Raises:
      InputError: there is no mask of this name, or no such file.
    """
    if name in MASKS:
        return None
    path, colon, _ = name.rpartition(":")
    if not colon:
        expected = f"one of {', '.join(MASKS)}, or FILE.py:FUNCTION"
        raise InputError("config", "model.attention.mask", repr(name), expected, ADVICE)
    require_file("mask", path, "a Python file", ADVICE)
    return Path(path)


# Attention asks each time that it is traced; `content` is for the cache alone.
@functools.cache
def _function_of(path: Path, content: bytes, function: str) -> Mask:  # noqa: ARG001
    """Run a user's file, once for each content that it has."""
    rule = value_in("mask", path, function, ADVICE)
    if not callable(rule):
        expected = f"a function {function}(i, j)"
        raise InputError("mask", path, type(rule).__name__, expected, ADVICE)
    return cast(Mask, rule)


def allowed_frames(
    views: int, frames: int, cross_half: bool, mask: str = PAPER
) -> Bool[np.ndarray, "v t v t"]:
    """Return which frame (first two axes) may read which frame (last two).

    Args:
      views: of the grid, the source first.
      frames: of a view.
      cross_half: whether the later half of the frames is the projection.
      mask: a name for `find_mask`.

    Raises:
      InputError: there is no such mask, or it does not say of all frames what they may read.
    """
    view, time = np.indices((views, frames))
    clip = frames // 2 if cross_half and frames > 1 else frames
    j = Frames(view, time % clip, time // clip)
    i = Frames(*(x[:, :, None, None] for x in j))
    rule = find_mask(mask)
    expected = "one boolean for each pair, and for each frame one that it reads"
    try:
        allowed = np.array(np.broadcast_to(rule(i, j), (views, frames, views, frames)))
        blind = np.argwhere(~allowed.any((2, 3))).tolist()
        if allowed.dtype == bool and not blind:
            return allowed
        found = f"{allowed.dtype}, and view and frame that read nothing: {blind[:1]}"
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    raise InputError("mask", mask, found, expected, ADVICE)


def beyond_own_view(
    allowed: Bool[np.ndarray, "v t v t"], mask: str
) -> Bool[np.ndarray, "v t v t"]:
    """Return which frames may read which of other views, where all read their own view whole.

    Raises:
      InputError: some do not, under the mask of this name.
    """
    own = np.eye(len(allowed), dtype=bool)[:, None, :, None]
    if not (allowed | ~own).all():
        expected = (
            f"flash with {mask}, under which frames do not read all of their view"
        )
        raise InputError("config", "model.gpu_attention", "cudnn", expected, "")
    return allowed & ~own
