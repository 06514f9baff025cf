"""DeepLab in JAX computes what TensorFlow Lite does."""

from pathlib import Path

import cv2
import jax
import numpy as np
from skimage import data

from full4d_jax.models.segmentation import (
    CLASSES,
    logits,
)
from full4d_jax.models.weights import load_shipped

GOLDENS = Path(__file__).with_name("goldens") / "segmentation.npz"
PERSON = CLASSES.index("person")
CAT = CLASSES.index("cat")
ERROR = 2e-4  # of logits up to 35, by the order of sums
COMPUTE = jax.jit(logits)


def small(picture: np.ndarray, height: int = 257, width: int = 257) -> np.ndarray:
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return (resized / np.float32(127.5) - 1)[None]


def test_logits_are_those_of_tensorflow_lite_on_two_pictures():
    golden = np.load(GOLDENS)
    params = load_shipped("segmentation")
    for number, picture in enumerate((data.astronaut(), data.chelsea())):
        ours = np.asarray(COMPUTE(params, small(picture)))[0]
        np.testing.assert_array_equal(ours.argmax(-1), golden["labels"][number])
        np.testing.assert_allclose(ours[::4, ::4], golden["logits"][number], atol=ERROR)
    assert (golden["labels"][0] == PERSON).mean() > 0.3, "it sees the astronaut"
    assert (golden["labels"][1] == CAT).mean() > 0.3, "and the cat"
