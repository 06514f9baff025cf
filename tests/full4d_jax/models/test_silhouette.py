"""BlazePose's silhouette in JAX computes what TensorFlow Lite does."""

from pathlib import Path

import cv2
import jax
import numpy as np
from skimage import data

from full4d_jax.models.silhouette import silhouette
from full4d_jax.models.weights import load_shipped

GOLDENS = Path(__file__).with_name("goldens") / "silhouette.npz"
RELATIVE_ERROR = 5e-4  # of the largest logit, which is above 1,000, by the order of sums


def test_logits_are_those_of_tensorflow_lite_in_two_windows():
    golden = np.load(GOLDENS)["logits"]
    params = load_shipped("silhouette")
    compute = jax.jit(silhouette)
    for number, picture in enumerate((data.astronaut(), data.astronaut()[:320, 60:380])):
        small = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
        ours = np.asarray(compute(params, (small / np.float32(255))[None]))[0, ::4, ::4]
        error = RELATIVE_ERROR * np.abs(golden[number]).max()
        np.testing.assert_allclose(ours, golden[number], atol=error)
        assert 0.2 < (ours > 0).mean() < 0.7, "it sees the astronaut"
