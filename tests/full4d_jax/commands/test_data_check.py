"""`full4d data check` reads a dataset, draws a page for each clip, and fails where one is bad."""

import json

import numpy as np
import pytest
from PIL import Image
from textured_room import Clips, make_room

from full4d_jax.cli import main
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.schema import Example

FLIP = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)


@pytest.fixture(scope="module")
def room() -> Example:
    return make_room(views=2, height=120, width=160)


def check(folder) -> int:
    return main(["data", "check", str(folder / "data"), "--out", str(folder / "out")])


def test_a_good_dataset_is_reported_and_drawn(room, tmp_path, capsys):
    write_dataset(tmp_path / "data", Clips([room]), name="room")
    assert check(tmp_path) == 0
    assert "cameras agree with the pictures" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    (clip,) = told["checked"]
    assert clip["problems"] == []
    assert clip["median_error_pixels"] < 0.3
    page = np.asarray(Image.open(tmp_path / "out" / clip["page"])).astype(int)
    page_rows, page_columns = page.shape[:2]
    assert page_rows > 2 * 240  # two views
    assert page_columns > 2 * 320  # two instants
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".lock", "check.json", clip["page"]}


def test_bad_datasets_fail_with_the_first_problem_in_one_line(room, tmp_path, capsys):
    opengl = room._replace(
        world_to_camera=FLIP @ room.world_to_camera, scene_id="again"
    )
    write_dataset(tmp_path / "data", Clips([room, opengl]), name="room")
    assert check(tmp_path) == 2
    said = capsys.readouterr()
    line = said.err.splitlines()[-1]
    assert line.startswith("full4d: dataset: ")
    assert "found pictures of scene" in said.out
    assert "agree if camera axes are OpenGL's" in said.out
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    assert [len(clip["problems"]) for clip in told["checked"]] == [0, 2]


def test_bytes_that_changed_since_are_found(room, tmp_path, capsys):
    write_dataset(tmp_path / "data", Clips([room]), name="room")
    (shard,) = (tmp_path / "data").glob("*.array_record-*")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # of what no record needs
    shard.write_bytes(content)
    assert check(tmp_path) == 2
    assert "found SHA-256" in capsys.readouterr().out
