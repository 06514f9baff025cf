"""Values that are affine in disparity become exact depth; values that are not are refused."""

import numpy as np
import pytest
from textured_room import make_room

from input_pipeline import transforms
from input_pipeline.depth_alignment import add_depth, fit_line, to_depth
from input_pipeline.matches import distort_points
from input_pipeline.pinhole import nearest_to_axes
from input_pipeline.schema import validate

LENS = np.array([-0.2, 0.05, 0.001, -0.001, 0, 0, 0, 0], np.float32)


@pytest.fixture(scope="module")
def room():
    return make_room(views=3, height=160, width=224, lens=LENS)


def bare(example):
    return example._replace(depth16=np.full_like(example.depth16, b""))


def oracle(example, scale=-3.0, shift=7.0):
    """Values for pictures of the example, negative disparity at half the size."""
    frames = map(transforms.decode_jpeg, example.frames.ravel())
    files = map(transforms.decode_depth, example.depth16.ravel())
    depth = {frame.tobytes(): z for frame, z in zip(frames, files, strict=True)}
    return lambda frame: (scale / depth[frame.tobytes()] + shift)[::2, ::2]


def test_scale_and_shift_come_from_the_cameras(room):
    filled = validate(add_depth(bare(room), oracle(room)))
    files = zip(filled.depth16.ravel(), room.depth16.ravel(), strict=True)
    for depth, true in (map(transforms.decode_depth, pair) for pair in files):
        assert (depth > 0).mean() > 0.99
        assert np.median(np.abs(depth / true - 1)) < 0.02


def test_depth_that_is_there_is_kept(room):
    some = room.depth16.copy()
    some[1:] = b""
    filled = add_depth(room._replace(depth16=some), oracle(room))
    assert (filled.depth16[0] == room.depth16[0]).all()
    assert all(filled.depth16.ravel())


def test_values_that_say_nothing_are_refused(room):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"view 0: depth: found .* expected"):
        add_depth(bare(room), lambda frame: rng.random(frame.shape[:2], np.float32))


def test_the_line_survives_wrong_matches():
    rng = np.random.default_rng(1)
    depth = rng.uniform(1, 6, 200)
    values = 5 / depth - 2 + rng.normal(0, 0.01, 200)
    depth[:60] = rng.uniform(1, 6, 60)
    line = fit_line(values, depth)
    assert line.scale == pytest.approx(0.2, rel=0.02)
    assert line.shift == pytest.approx(0.4, rel=0.02)
    far = to_depth(np.array([[-2.0, 5 / 3 - 2, 200]]), line)
    assert far[0, 0] == far[0, 2] == 0
    assert far[0, 1] == pytest.approx(3, rel=0.02)


def test_cameras_that_look_at_one_place_tell_the_scale(room):
    """The values are true disparity up to a factor; the depth comes out in the cameras' units."""
    found = add_depth(bare(room), oracle(room, 5.0, 0.0), scale="axes").depth16[:, 0]
    poses = room.world_to_camera[:, 0].astype(np.float64)
    middle = nearest_to_axes(poses)
    assert middle is not None
    for view, depth in enumerate(map(transforms.decode_depth, found)):
        true = transforms.decode_depth(room.depth16[view, 0])
        # What the camera sees there lies behind or before the point itself: that is the factor.
        row, column = center_pixel(room, view, middle)
        factor = (poses[view] @ [*middle, 1])[2] / true[row, column]
        assert np.median(np.abs(depth / true / factor - 1)[depth > 0]) < 0.02


def center_pixel(example, view, point):
    x = example.world_to_camera[view, 0].astype(np.float64) @ [*point, 1]
    pixel = (example.intrinsics[view] @ x[:3])[:2] / x[2]
    lens = example.intrinsics[view], example.distortion[view]
    column, row = np.floor(distort_points(pixel[None], *lens)[0]).astype(int)
    return row, column
