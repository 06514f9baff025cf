"""`full4d data` draws scenes and makes datasets of them, and refuses what it cannot."""

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main
from input_pipeline.dataset import open_dataset


def test_show_draws_one_block_a_scene_and_says_where(tmp_path, capsys):
    out = tmp_path / "deep" / "scenes.png"
    options = ["--views", "2", "--frames", "1", "--size", "16", "--scenes", "2"]
    assert main(["data", "show", "--out", str(out), "--first", "7", *options]) == 0
    assert str(out) in capsys.readouterr().out
    blocks = np.asarray(Image.open(out)).astype(int)
    first, second = np.split(blocks, 2)
    pictures_of_first, pictures_of_second = first[60:400, 80:200], second[60:400, 80:200]
    assert np.ptp(pictures_of_first) > 100
    assert np.abs(pictures_of_first - pictures_of_second).mean() > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "0"], "--views: found 0, expected at least 1"),
        (["--first", str(2**31)], "--first: found scenes 2147483648"),
        (["--out", "scenes.gif"], "found ending '.gif', expected .png"),
        (["--out", "/dev/null/scenes.png"], "/dev/null: found a file, expected a folder"),
    ],
)
def test_bad_requests_are_one_line(options, message, capsys):
    assert main(["data", "show", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


TINY = ["--scenes", "4", "--views", "2", "--frames", "1", "--height", "16", "--width", "16"]


def test_procedural_scenes_become_a_dataset_in_two_parts(tmp_path, capsys):
    folder = tmp_path / "scenes"
    make = ["data", "procedural", "--out", str(folder), *TINY, "--shards", "2", "--shard"]
    assert main([*make, "1/2"]) == 0
    assert "1 files of other parts are missing" in capsys.readouterr().out
    assert main([*make, "0/2"]) == 0
    assert f"next: full4d train CONFIG --data.records {folder}" in capsys.readouterr().out
    records = open_dataset(folder)
    assert records.scene_ids == [f"procedural-{i:010d}" for i in range(4)]
    assert records.clips[0]["depth"] == [0]
    assert main([*make, "0/2", "--scenes", "5"]) == 2
    assert "of another build" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "2/2"], "--shard: found '2/2', expected i/n"),
        (["--test", "1"], "--test: found 1.0, expected a share"),
        (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
    ],
)
def test_bad_datasets_are_one_line(tmp_path, options, message, capsys):
    assert main(["data", "procedural", "--out", str(tmp_path / "new"), *TINY, *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()
