"""One camera with depth, written as TUM RGB-D, ScanNet, Kubric and Record3D have it, comes back."""

import json
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from input_pipeline.cameras import invert, look_at
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers import kubric, record3d, scannet, tum_rgbd
from input_pipeline.importers.detect import detect
from input_pipeline.transforms import decode

TURNS = (0.0, 0.2, 0.4, 0.6)


def poses() -> np.ndarray:
    """World-to-camera (4 4 4) of a camera that walks and looks at one place."""
    eyes = [np.array([np.sin(turn), -0.1 * turn, -np.cos(turn)]) for turn in TURNS]
    return np.array([look_at(eye, np.zeros(3)) for eye in eyes])


def quaternion(rotation: np.ndarray) -> list[float]:
    """The rotation as x, y, z, w."""
    vector, _ = cv2.Rodrigues(rotation)
    angle = float(np.linalg.norm(vector))
    axis = vector[:, 0] / (angle or 1)
    return [*(np.sin(angle / 2) * axis), np.cos(angle / 2)]


def write_picture(file: Path, value: int, *, depth: bool) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = (
        np.full((48, 64), value, np.uint16) if depth else np.full((48, 64, 3), value, np.uint8)
    )
    assert cv2.imwrite(str(file), picture)


@pytest.fixture
def tum(tmp_path) -> Path:
    """Four pictures, the last without depth, and poses at other times than theirs."""
    path = tmp_path / "freiburg"
    rows = {"rgb": ["# timestamp filename"], "depth": [], "groundtruth": ["# timestamp tx ty tz"]}
    for i, pose in enumerate(poses()):
        time = 1305031102.0 + i / 30
        write_picture(path / f"rgb/{i}.png", 50 + i, depth=False)
        rows["rgb"].append(f"{time:.6f} rgb/{i}.png")
        if i < 3:
            write_picture(path / f"depth/{i}.png", 5000 * (i + 1), depth=True)
            rows["depth"].append(f"{time + 0.005:.6f} depth/{i}.png")
        there = invert(pose)
        numbers = [*there[:3, 3], *quaternion(there[:3, :3])]
        rows["groundtruth"].append(f"{time - 0.004:.6f} " + " ".join(f"{x:.9f}" for x in numbers))
    for name, lines in rows.items():
        (path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return path


def test_tum_has_depth_and_poses_at_the_times_of_its_pictures(tum):
    assert detect(tum)[0] == "tum_rgbd"
    (capture,) = tum_rgbd.read(tum, None)
    (view,) = capture.views
    assert [file.name for file in view.files] == ["0.png", "1.png", "2.png"]
    assert [file and file.parent.name for file in view.depth] == ["depth"] * 3
    assert view.depth_scale == 1 / 5000
    assert capture.unit == 1
    assert "1 of 4 pictures have no depth or no pose" in capture.note
    np.testing.assert_allclose(view.timestamps, [0, 1 / 30, 2 / 30], atol=1e-5)
    np.testing.assert_allclose(view.world_to_camera, poses()[:3], atol=1e-7)
    # The pictures have a tenth of the 640 x 480 pixels that the lens is of.
    np.testing.assert_allclose(view.intrinsics, [[52.5, 0, 32], [0, 52.5, 24], [0, 0, 1]])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rgb.txt", "1.0 a.png b\n", "expected a time and a file"),
        ("rgb.txt", "2.0 rgb/0.png\n1.0 rgb/1.png\n", "times that go back"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0\n", "expected rows of 8 numbers"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0 2\n", "rotation of length 2"),
        (
            "groundtruth.txt",
            "1.0 0 0 0 0 0 0 1\n2.0 0 0 0 0 0 0 1\n",
            "no picture with depth and a",
        ),
        ("depth.txt", "", "expected rows of finite numbers"),
    ],
)
def test_tum_says_which_file_is_wrong(tum, file, content, message):
    (tum / file).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        tum_rgbd.read(tum, None)
    assert (file if "no picture" not in message else "rgb.txt") in str(error.value)


@pytest.fixture
def scan(tmp_path) -> Path:
    """Four pictures of which the tracking lost one; the 10th comes after the 9th."""
    path = tmp_path / "scene0000_00"
    for i, pose in zip((8, 9, 10, 11), poses(), strict=True):
        write_picture(path / f"color/{i}.jpg", 50, depth=False)
        write_picture(path / f"depth/{i}.png", 1500, depth=True)
        (path / "pose").mkdir(exist_ok=True)
        there = invert(pose) if i != 11 else np.full((4, 4), -np.inf)
        np.savetxt(path / f"pose/{i}.txt", there)
    (path / "intrinsic").mkdir()
    lens = np.array([[60, 0, 31, 0], [0, 61, 23, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.savetxt(path / "intrinsic/intrinsic_color.txt", lens)
    return path


def test_scannet_leaves_out_what_its_tracking_lost(scan):
    assert detect(scan)[0] == "scannet"
    (capture,) = scannet.read(scan, None)
    (view,) = capture.views
    assert [file.name for file in view.files] == ["8.jpg", "9.jpg", "10.jpg"]
    assert [file and file.name for file in view.depth] == ["8.png", "9.png", "10.png"]
    assert view.depth_scale == 0.001
    assert "1 of 4 pictures have no pose" in capture.note
    np.testing.assert_allclose(view.timestamps, [0, 1 / 30, 2 / 30], atol=1e-9)
    np.testing.assert_allclose(view.world_to_camera, poses()[:3], atol=1e-9)
    np.testing.assert_allclose(view.intrinsics, [[60, 0, 31.5], [0, 61, 23.5], [0, 0, 1]])


def test_depth_of_fewer_pixels_becomes_that_of_a_clip(scan):
    for i in (8, 9, 10):
        levels = np.full((24, 32), 1500, np.uint16)
        levels[:, 16:] = 3000
        assert cv2.imwrite(str(scan / f"depth/{i}.png"), levels)
    (example,) = CaptureClips(scannet.read(scan, None))
    depth = decode(example, height=48, width=64).depth
    assert depth.shape == (1, 3, 48, 64)
    np.testing.assert_allclose(depth[..., :32], 1.5, rtol=1e-3)
    np.testing.assert_allclose(depth[..., 32:], 3.0, rtol=1e-3)
    assert example.unit == 1


def test_scannet_says_which_file_is_wrong(scan):
    (scan / "pose/9.txt").write_text("1 2 3\n")
    with pytest.raises(ValueError, match=r"9\.txt: found \(3,\) numbers, expected \(4, 4\)"):
        scannet.read(scan, None)
    (scan / "pose/9.txt").unlink()
    with pytest.raises(ValueError, match=r"9\.txt: found no matrix"):
        scannet.read(scan, None)


WALL = 3.0  # metres in front of the camera, which looks at it squarely


@pytest.fixture
def rendered(tmp_path) -> Path:
    """Four pictures of a wall; a camera that stands on its head and climbs, looking along +y."""
    path = tmp_path / "movi"
    y, x = np.mgrid[:48, :64] + 0.5
    lengths = np.sqrt(1 + ((x - 32) / 70) ** 2 + ((y - 24) / 70) ** 2)
    places = [[0.5, 0.0, height] for height in (0.0, 0.1, 0.2, 0.3)]
    # OpenGL axes right, up, backward become the world's -x, -z, -y.
    turn = np.array([[-1, 0, 0], [0, 0, -1], [0, -1, 0]], np.float64)
    x_, y_, z_, w_ = quaternion(turn)
    for i in range(4):
        write_picture(path / f"rgba_{i:05d}.png", 50 + i, depth=False)
        cv2.imwrite(str(path / f"depth_{i:05d}.tiff"), (WALL * lengths).astype(np.float32))
    table = {
        "camera": {
            "focal_length": 35.0,
            "sensor_width": 32.0,
            "positions": places,
            "quaternions": [[w_, x_, y_, z_]] * 4,
        },
        "metadata": {"frame_rate": 12, "resolution": [64, 48]},
    }
    (path / "metadata.json").write_text(json.dumps(table))
    return path


def test_kubric_has_depth_along_the_axis(rendered):
    assert detect(rendered)[0] == "kubric"
    captures = kubric.read(rendered, None)
    (view,) = captures[0].views
    np.testing.assert_allclose(view.intrinsics, [[70, 0, 32], [0, 70, 24], [0, 0, 1]])
    np.testing.assert_allclose(view.timestamps, np.arange(4) / 12)
    # A point a metre before the second camera and half a metre to its right, which is -x.
    point = view.world_to_camera[1] @ [0.0, 1.0, 0.1, 1.0]
    np.testing.assert_allclose(point, [0.5, 0, 1, 1], atol=1e-9)
    # The world's +z is down in a picture of a camera on its head.
    np.testing.assert_allclose(view.world_to_camera[0, :3, :3] @ [0, 0, 1], [0, 1, 0], atol=1e-9)
    (example,) = CaptureClips(captures)
    np.testing.assert_allclose(decode(example, height=48, width=64).depth, WALL, rtol=1e-3)
    assert example.unit == 1


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("camera", "positions", [[0, 0, 0]] * 3, "positions: found shape"),
        ("camera", "quaternions", [[0, 0, 0, 2]] * 4, "quaternions: found a length of 2"),
        ("camera", "sensor_width", 0, "sensor_width: found 0, expected a number above 0"),
        ("metadata", "frame_rate", "x", "frame_rate: found 'x', expected numbers"),
    ],
)
def test_kubric_says_which_field_is_wrong(rendered, part, name, value, message):
    table = json.loads((rendered / "metadata.json").read_text())
    table[part][name] = value
    (rendered / "metadata.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=message):
        kubric.read(rendered, None)


@pytest.fixture
def phone(tmp_path) -> Path:
    """Four pictures of half the pixels that the lens is of; depth of 3 x 2, as it lies unpacked."""
    path = tmp_path / "walk"
    table = {"w": 128, "h": 96, "dw": 4, "dh": 3, "fps": 60, "K": [90, 0, 0, 0, 91, 0, 63, 47, 1]}
    table["poses"] = []
    for i, pose in zip((8, 9, 10, 11), poses(), strict=True):
        write_picture(path / f"rgbd/{i}.jpg", 50, depth=False)
        (path / f"rgbd/{i}.depth").touch()
        there = invert(pose) @ np.diag([1, -1, -1, 1])  # OpenGL's axes
        table["poses"].append([*quaternion(there[:3, :3]), *there[:3, 3]])
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
    with pytest.raises(ValueError, match=r"9\.depth: found no LZFSE"):
        CaptureClips(captures)[0]


def test_record3d_without_its_module_says_what_to_install(phone, monkeypatch):
    monkeypatch.setitem(sys.modules, "lzfse", None)
    with pytest.raises(ValueError, match=r"8\.depth: found LZFSE, expected .*record3d"):
        CaptureClips(record3d.read(phone, None))[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"poses": [[0, 0, 0, 1, 0, 0, 0]] * 3}, r"poses: found shape \(3, 7\)"),
        ({"poses": [[0, 0, 0, 2, 0, 0, 0]] * 4}, "poses: found lengths from 2 to 2"),
        ({"K": [1, 2, 3]}, "K: found shape"),
        ({"dw": 0}, "dh, dw: found 3 and 0"),
        ({"fps": 0}, "fps: found 0, expected a number above 0"),
        ({"frameTimestamps": [1]}, "frameTimestamps: found shape"),
    ],
)
def test_record3d_says_which_field_is_wrong(phone, fields, message):
    rewritten(phone, **fields)
    with pytest.raises(ValueError, match=message):
        record3d.read(phone, None)


def packed(phone: Path) -> Path:
    """The folder as the .r3d file that it is unpacked from."""
    file = phone.with_name("walk.r3d")
    with zipfile.ZipFile(file, "w") as archive:
        for member in sorted(phone.rglob("*.*")):
            archive.write(member, member.relative_to(phone))
        archive.write(phone / "metadata", "metadata")
    return file


def test_record3d_is_read_packed_as_unpacked(phone):
    ((unpacked_view,),) = [capture.views for capture in record3d.read(phone, None)]
    file = packed(phone)
    with record3d.unpacked(file) as folder:
        assert detect(folder)[0] == "record3d"
        (capture,) = record3d.read(folder, None)
        assert capture.scene_id == "walk.r3d"
        for name in ("intrinsics", "world_to_camera", "timestamps"):
            read = getattr(capture.views[0], name)
            np.testing.assert_array_equal(read, getattr(unpacked_view, name))
        picture = capture.views[0].files[0]
        assert picture.read_bytes() == (phone / "rgbd/8.jpg").read_bytes()
        assert picture.stat().st_mtime_ns == file.stat().st_mtime_ns  # imports go on by it
    assert not folder.parent.exists()
    with record3d.unpacked(phone) as folder:
        assert folder == phone


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


def claim(file: Path, size: int) -> None:
    """Let the last member of an archive claim so many bytes."""
    content = bytearray(file.read_bytes())
    start = content.rfind(b"PK\x01\x02") + 24  # in the central directory
    content[start : start + 4] = size.to_bytes(4, "little")
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_bytes(b"none"), "found File is not a zip file, expected a whole"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "expected a whole .r3d file"),
        (lambda file: claim(file, 2**31), "'metadata' that claims too many bytes"),
        (Path.unlink, "found no file, expected a file"),
        (lambda file: zipfile.ZipFile(file, "w").close(), "found no metadata or no rgbd, expected"),
    ],
)
def test_record3d_says_what_is_wrong_with_an_archive(phone, spoil, message):
    file = packed(phone)
    spoil(file)
    with pytest.raises(ValueError, match=message) as error, record3d.unpacked(file):
        pass
    assert str(error.value).startswith(f"{file}: ")


def test_record3d_refuses_a_picture_that_fills_the_memory(phone):
    file = packed(phone)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rgbd/12.jpg", bytes(record3d.MAX_MEMBER_BYTES + 1))
    message = r"rgbd/12\.jpg of 268435457 bytes"
    with pytest.raises(ValueError, match=message), record3d.unpacked(file):
        pass


def test_record3d_names_the_archive_where_a_field_is_wrong(phone):
    rewritten(phone, fps=0)
    file = packed(phone)
    with (
        pytest.raises(ValueError, match="fps: found 0") as error,
        record3d.unpacked(file) as folder,
    ):
        record3d.read(folder, None)
    assert str(error.value).startswith(f"{file}/metadata, ")
