"""What the app Stray Scanner writes comes back: poses, lens, depth that agrees in the world."""

import numpy as np
import pytest
from stray_folder import DEPTH_SIZE, FPS, SIZE, UNSURE, write_stray
from textured_room import FOV, HALF

from input_pipeline.cameras import intrinsics_from_fov, unproject
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers import stray
from input_pipeline.importers.detect import detect, read_captures, require_inside
from input_pipeline.transforms import decode


def test_poses_lens_and_times_are_those_of_the_phone(tmp_path):
    poses = write_stray(tmp_path, 4)
    assert detect(tmp_path)[0] == "stray"
    (capture,) = stray.read(tmp_path, None)
    (view,) = capture.views
    assert capture.unit == 1
    np.testing.assert_allclose(view.world_to_camera, poses, atol=1e-6)
    np.testing.assert_allclose(view.intrinsics, intrinsics_from_fov(FOV, *SIZE), atol=1e-5)
    np.testing.assert_allclose(view.timestamps, np.arange(4) / FPS, atol=1e-6)
    require_inside(tmp_path, [capture])


def test_newer_versions_have_a_lens_a_frame(tmp_path):
    write_stray(tmp_path, 3, lenses=True)
    (capture,) = stray.read(tmp_path, None)
    focal = intrinsics_from_fov(FOV, *SIZE)[0, 0]
    assert capture.views[0].intrinsics[0, 0] == pytest.approx(focal + 1, abs=1e-5)
    assert "the focal length varies by 2.0%; its median is taken" in capture.note


def test_depth_of_two_frames_agrees_in_the_world(tmp_path):
    poses = write_stray(tmp_path, 4)
    (example,) = CaptureClips(stray.read(tmp_path, None))
    depth = decode(example, height=SIZE[0], width=SIZE[1]).depth
    unsure = UNSURE * SIZE[1] // DEPTH_SIZE[1]
    assert not depth[..., :unsure].any()  # 0.1 m by the files, whose confidence is 0
    for frame in (0, 3):
        points = unproject(depth[0, frame], example.intrinsics[0], poses[frame])[:, unsure:]
        off = np.abs(np.abs(points) / HALF - 1).min(-1)  # from the nearest wall of the one room
        assert np.quantile(off, 0.9) < 0.02  # depth has half of the pixels, and is not averaged
        assert (np.abs(points) < HALF * 1.03).all()


def test_lost_pictures_of_depth_leave_it_unknown_and_many_are_refused(tmp_path):
    write_stray(tmp_path, 20)
    (tmp_path / "depth/000000.png").unlink()
    (tmp_path / "confidence/000013.png").unlink()
    (capture,) = stray.read(tmp_path, None)
    note = "depth of 2 of 20 frames is unknown, whose pictures are missing: 000000.png, 000013.png"
    assert note in capture.note
    require_inside(tmp_path, [capture])
    (example,) = CaptureClips([capture])
    depth = decode(example, height=SIZE[0], width=SIZE[1]).depth[0]
    assert [t for t in range(20) if not depth[t].any()] == [0, 13]
    unsure = UNSURE * SIZE[1] // DEPTH_SIZE[1]
    whole = [t for t in range(20) if t not in (0, 13)]
    assert (depth[whole, :, unsure:] > 0).all()
    (tmp_path / "depth/000019.png").unlink()
    message = (
        "files: found no 000000.png, 000013.png, 000019.png in depth/ or confidence/, of 3 of 20"
    )
    with pytest.raises(ValueError, match=f"{message} frames, expected at most 10% of them lost"):
        stray.read(tmp_path, None)


def test_a_lens_of_another_film_is_named(tmp_path):
    write_stray(tmp_path, 2)
    (tmp_path / "camera_matrix.csv").write_text("1600, 0, 960\n0, 1600, 720\n0, 0, 1\n")
    message = "found the lens's centre at 960, 720 of a film of 128x96, expected it in the middle"
    with pytest.raises(ValueError, match=message):
        read_captures(tmp_path, "stray", None)
