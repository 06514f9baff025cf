"""`full4d data check` reads a dataset, draws a page for each clip, and fails where one is bad."""

import json

import numpy as np
import pytest
from PIL import Image
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.data.floor_grid import draw_floor, floor_grid
from input_pipeline import cameras
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.schema import Example
from input_pipeline.transforms import encode_mask

FLIP = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)


class Clips:
    """Examples as importers hand them on."""

    def __init__(self, examples: list[Example]):
        self.examples = examples
        self.scene_ids = [example.scene_id for example in examples]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


@pytest.fixture(scope="module")
def room() -> Example:
    return make_room(views=2, height=120, width=160)


def test_a_good_dataset_is_reported_and_drawn(room, tmp_path, capsys):
    write_dataset(tmp_path / "data", Clips([room]), name="room")
    assert main(["data", "check", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    assert "cameras agree with the pictures" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    (clip,) = told["checked"]
    assert clip["problems"] == []
    assert clip["median_error_pixels"] < 0.3
    page = np.asarray(Image.open(tmp_path / "out" / clip["page"])).astype(int)
    yellow = (page[..., 0] > 200) & (page[..., 1] > 180) & (page[..., 2] < 60)
    assert yellow.sum() > 300
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".lock", "check.json", clip["page"]}


def test_names_in_a_data_set_do_not_rule_the_terminal(room, tmp_path, capsys):
    clips = Clips([room._replace(scene_id="red \x1b[31m")])
    write_dataset(tmp_path / "data", clips, name="room")
    assert main(["data", "check", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "clip 0, red \\x1b[31m" in said
    assert "\x1b" not in said


def test_bad_datasets_fail_with_the_first_problem_in_one_line(room, tmp_path, capsys):
    opengl = room._replace(world_to_camera=FLIP @ room.world_to_camera, scene_id="again")
    write_dataset(tmp_path / "data", Clips([room, opengl]), name="room")
    assert main(["data", "check", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    line = said.err.splitlines()[-1]
    assert line.startswith("full4d: dataset: ")
    assert "found pictures of scene" in said.out
    assert "agree if camera axes are OpenGL's" in said.out
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    assert [len(clip["problems"]) for clip in told["checked"]] == [0, 2]


def test_what_is_no_dataset_is_refused(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path), "--instants", "0"]) == 2
    assert "--instants" in capsys.readouterr().err


def test_the_floor_is_drawn_where_its_points_project():
    eyes = np.array([[3.0, 0.5, 1.5], [-1.0, 3.0, 2.0], [0.5, -3.0, 1.8]])
    poses = cameras.look_at(eyes, np.array([0.2, 0.1, 0.6]), up=(0.0, 0.0, 1.0))
    grid = floor_grid(poses, np.zeros((0, 3)))
    assert np.abs(grid.lines[..., 2]).max() < 1e-9
    assert grid.label == "floor through the origin, cells of 0.2"
    matrix = cameras.intrinsics_from_fov(60.0, 200, 300)
    blank = np.zeros((200, 300, 3), np.uint8)
    drawn = draw_floor(blank, grid, matrix, poses[0], np.zeros(8))
    assert not blank.any()
    seen = grid.lines[:, ::9].reshape(-1, 3) @ poses[0, :3, :3].T + poses[0, :3, 3]
    pixels = np.floor((seen @ matrix.T)[:, :2] / seen[:, 2:]).astype(int)
    inside = ((pixels > 1) & (pixels < [298, 198])).all(1)
    assert inside.sum() > 50
    for x, y in pixels[inside]:
        assert drawn[y - 1 : y + 2, x - 1 : x + 2].max() > 200


def test_a_floor_without_an_origin_below_lies_below_the_points():
    poses = cameras.orbit(np.array([-20.0, 20.0]), np.array([5.0, 5.0]), 1.0)
    points = np.random.default_rng(0).uniform([-1, -0.5, 0], [1, 0.4, 2], (500, 3))
    grid = floor_grid(poses, points)
    assert np.allclose(grid.lines[..., 1], np.quantile(points[:, 1], 0.95))
    assert "below the matches" in grid.label


def test_pages_are_dark_outside_of_masks(room, tmp_path):
    mask = np.zeros((120, 160), np.uint8)
    mask[:, :80] = 255
    masks = np.full(room.frames.shape, encode_mask(mask), object)
    pages = []
    for name, clip in (("plain", room), ("masked", room._replace(masks=masks))):
        write_dataset(tmp_path / name, Clips([clip]), name="room")
        out = tmp_path / f"{name}-out"
        assert main(["data", "check", str(tmp_path / name), "--out", str(out)]) == 0
        pages.append(np.asarray(Image.open(out / "clip-00000.png")).astype(int))
    darker = (pages[0] > pages[1]).any(-1).mean()
    assert 0.02 < darker < 0.5
    assert (pages[0] >= pages[1]).all()


def test_bytes_that_changed_since_are_found(room, tmp_path, capsys):
    write_dataset(tmp_path / "data", Clips([room]), name="room")
    (shard,) = (tmp_path / "data").glob("*.array_record-*")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # of what no record needs
    shard.write_bytes(content)
    assert main(["data", "check", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "found SHA-256" in capsys.readouterr().out
