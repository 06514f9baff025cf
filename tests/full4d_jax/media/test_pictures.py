"""Contact sheets show every picture in its place; drawings of cameras turn the right way."""

import av
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from input_pipeline import cameras


def test_depth_is_red_near_blue_far_and_black_where_unknown():
    near, far, unknown = pictures.color_depth(np.array([[[1.0, 20.0, 0.0]]]))[0, 0].astype(int)
    assert near[0] > near[2] + 50
    assert far[2] > far[0]
    assert unknown.tolist() == [0, 0, 0]


def test_contact_sheet_keeps_rows_and_columns():
    inks = np.array(
        [[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[250, 250, 0], [0, 9, 9], [9, 0, 9]]]
    )
    grid = np.broadcast_to(inks[:, :, None, None], (2, 3, 8, 12, 3)).astype(np.uint8)
    sheet = pictures.contact_sheet(grid, rows=["one", "two"], columns=list("abc"), cell_height=40)
    middles = np.array(
        [[np.argwhere((sheet == ink).all(-1)).mean(0) for ink in row] for row in inks]
    )
    assert (np.diff(middles[..., 0], axis=0) > 40).all()  # rows go down
    assert (np.diff(middles[..., 1], axis=1) > 60).all()  # columns go right, 40 * 12 / 8 wide
    counts = [(sheet == ink).all(-1).sum() for row in inks for ink in row]
    assert counts == [40 * 60] * 6


def test_headings_wider_than_their_pictures_do_not_overlap():
    black, heading = np.zeros((1, 2, 8, 8, 3), np.uint8), "some words and more of them"
    sheet = pictures.contact_sheet(black, rows=[""], columns=[heading] * 2, cell_height=60)
    above = (sheet[: -60 - pictures.MARGIN_PIXELS] != pictures.PAPER).any(-1)
    left, pitch = 2 * pictures.MARGIN_PIXELS, 60 + pictures.MARGIN_PIXELS
    first, second = above[:, left:][:, :pitch], above[:, left + pitch :][:, :pitch]
    assert first.sum() > 100
    np.testing.assert_array_equal(first, second)


def test_a_camera_to_the_right_and_above_is_drawn_there():
    intrinsics = np.stack([cameras.intrinsics_from_fov(60.0, 32, 32)] * 2)
    poses = cameras.orbit(np.array([0.0, 50.0]), np.array([0.0, 40.0]))[:, None]
    drawing = pictures.frustums(Cameras(intrinsics, poses, 32, 32), side=100).astype(int)

    def middle(panel: np.ndarray, channel: int) -> np.ndarray:
        others = panel.sum(-1) - panel[..., channel]
        return np.argwhere(panel[..., channel] > others / 2 + 60).mean(0)

    above, beside = drawing[:100], drawing[100:]
    assert middle(above, 2)[1] > middle(above, 0)[1] + 10  # blue target right of the red source
    assert middle(above, 2)[0] < middle(above, 0)[0]  # and nearer to the pivot in z
    assert middle(beside, 2)[0] < middle(beside, 0)[0] - 10  # and higher


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 2, 8, 12, 3), (256, 768)),
        ((5, 2, 8, 480, 3), (24, 7200)),
        ((5, 2, 8, 2000, 3), (8, 8192)),
    ],
)
def test_views_beside_each_other_are_as_large_as_players_show(tmp_path, shape, expected):
    """Enlarged views of a very wide video would be wider than encoders write."""
    pictures.write_side_by_side(tmp_path / "grid.mp4", np.zeros(shape, np.uint8), fps=2)
    with av.open(str(tmp_path / "grid.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.height, stream.width) == expected
