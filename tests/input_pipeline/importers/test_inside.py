"""Captures take no file from outside of their folder unless they are told to."""

import json

import pytest
from PIL import Image

from full4d_jax.cli import main


def capture(folder, picture: str) -> None:
    """Write a capture of one picture, wherever it lies."""
    folder.mkdir(exist_ok=True)
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    frames = [{"file_path": picture, "transform_matrix": pose}]
    table = {"w": 24, "h": 16, "fl_x": 20, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(table))


@pytest.mark.parametrize("way", ["above", "absolute", "link"])
def test_a_private_picture_is_not_imported(tmp_path, capsys, way):
    private = tmp_path / "private.jpg"
    Image.new("RGB", (24, 16)).save(private)
    names = {"above": "../private.jpg", "absolute": str(private), "link": "innocent.jpg"}
    capture(tmp_path / "theirs", names[way])
    (tmp_path / "theirs" / "innocent.jpg").symlink_to(private)
    words = ["data", "import", str(tmp_path / "theirs"), "--out", str(tmp_path / "set")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"found {private}, expected files in that folder" in said
    assert not (tmp_path / "set").exists()
    assert main([*words, "--follow-links"]) == 0
    assert (tmp_path / "set" / "index.json").is_file()
