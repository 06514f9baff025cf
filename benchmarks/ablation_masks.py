"""Masks that lack a part of Full-4D's: who may read whom, for `--model.mask FILE.py:FUNCTION`."""

import numpy as np
from jaxtyping import Bool

from full4d_jax.config.masks import Frames, input_video


def own_view_alone(i: Frames, j: Frames) -> Bool[np.ndarray, "..."]:
    """Each view by itself, as a video model has it: no fused attention."""
    return i.view == j.view


def without_intra_time(i: Frames, j: Frames) -> Bool[np.ndarray, "..."]:
    """Own view and the input video, no other view at the instant."""
    return (i.view == j.view) | input_video(i, j)
