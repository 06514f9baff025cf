"""`full4d data show` draws the scenes it names, and refuses what it cannot draw."""

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main


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
