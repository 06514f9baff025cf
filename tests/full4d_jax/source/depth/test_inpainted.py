"""Holes of pictures of any size, filled by the network in the package."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.media.video import crop_resize
from full4d_jax.source.depth.clean_plate import inpainted
from input_pipeline.footage import PICTURES, listed, read_picture


def test_lines_go_on_into_a_hole_and_no_speck_floods_it():
    """A dark speck stands beside a wide hole; a line ends at another side of it."""
    picture = np.full((96, 160, 3), 200, np.uint8)
    picture[40:56, 20:24] = 10
    picture[46:50, 140:] = 90
    hole = np.zeros((96, 160), bool)
    hole[16:80, 24:140] = True
    hidden = np.where(hole[..., None], np.uint8(0), picture)
    filled = inpainted(hidden, hole).astype(int)
    assert (filled[47:49, 138:140] < 160).all(), "the line goes on"
    assert (filled[30:66, 60:110] > 190).all()
    np.testing.assert_array_equal(filled[~hole], picture[~hole])


def test_a_large_picture_is_filled_as_a_small_one_is():
    """A stripe crosses a hole of a picture three times as large, whose sides are odd."""
    small = np.full((256, 320, 3), 180, np.uint8)
    small[120:140] = 40
    hole = np.zeros((256, 320), bool)
    hole[60:200, 150:170] = True
    large = cv2.resize(small, (961, 769), interpolation=cv2.INTER_NEAREST)
    large_hole = cv2.resize(hole.astype(np.uint8), (961, 769), interpolation=cv2.INTER_NEAREST) > 0
    filled = inpainted(small, hole)
    enlarged = cv2.resize(filled, (961, 769)).astype(int)
    error = np.abs(inpainted(large, large_hole).astype(int) - enlarged)
    assert error[large_hole].mean() < 8
    assert (filled[124:136, 158:162] < 100).all(), "the stripe goes on through the hole"


def somebody(rng: np.random.Generator) -> np.ndarray:
    """Where a person of limbs stands, somewhere in a picture of 256 x 256."""
    hole = np.zeros((256, 256), np.uint8)
    hips = rng.integers([60, 100], [196, 150])
    for joint, width in (((0, -90), 60), ((-30, 90), 24), ((30, 90), 24), ((60, -40), 20)):
        cv2.line(hole, tuple(map(int, hips)), tuple(map(int, hips + joint)), 1, width)
    return hole > 0


def test_photographs_that_no_training_read_are_nearer_to_the_truth_than_by_averages(shared_data):
    """The mean over eight photographs; push-pull and OpenCV's inpainting fill the same holes."""
    photos = listed(shared_data / "data/real_photos", PICTURES)[4::5][::8]
    errors: dict[str, list[float]] = {"ours": [], "push-pull": [], "Telea": []}
    averages = jax.jit(push_pull)
    for number, path in enumerate(photos):
        photo = crop_resize(read_picture(path), 256, 256)
        hole = somebody(np.random.default_rng(number))
        known = 1 - hole[..., None].astype(np.float32)
        filled = {
            "ours": inpainted(photo, hole),
            "push-pull": np.asarray(averages(jnp.asarray(photo, jnp.float32), known)),
            "Telea": cv2.inpaint(photo, hole.astype(np.uint8), 5, cv2.INPAINT_TELEA),
        }
        for name, picture in filled.items():
            squares = (picture.astype(float) - photo)[hole] ** 2
            errors[name].append(10 * np.log10(255**2 / squares.mean()))
    means = {name: np.mean(decibels) for name, decibels in errors.items()}
    assert means["ours"] > means["push-pull"] + 1
    assert means["ours"] > means["Telea"] + 1
