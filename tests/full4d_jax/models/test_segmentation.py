"""DeepLab in JAX computes what TensorFlow Lite does."""

from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from full4d_jax.models.segmentation import (
    CELL_PIXELS,
    CLASSES,
    load_segmentation,
    logits,
)

GOLDENS = Path(__file__).with_name("goldens") / "segmentation.npz"
PERSON = CLASSES.index("person")
CAT = CLASSES.index("cat")
ERROR = 2e-4  # of logits up to 35, by the order of sums
COMPUTE = jax.jit(logits)


def small(picture: np.ndarray, height: int = 257, width: int = 257) -> np.ndarray:
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return (resized / np.float32(127.5) - 1)[None]


def enlarge_logits(cells: jax.Array) -> jax.Array:
    """Return logits by pixels, between cells linearly: what the published graph returns."""
    for axis in (1, 2):
        n = CELL_PIXELS * (cells.shape[axis] - 1) + 1
        place = jnp.arange(n) / CELL_PIXELS
        low = jnp.minimum(place.astype(int), cells.shape[axis] - 2)
        share = jnp.expand_dims(place - low, tuple(i for i in range(4) if i != axis))
        here = jnp.take(cells, low, axis)
        cells = here + share * (jnp.take(cells, low + 1, axis) - here)
    return cells


def test_logits_are_those_of_tensorflow_lite_on_two_pictures():
    golden = np.load(GOLDENS)
    params = load_segmentation()
    for number, picture in enumerate((data.astronaut(), data.chelsea())):
        ours = np.asarray(COMPUTE(params, small(picture)))[0]
        np.testing.assert_array_equal(ours.argmax(-1), golden["labels"][number])
        np.testing.assert_allclose(ours[::4, ::4], golden["logits"][number], atol=ERROR)
    assert (golden["labels"][0] == PERSON).mean() > 0.3, "it sees the astronaut"
    assert (golden["labels"][1] == CAT).mean() > 0.3, "and the cat"


@pytest.fixture
def published(shared_data) -> Path:
    path = shared_data / "weights/deeplab/deeplabv3_257_mv_gpu.tflite"
    if not path.exists():
        pytest.skip(f"no weights: {path}")
    return path


def test_real_photos_give_what_the_published_file_gives(published, shared_data):
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    network = runtime.Interpreter(str(published))
    network.allocate_tensors()
    entry = network.get_input_details()[0]["index"]
    leave = network.get_output_details()[0]["index"]
    compute = jax.jit(lambda params, frames: enlarge_logits(logits(params, frames)))
    photos = sorted((shared_data / "data/real_photos").rglob("*.jpg"))[::45]
    assert len(photos) > 3
    for photo in photos:
        bgr = cv2.imread(str(photo))
        assert bgr is not None
        frames = small(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        network.set_tensor(entry, frames)
        network.invoke()
        ours = np.asarray(compute(load_segmentation(), frames))
        theirs = network.get_tensor(leave)
        np.testing.assert_allclose(ours, theirs, atol=ERROR, err_msg=photo.name)
