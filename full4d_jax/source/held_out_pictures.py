"""Which pictures of a capture are not fitted, so that they can judge the fit."""

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from full4d_jax.session.errors import InputError
from full4d_jax.source.options import HeldOut

# Number 4, then each eighth.
EVERY = 8
FIRST = 4


def held_out_pictures(views: int, instants: int, wanted: HeldOut) -> Bool[ndarray, "v t"]:
    """Return which pictures are held out: one view in eight, of fewer views one instant in eight.

    The last instant is fitted, so that the clip keeps its length.

    Raises:
      InputError: fewer than eight of what is asked for.
    """
    held_out = np.zeros((views, instants), bool)
    if wanted == "auto":
        wanted = "views" if views >= EVERY else "instants" if instants >= EVERY else "none"
    if wanted == "none":
        return held_out
    count = views if wanted == "views" else instants
    if count < EVERY:
        found = f"{count} {wanted}"
        do = "leave --held_out out"
        raise InputError("option", "--held_out", wanted, f"{EVERY} or more; found {found}", do)
    if wanted == "views":
        held_out[FIRST::EVERY] = True
    else:
        held_out[:, FIRST : instants - 1 : EVERY] = True
    return held_out
