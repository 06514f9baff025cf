"""Contact sheets show every picture in its place; drawings of cameras turn the right way."""

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from input_pipeline import cameras


def test_depth_is_red_near_blue_far_and_black_where_unknown():
    near, far, unknown = pictures.color_depth(np.array([[[1.0, 20.0, 0.0]]]))[0, 0].astype(
        int
    )
    assert near[0] > near[2] + 50
    assert far[2] > far[0]
    assert unknown.tolist() == [0, 0, 0]


def test_contact_sheet_keeps_rows_and_columns():
    inks = np.array(
        [[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[250, 250, 0], [0, 9, 9], [9, 0, 9]]]
    )
    grid = np.broadcast_to(inks[:, :, None, None], (2, 3, 8, 12, 3)).astype(np.uint8)
    sheet = pictures.contact_sheet(
        grid, rows=["one", "two"], columns=list("abc"), cell_height=40
    )
    middles = np.array(
        [[np.argwhere((sheet == ink).all(-1)).mean(0) for ink in row] for row in inks]
    )
    assert (np.diff(middles[..., 0], axis=0) > 40).all()  # rows go down
    # Columns go right, 40 * 12 / 8 wide.
    assert (np.diff(middles[..., 1], axis=1) > 60).all()
    counts = [(sheet == ink).all(-1).sum() for row in inks for ink in row]
    assert counts == [40 * 60] * 6


def test_a_camera_to_the_right_and_above_is_drawn_there():
    intrinsics = np.stack([cameras.intrinsics_from_fov(60.0, 32, 32)] * 2)
    poses = cameras.orbit(np.array([0.0, 50.0]), np.array([0.0, 40.0]))[:, None]
    drawing = pictures.frustums(Cameras(intrinsics, poses, 32, 32), side=100).astype(int)

    def middle(panel: np.ndarray, channel: int) -> np.ndarray:
        others = panel.sum(-1) - panel[..., channel]
        return np.argwhere(panel[..., channel] > others / 2 + 60).mean(0)

    above, beside = drawing[:100], drawing[100:]
    # Blue target right of the red source.
    assert middle(above, 2)[1] > middle(above, 0)[1] + 10
    assert middle(above, 2)[0] < middle(above, 0)[0]  # and nearer to the pivot in z
    assert middle(beside, 2)[0] < middle(beside, 0)[0] - 10  # and higher
