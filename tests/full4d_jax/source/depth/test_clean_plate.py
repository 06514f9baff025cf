"""The clean plate: what a camera at rest never sees goes on as the wall around it does."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from one_view import one_view

from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.grid import CleanPlate, Grid
from full4d_jax.media.video_io import crop_resize
from full4d_jax.source.backdrop import Backdrop
from full4d_jax.source.depth.resting_scene import (
    BEYOND_SHARE,
    clean_plate,
    depth_within,
    inpainted,
)
from full4d_jax.source.subjects import Subjects
from input_pipeline.media_files import PICTURES, listed, read_picture

TIMES, HEIGHT, WIDTH = 3, 48, 64
BEYOND = round(BEYOND_SHARE * HEIGHT), round(BEYOND_SHARE * WIDTH)
PERSON = slice(12, 40), slice(20, 34)
# A wall that recedes to the right.
WALL = np.broadcast_to(1 / np.linspace(1.0, 0.5, WIDTH), (HEIGHT, WIDTH)).astype(
    np.float32
)


def hidden_all_the_time() -> tuple[Grid, Subjects]:
    """A person before the wall; other pictures show the wall but for its lowest rows."""
    depth = np.stack([WALL] * TIMES)
    labels = np.zeros(depth.shape, np.int32)
    for t in range(TIMES):
        labels[t][PERSON] = 1
        depth[t][PERSON] = 0.6
    frames = np.where(labels[..., None] > 0, 200, 90).astype(np.uint8).repeat(3, -1)
    known = np.ones((HEIGHT, WIDTH), bool)
    known[36:40, 20:34] = False
    added = labels[0] > 0
    added[36:40] = False
    backdrop = Backdrop(np.full((HEIGHT, WIDTH, 3), 90, np.float32), known, added)
    return one_view(frames, depth), Subjects(labels, ("person",), backdrop)


def plate_of_person() -> CleanPlate:
    """The clean plate behind that person."""
    return clean_plate(*hidden_all_the_time(), lambda _: 7 * WALL**0.8)


def picture_within(plate: CleanPlate) -> np.ndarray:
    """The part of a plate that its camera sees."""
    rows, columns = BEYOND
    return plate.frame[rows : rows + HEIGHT, columns : columns + WIDTH].astype(int)


def test_depth_goes_on_behind_a_person_whatever_the_network_scales_by():
    plate = plate_of_person()
    behind = depth_within(plate, HEIGHT, WIDTH)
    is_known = behind > 0
    assert is_known[PERSON].all()
    assert not is_known[:8].any(), "an instant shows the wall there"
    np.testing.assert_allclose(behind[is_known], WALL[is_known], rtol=0.03)
    inner = picture_within(plate)
    assert (inner[12:36, 20:34] == 90).all(), "other pictures show the wall"
    assert (abs(inner - 90) <= 4).all(), "no picture shows the wall everywhere"


def test_the_wall_goes_on_beyond_the_borders():
    plate, (rows, columns) = plate_of_person(), BEYOND
    assert plate.depth.shape == (HEIGHT + 2 * rows, WIDTH + 2 * columns)
    assert (plate.depth[:rows] > 0).all()
    np.testing.assert_allclose(plate.depth[:, :columns], WALL[0, 0], rtol=0.05)
    np.testing.assert_allclose(plate.depth[:, -columns:], WALL[0, -1], rtol=0.05)


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
    holes = hole.astype(np.uint8)
    large_hole = cv2.resize(holes, (961, 769), interpolation=cv2.INTER_NEAREST) > 0
    filled = inpainted(small, hole)
    enlarged = cv2.resize(filled, (961, 769)).astype(int)
    error = np.abs(inpainted(large, large_hole).astype(int) - enlarged)
    assert error[large_hole].mean() < 8
    assert (filled[124:136, 158:162] < 100).all(), "the stripe goes on through the hole"


def somebody(rng: np.random.Generator) -> np.ndarray:
    """Mask of a person of limbs, somewhere in a picture of 256 x 256."""
    hole = np.zeros((256, 256), np.uint8)
    hips = rng.integers([60, 100], [196, 150])
    for joint, width in (
        ((0, -90), 60),
        ((-30, 90), 24),
        ((30, 90), 24),
        ((60, -40), 20),
    ):
        cv2.line(hole, tuple(map(int, hips)), tuple(map(int, hips + joint)), 1, width)
    return hole > 0


def test_unseen_photographs_are_nearer_to_the_truth_than_by_averages(shared_data):
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
