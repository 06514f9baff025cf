"""One camera with depth, written as Record3D has it, comes back."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import invert, look_at
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers import record3d
from input_pipeline.importers.detect import detect
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
    table = {"w": 128, "h": 96, "dw": 4, "dh": 3, "fps": 60, "K": [90, 0, 0, 0, 91, 0, 63, 47, 1]}
    table["poses"] = []
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
    np.testing.assert_allclose(view.intrinsics, [[45, 0, 31.5], [0, 45.5, 23.5], [0, 0, 1]])
    np.testing.assert_allclose(view.timestamps, np.arange(4) / 60)
    lenses = [[80 + i, 80, 64, 48] for i in range(4)]
    rewritten(phone, perFrameIntrinsicCoeffs=lenses, frameTimestamps=[5, 5.1, 5.3, 5.4])
    (capture,) = record3d.read(phone, None)
    (view,) = capture.views
    np.testing.assert_allclose(view.intrinsics, [[40.75, 0, 32], [0, 40, 24], [0, 0, 1]])
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
    with pytest.raises(ValueError, match=r"9\.depth: found 32 bytes, expected 48, 4x3 depth"):
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
    names = ["../evil", "/tmp/evil", "rgbd/../../9.jpg", "rgbd/x/9.jpg", "rgbd\\9.jpg", "a.jpg"]
    with zipfile.ZipFile(file, "a") as archive:
        for name in names:
            archive.writestr(name, b"")
        link = zipfile.ZipInfo("rgbd/12.jpg")
        link.external_attr = 0o120777 << 16  # a link, in the attributes of Unix
        archive.writestr(link, "/etc/hostname")
    with record3d.unpacked(file) as folder:
        unpacked = [path for path in folder.parent.rglob("*") if not path.is_dir()]
        expected = [f"rgbd/{i}{end}" for i in (8, 9, 10, 11) for end in (".jpg", ".depth")]
        expected += ["metadata", "rgbd/12.jpg"]
        assert sorted(str(path.relative_to(folder)) for path in unpacked) == sorted(expected)
        assert (folder / "rgbd/12.jpg").read_bytes() == b"/etc/hostname"
        assert not (folder / "rgbd/12.jpg").is_symlink()
