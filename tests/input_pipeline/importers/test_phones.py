"""Files of the apps Record3D and Stray Scanner come back: poses, lens, depth."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stray_folder import DEPTH_SIZE, FPS, SIZE, UNSURE, write_stray
from textured_room import FOV, HALF

from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers import record3d, stray
from input_pipeline.importers.detect import detect, read_captures, require_inside
from input_pipeline.pinhole import intrinsics_from_fov, invert, look_at, unproject
from input_pipeline.transforms import decode

TURNS = (0.0, 0.2, 0.4, 0.6)


def poses() -> np.ndarray:
    """World-to-camera (4 4 4) of a camera that walks and looks at one place."""
    eyes = [np.array([np.sin(turn), -0.1 * turn, -np.cos(turn)]) for turn in TURNS]
    return np.array([look_at(eye, np.zeros(3)) for eye in eyes])


@pytest.fixture
def phone(tmp_path, write_pictures) -> Path:
    """Four pictures of half the pixels that the lens is of; depth of 3 x 2, as it lies unpacked."""
    path = tmp_path / "walk"
    write_pictures([path / f"rgbd/{i}.jpg" for i in (8, 9, 10, 11)], size=(48, 64))
    table: dict = {"w": 128, "h": 96, "dw": 4, "dh": 3, "fps": 60, "poses": []}
    table["K"] = [90, 0, 0, 0, 91, 0, 63, 47, 1]
    for i, pose in zip((8, 9, 10, 11), poses(), strict=True):
        (path / f"rgbd/{i}.depth").touch()
        there = invert(pose) @ np.diag([1, -1, -1, 1])  # OpenGL's axes
        turn = Rotation.from_matrix(there[:3, :3]).as_quat()
        table["poses"].append([*turn, *there[:3, 3]])
    (path / "metadata").write_text(json.dumps(table))
    return path


def rewritten(path: Path, **fields: object) -> None:
    table = json.loads((path / "metadata").read_text())
    (path / "metadata").write_text(json.dumps(table | fields))


def test_record3d_has_a_pose_a_picture(phone):
    assert detect(phone)[0] == "record3d"
    (capture,) = record3d.read(phone, None)
    (view,) = capture.views
    assert [file.name for file in view.files] == ["8.jpg", "9.jpg", "10.jpg", "11.jpg"]
    assert capture.unit == 1
    np.testing.assert_allclose(view.world_to_camera, poses(), atol=1e-9)
    lens = [[45, 0, 31.5], [0, 45.5, 23.5], [0, 0, 1]]
    np.testing.assert_allclose(view.intrinsics, lens)
    np.testing.assert_allclose(view.timestamps, np.arange(4) / 60)
    lenses = [[80 + i, 80, 64, 48] for i in range(4)]
    rewritten(phone, perFrameIntrinsicCoeffs=lenses, frameTimestamps=[5, 5.1, 5.3, 5.4])
    (capture,) = record3d.read(phone, None)
    (view,) = capture.views
    lens = [[40.75, 0, 32], [0, 40, 24], [0, 0, 1]]
    np.testing.assert_allclose(view.intrinsics, lens)
    np.testing.assert_allclose(view.timestamps, [0, 0.1, 0.3, 0.4])
    assert "focal length varies by 3.7%" in capture.note


@pytest.mark.extra("lzfse")
def test_record3d_has_depth_in_metres(phone):
    import lzfse

    metres = np.full((3, 4), 1.5, np.float32)
    metres[:, 2:] = 3
    metres[0] = np.nan  # unknown
    for file in (phone / "rgbd").glob("*.depth"):
        file.write_bytes(lzfse.compress(metres.tobytes()))
    captures = record3d.read(phone, None)
    (example,) = CaptureClips(captures)
    depth = decode(example, height=48, width=64).depth
    assert not depth[..., :16, :].any()
    np.testing.assert_allclose(depth[..., 16:, :32], 1.5, rtol=1e-3)
    np.testing.assert_allclose(depth[..., 16:, 32:], 3, rtol=1e-3)
    (phone / "rgbd/9.depth").write_bytes(lzfse.compress(metres[1:].tobytes()))
    with pytest.raises(ValueError, match=r"9\.depth: found 32 bytes, expected 48, 4x3"):
        CaptureClips(captures)[0]
    (phone / "rgbd/9.depth").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"9\.depth: found .*, expected 4x3 depth"):
        CaptureClips(captures)[0]


def packed(phone: Path) -> Path:
    """The folder as the .r3d file that it is unpacked from."""
    file = phone.with_name("walk.r3d")
    with zipfile.ZipFile(file, "w") as archive:
        for member in sorted(phone.rglob("*.*")):
            archive.write(member, member.relative_to(phone))
        archive.write(phone / "metadata", "metadata")
    return file


def test_record3d_unpacks_nothing_else(phone):
    file = packed(phone)
    names = ["../evil", "/tmp/evil", "rgbd/../../9.jpg", "rgbd/x/9.jpg"]
    names += ["rgbd\\9.jpg", "a.jpg"]
    with zipfile.ZipFile(file, "a") as archive:
        for name in names:
            archive.writestr(name, b"")
        link = zipfile.ZipInfo("rgbd/12.jpg")
        link.external_attr = 0o120777 << 16  # a link, in the attributes of Unix
        archive.writestr(link, "/etc/hostname")
    with record3d.unpacked(file) as folder:
        unpacked = [path for path in folder.parent.rglob("*") if not path.is_dir()]
        expected = [f"rgbd/{i}.{end}" for i in range(8, 12) for end in ("jpg", "depth")]
        expected += ["metadata", "rgbd/12.jpg"]
        found = [str(path.relative_to(folder)) for path in unpacked]
        assert sorted(found) == sorted(expected)
        assert (folder / "rgbd/12.jpg").read_bytes() == b"/etc/hostname"
        assert not (folder / "rgbd/12.jpg").is_symlink()


def test_poses_lens_and_times_are_those_of_the_phone(tmp_path):
    poses = write_stray(tmp_path, 4)
    assert detect(tmp_path)[0] == "stray"
    (capture,) = stray.read(tmp_path, None)
    (view,) = capture.views
    assert capture.unit == 1
    np.testing.assert_allclose(view.world_to_camera, poses, atol=1e-6)
    lens = intrinsics_from_fov(FOV, *SIZE)
    np.testing.assert_allclose(view.intrinsics, lens, atol=1e-5)
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
        points = unproject(depth[0, frame], example.intrinsics[0], poses[frame])
        reach = np.abs(points[:, unsure:]) / HALF
        # From the nearest wall of the one room; depth has half of the pixels, and is not averaged.
        assert np.quantile(np.abs(reach - 1).min(-1), 0.9) < 0.02
        assert (reach < 1.03).all()


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
    message = "found no 000000.png, 000013.png, 000019.png in depth/ .* of 3 of 20"
    with pytest.raises(ValueError, match=f"{message} frames, expected at most 10%"):
        stray.read(tmp_path, None)


def test_a_lens_of_another_film_is_named(tmp_path):
    write_stray(tmp_path, 2)
    (tmp_path / "camera_matrix.csv").write_text("1600, 0, 960\n0, 1600, 720\n0, 0, 1\n")
    message = "found the lens's centre at 960, 720 of a video of 128x96, expected"
    with pytest.raises(ValueError, match=message):
        read_captures(tmp_path, "stray", None)
