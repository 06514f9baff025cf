"""Cameras are judged by pictures alone, a wrong convention is named, and so is every bad frame."""

import numpy as np
import pytest
from textured_room import make_room

from input_pipeline import pinhole, transforms
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.checks.clip import check_clip
from input_pipeline.decoded_clip import decode_clip
from input_pipeline.importers import transforms_json
from input_pipeline.schema import Example

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
SWAP = np.eye(4)[[0, 2, 1, 3]]


@pytest.fixture(scope="module")
def room() -> Example:
    return make_room(views=3, height=160, width=224)


def checked(example: Example):
    return check_clip(example, decode_clip(example, 2))


def with_poses(example: Example, poses: np.ndarray) -> Example:
    return example._replace(world_to_camera=poses.astype(np.float32))


def test_right_cameras_miss_their_pictures_by_less_than_a_pixel(room):
    found = checked(room)
    assert found.problems == []
    assert found.error < 0.3
    assert "cameras agree" in found.notes[0]
    assert len(found.points) > 100
    off = np.abs(found.points / [2.0, 1.2, 3.0]).max(1).mean() - 1
    assert abs(off) < 0.02


def transposed(poses: np.ndarray) -> np.ndarray:
    return pinhole.rigid(np.swapaxes(poses[..., :3, :3], -1, -2), poses[..., :3, 3])


OPENGL = "camera axes are OpenGL's (x right, y up, z backward)"
INVERSE = "matrices are camera_to_world: invert them"
READ_WRONGLY = {
    OPENGL: lambda poses: FLIP @ poses,
    INVERSE: pinhole.invert,
    "rotations are transposed": transposed,
}


@pytest.mark.parametrize("hint", READ_WRONGLY)
def test_a_wrong_convention_is_named(room, hint):
    wrong = with_poses(room, READ_WRONGLY[hint](room.world_to_camera))
    (line,) = [line for line in checked(wrong).problems if " agree if " in line]
    assert line.split(" agree if ")[1] == hint


def test_a_mirrored_world_is_told_from_mirrored_cameras(room):
    found = checked(with_poses(room, room.world_to_camera @ SWAP))
    (line,) = found.problems
    assert "determinant -1" in line
    assert "negate one axis of the world" in line


def test_one_bad_calibration_is_found(room):
    poses = room.world_to_camera.copy()
    c, s = np.cos(np.radians(2)), np.sin(np.radians(2))
    turn = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]])
    poses[1] = turn @ poses[1]
    found = checked(with_poses(room, poses))
    (line,) = found.problems
    assert "bad pairs of views 0-1, 1-2" in line
    assert "view 1 first" in line
    errors = {(x.first, x.second): x.error for x in found.pairs if x.instant == 0}
    assert errors[0, 2] < 0.3
    assert min(errors[0, 1], errors[1, 2]) > 1.5


def test_clocks(make_example):
    room = make_example(t=4)
    times = room.timestamps.copy()
    times[2] += [0, 0, 0, 0.3]
    found = checked(room._replace(timestamps=times))
    assert found.drift == pytest.approx(0.3, abs=1e-6)
    assert any("view 2 0.3 s from view 0 at frame 3" in line for line in found.problems)
    (line,) = checked(room._replace(fps=25.0)).problems
    assert line == "fps: found 25, expected 10 by the timestamps"


def test_light_sizes_and_files(make_example):
    room = make_example()
    frames = room.frames.copy()
    dark = transforms.decode_jpeg(frames[1, 0]) // 3
    frames[1] = transforms.encode_jpeg(dark)
    frames[2, 1] = transforms.encode_jpeg(np.zeros((20, 32, 3), np.uint8))
    frames[0, 1] = frames[0, 1][:300]
    found = checked(room._replace(frames=frames))
    for part in (
        "frames: view 0, frame 1: found 300 bytes that end too early",
        "sizes [(20, 32), (24, 32)] in view 2",
        "found 1 of view 1 equal to the one before",
    ):
        assert any(part in line for line in found.problems), part
    assert any("stops darker than the median view" in line for line in found.notes)
    same = room._replace(frames=room.frames[[0, 1, 0]])
    assert any("view 0 again in view 2" in line for line in checked(same).problems)
    twice = np.array([[2], [2], [1]], np.float32)
    half = room._replace(intrinsics=room.intrinsics * twice)
    assert sum("are they for another size?" in x for x in checked(half).problems) == 3


def test_real_photos_agree_with_their_cameras_and_not_if_read_as_opengl(shared_data):
    (capture,) = transforms_json.read(shared_data / "data" / "fox_photos", None)
    (example,) = CaptureClips([capture._replace(views=capture.views[:4])])
    right = checked(example)
    assert right.problems == []
    assert right.error < 0.5
    (line,) = checked(with_poses(example, FLIP @ example.world_to_camera)).problems
    assert line.endswith(f"agree if {OPENGL}")
