"""Clips show one instant in all views, undistorted and resized with their cameras."""

import cv2
import numpy as np
import pytest

from input_pipeline import pinhole, transforms
from input_pipeline.capture import make_capture, make_view, turned
from input_pipeline.capture_clips import CaptureClips

LENS = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])


def film_capture(films, **options):
    views = [
        make_view(name, [path], LENS, np.eye(4), size=(48, 64), **options.get(name, {}))
        for name, path in films.items()
    ]
    return make_capture("scene", views)


def levels(files):
    return [
        [round(float(transforms.decode_jpeg(f)[-8:, -8:].mean()) / 20) for f in v]
        for v in files
    ]


def test_different_rates_and_offsets_are_aligned_by_time(tmp_path, make_video):
    fast = make_video(tmp_path / "fast.mp4", range(0, 40, 4))  # 25 a second
    # 10 a second, begins 0.12 s later.
    slow = make_video(tmp_path / "slow.mp4", range(0, 40, 10))
    capture = film_capture({"fast": fast, "slow": slow}, slow={"offset": 0.12})
    (example,) = CaptureClips([capture])
    # At 0.12, 0.22 and 0.32 s: frames 3, 5 or 6, 8 of the fast one; it ends at 0.36 s.
    fast_levels, slow_levels = levels(example.frames)
    assert slow_levels == [0, 1, 2]
    assert fast_levels[::2] == [3, 8]
    assert np.abs(np.diff(example.timestamps, axis=0)).max() <= 0.0201
    assert example.fps == pytest.approx(1 / 0.1, rel=0.21)


def test_views_that_never_film_together_are_refused(tmp_path, make_video):
    paths = {x: make_video(tmp_path / f"{x}.mp4", range(0, 24, 4)) for x in "ab"}
    with pytest.raises(ValueError, match=r"instant \(a 0.00 to 0.20 s, b 5.00 to 5.20"):
        CaptureClips([film_capture(paths, b={"offset": 5.0})])


def test_clips_are_cut_without_overlap_and_the_rest_is_counted(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", range(0, 44, 4))
    clips = CaptureClips([film_capture({"a": path})], frames=3)
    shown = [levels(clip.frames)[0] for clip in clips]
    assert shown == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert clips.left_out == 2
    assert clips.scene_ids == ["scene"] * 3
    late = CaptureClips([film_capture({"a": path})], frames=2, instants=(4, 9))
    assert late.left_out == 1
    assert [levels(clip.frames) for clip in late] == [[[4, 5]], [[6, 7]]]
    (every_second,) = CaptureClips([film_capture({"a": path})], frames=5, stride=2)
    assert levels(every_second.frames) == [[0, 2, 4, 6, 8]]


def test_distortion_is_undone_and_cameras_follow_the_size(tmp_path):
    y, x = np.mgrid[:96, :128]
    smooth = np.round(127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), smooth)
    lens = np.array([[120.0, 0, 64], [0, 120.0, 48], [0, 0, 1]])
    bent = [0.2, -0.1, 0.003, -0.002]
    file = tmp_path / "a.png"
    view = make_view("a", [file], lens, np.eye(4), size=(96, 128), distortion=bent)
    capture = make_capture("s", [view])
    (whole,), (half,) = CaptureClips([capture]), CaptureClips([capture], size=48)
    centred = lens - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # OpenCV's pixel centres
    flat = whole.intrinsics[0].astype(np.float64) + (centred - lens)
    expected = cv2.undistort(smooth, centred, np.array(bent), None, flat)
    inside = np.s_[8:-8, 8:-8]
    found = transforms.decode_jpeg(whole.frames[0, 0])[..., 0].astype(int)
    assert np.abs(found - expected)[inside].mean() < 1.5
    assert np.abs(found - smooth.astype(int))[inside].mean() > 3
    small = transforms.decode_jpeg(half.frames[0, 0])[..., 0].astype(int)
    reduced = cv2.resize(expected, (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(small - reduced)[4:-4, 4:-4].mean() < 2.5
    assert 1 < whole.intrinsics[0, 0, 0] / 120 < 1.1  # no border stays black
    halved = whole.intrinsics[0] * np.array([[0.5], [0.5], [1]])
    np.testing.assert_allclose(half.intrinsics[0], halved, rtol=0.01)
    assert not whole.distortion.any()


def test_transparency_becomes_a_mask_unless_there_is_one(tmp_path, write_pictures):
    alpha = np.zeros((24, 32), np.uint8)
    alpha[6:12, 8:20] = 255
    grey = np.full((24, 32, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([grey, alpha]))
    cv2.imwrite(str(tmp_path / "m.png"), 255 - alpha)
    for masks, expected in (((), alpha), ([tmp_path / "m.png"], 255 - alpha)):
        view = make_view("a", [tmp_path / "a.png"], LENS, np.eye(4), masks=masks)
        (example,) = CaptureClips([make_capture("s", [view])])
        mask = transforms.decode_mask(example.masks[0, 0])
        np.testing.assert_array_equal(mask, expected)
    write_pictures([tmp_path / "b.png"], size=(24, 32))
    opaque = make_view("b", [tmp_path / "b.png"], LENS, np.eye(4))
    assert not CaptureClips([make_capture("s", [opaque])])[0].masks[0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamps": [0.0, 0.1, 0.1]}, "timestamps: found 0.1 s after 0.1 s"),
        ({"size": (40, 64)}, "camera a, size: found calibrated at 64x40"),
    ],
)
def test_views_that_are_wrong_are_refused(tmp_path, write_pictures, changes, message):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    write_pictures(files, size=(48, 64))
    with pytest.raises(ValueError, match=message):
        make_view("a", files, LENS, np.eye(4), **changes)


def test_resized_and_padded_pictures_keep_their_rays(tmp_path):
    """A white dot of a calibrated picture, in the copies that ffmpeg's scale and pad make."""
    picture = np.full((96, 128, 3), 90, np.uint8)
    picture[60:64, 100:104] = 255
    ray = np.linalg.inv(LENS) @ [102, 62, 1]
    half = cv2.resize(picture, (64, 48), interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(half, 8, 8, 0, 0, cv2.BORDER_CONSTANT)
    for name, copy in (("half", half), ("padded", padded)):
        file = tmp_path / f"{name}.png"
        cv2.imwrite(str(file), copy)
        view = make_view(name, [file], LENS, np.eye(4), size=(96, 128))
        rows, columns = np.nonzero(copy[..., 0] > 200)
        dot = view.intrinsics @ ray
        middle = [columns.mean() + 0.5, rows.mean() + 0.5]
        np.testing.assert_allclose(dot[:2], middle, atol=1e-9)
        assert name == "half" or "padded" in view.note


def test_a_camera_on_its_side_is_turned_with_all_that_belongs_to_it(tmp_path):
    """A bright square lies where the camera projects it, before and after."""
    height, width = 60, 100
    lens = np.array([[90.0, 0, 54], [0, 88.0, 27], [0, 0, 1]])
    pose = pinhole.look_at(np.array([0.3, -0.2, -1.0]), np.array([0.1, 0.0, 1.0]))
    bent = [0.05, 0.01, 0.003, -0.004]
    picture = np.full((height, width, 3), 20, np.uint8)
    point = np.array([0.05, 0.1, 1.0])
    seen = pose[:3, :3] @ point + pose[:3, 3]
    zero = np.zeros(3)
    pixel = cv2.projectPoints(seen, zero, zero, lens, np.array(bent))[0].ravel()
    x, y = np.floor(pixel).astype(int)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 240
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "m.png"), np.where(picture[..., 0] > 100, 255, 0))
    np.save(tmp_path / "d.npy", np.where(picture[..., 0] > 100, seen[2], 9.0))
    beside: dict = {"depth": [tmp_path / "d.npy"], "masks": [tmp_path / "m.png"]}
    beside |= {"size": (height, width), "distortion": bent}
    view = make_view("a", [tmp_path / "a.png"], lens, pose, **beside)
    (capture,) = turned([make_capture("s", [view])], {"a": 90})
    (example,) = CaptureClips([capture])
    clip = transforms.decode(example, height=width, width=height)
    there = clip.intrinsics[0] @ (clip.world_to_camera[0, 0, :3] @ [*point, 1])
    bright = clip.frames[0, 0, ..., 0] > 120
    for found in (bright, clip.masks[0, 0] > 0, clip.depth[0, 0] < 8):
        rows, columns = np.nonzero(found)
        middle = np.array([columns.mean(), rows.mean()]) + 0.5
        np.testing.assert_allclose(middle, there[:2] / there[2], atol=0.7)
    down = example.world_to_camera[0, 0, 1, :3]  # was to the right
    np.testing.assert_allclose(down, pose[0, :3], atol=1e-6)
