"""Networks that others published compute in JAX what the runtimes of their files do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import jax
import numpy as np
from skimage import data

from full4d_jax.models.nets.published import CLASSES, fast_depth, logits, silhouette
from full4d_jax.models.weights import load_shipped

GOLDENS = Path(__file__).parents[1] / "goldens"


def outputs(
    network: Callable, name: str, pictures, side: int, lowest: int
) -> Iterator[np.ndarray]:
    """Outputs of a shipped network for pictures at its size, with colours from `lowest` to 1."""
    params, compute = load_shipped(name), jax.jit(network)
    for picture in pictures:
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        colours = small / np.float32(255 / (1 - lowest)) + np.float32(lowest)
        yield np.asarray(compute(params, colours[None]))[0]


def test_depth_is_that_of_onnxruntime():
    golden = np.load(GOLDENS / "fast_depth.npz")["depths"]
    pictures = data.astronaut(), data.coffee()
    ours = outputs(fast_depth, "fast_depth", pictures, 224, -1)
    for found, expected in zip(ours, golden, strict=True):
        # Metres: the package has the weights in float16.
        np.testing.assert_allclose(found[::4, ::4], expected, atol=0.02)
        assert expected.std() > 0.3, "it sees something"


def test_classes_are_those_of_tensorflow_lite():
    golden = np.load(GOLDENS / "segmentation.npz")
    pictures = data.astronaut(), data.chelsea()
    ours = outputs(logits, "segmentation", pictures, 257, -1)
    shown = map(CLASSES.index, ("person", "cat"))
    for found, labels, expected, one in zip(
        ours, golden["labels"], golden["logits"], shown, strict=True
    ):
        np.testing.assert_array_equal(found.argmax(-1), labels)
        # Of logits up to 35, by the order of sums.
        np.testing.assert_allclose(found[::4, ::4], expected, atol=2e-4)
        assert (labels == one).mean() > 0.3, "it sees what is shown"


def test_silhouettes_are_those_of_tensorflow_lite():
    golden = np.load(GOLDENS / "silhouette.npz")["logits"]
    windows = data.astronaut(), data.astronaut()[:320, 60:380]
    ours = outputs(silhouette, "silhouette", windows, 256, 0)
    for found, expected in zip(ours, golden, strict=True):
        # The largest logit is above 1,000.
        error = 5e-4 * np.abs(expected).max()
        np.testing.assert_allclose(found[::4, ::4], expected, atol=error)
        assert 0.2 < (found[::4, ::4] > 0).mean() < 0.7, "it sees the astronaut"
