"""FastDepth in JAX computes what onnxruntime does, and sees frames squeezed as in its training."""

from pathlib import Path

import cv2
import jax
import numpy as np
from skimage import data

from full4d_jax.models.fast_depth import (
    fast_depth,
)
from full4d_jax.models.weights import load_shipped

GOLDENS = Path(__file__).with_name("goldens") / "fast_depth.npz"
ERROR = 0.02  # metres: the package has the weights in float16


def test_depth_is_that_of_onnxruntime_on_two_photographs():
    golden = np.load(GOLDENS)["depths"]
    params = load_shipped("fast_depth")
    compute = jax.jit(fast_depth)
    for number, picture in enumerate((data.astronaut(), data.coffee())):
        small = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
        ours = np.asarray(compute(params, (small / np.float32(127.5) - 1)[None]))[0, ::4, ::4]
        np.testing.assert_allclose(ours, golden[number], atol=ERROR)
        assert golden[number].std() > 0.3, "it sees something"
