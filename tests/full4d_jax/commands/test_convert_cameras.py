"""`full4d convert cameras`: files in and out, and what is refused."""

import json

import numpy as np
import pytest

from full4d_jax.cli import main
from input_pipeline.cameras import invert, orbit


def convert(source, target, before, after):
    return main(["convert", "cameras", str(source), str(target), "--from", before, "--to", after])


def test_there_and_back_is_the_same_file(tmp_path, capsys):
    poses = orbit(np.array([-30.0, 0.0, 30.0]), np.array([10.0, 0.0, -5.0]), 2.0)
    np.save(tmp_path / "a.npy", poses)
    assert convert(tmp_path / "a.npy", tmp_path / "b.json", "opencv", "blender") == 0
    assert "3 poses, blender from opencv" in capsys.readouterr().out
    table = json.loads((tmp_path / "b.json").read_text())
    expected = invert(poses) @ np.diag([1.0, -1, -1, 1])  # y up, z backward
    matrices = np.array([camera["matrix"] for camera in table["cameras"]])
    np.testing.assert_array_equal(matrices, expected + 0.0)
    assert convert(tmp_path / "b.json", tmp_path / "c.npy", "blender", "opencv") == 0
    np.testing.assert_allclose(np.load(tmp_path / "c.npy"), poses, rtol=0, atol=1e-15)


def test_tables_of_captures_are_read(tmp_path, shared_data):
    fox, walk = shared_data / "data/fox_photos", shared_data / "data/pose2sim"
    assert convert(fox / "transforms.json", tmp_path / "a.npy", "nerfstudio", "colmap") == 0
    assert np.load(tmp_path / "a.npy").shape == (50, 4, 4)
    assert convert(walk / "cameras_opencv.json", tmp_path / "b.json", "opencv", "llff") == 0
    names = [c["name"] for c in json.loads((tmp_path / "b.json").read_text())["cameras"]]
    assert names == ["cam01", "cam02", "cam03", "cam04"]


def test_unusable_files_are_one_line(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.eye(4))
    np.save(tmp_path / "flat.npy", np.ones(16))
    np.save(tmp_path / "scaled.npy", 2 * np.eye(4))
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "ours.json").write_text('{"convention": "llff", "cameras": []}')
    for source, target, names, message in (
        ("a.npy", "b.npy", ("opencv", "maya"), "found 'maya', expected one of opencv"),
        ("a.npy", "b.txt", ("opencv", "llff"), "found .txt, expected .npy or .json"),
        ("flat.npy", "b.npy", ("opencv", "llff"), "found shape (16,), expected .npy with"),
        ("scaled.npy", "b.npy", ("opencv", "llff"), "expected rigid poses"),
        ("list.json", "b.npy", ("opencv", "llff"), "found no such list of poses"),
        ("ours.json", "b.npy", ("opencv", "llff"), "found convention llff, expected opencv"),
        ("none.json", "b.npy", ("opencv", "llff"), "found no file"),
    ):
        assert convert(tmp_path / source, tmp_path / target, *names) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (tmp_path / target).exists()


@pytest.mark.parametrize("words", [["data", "import"], ["convert", "cameras"]])
def test_help_names_every_choice(words, capsys):
    assert main([*words, "--help"]) == 0
    said = capsys.readouterr().out
    choices = ("pose2sim", "multicam") if words[1] == "import" else ("--from", "pytorch3d")
    assert all(choice in said for choice in choices)
