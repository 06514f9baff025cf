"""The lens of a file, from its metadata."""

import numpy as np
import pytest
from PIL import Image
from tagged_films import write_film

from full4d_jax.config import DataConfig
from full4d_jax.source.lens import EXIF_BLOCK_TAG, focal_length
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video_source

FOCAL, ORIENTATION = 0xA405, 0x112
SIZE = DataConfig(views=2, frames=1, height=32, width=32)


def write_picture(path, equivalent=None):
    """A picture of 60 x 40 pixels that was taken upright, by a camera that lay on its side."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    if equivalent is not None:
        exif.get_ifd(EXIF_BLOCK_TAG)[FOCAL] = equivalent
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path, exif=exif)


@pytest.mark.parametrize("name", ["a.jpg", "a.mov"])
def test_metadata_tell_the_lens(name, tmp_path):
    path = tmp_path / name
    if name[-3:] in ("jpg", "png"):
        size = (60, 40)  # upright
        write_picture(path, 26)
    else:
        size = (40, 60)
        write_film(path, "26.00mm")
    assert focal_length(path) == 26
    source = open_video_source(SIZE, VideoOptions(path))
    assert "of 26 mm (as on 35 mm film) in the file's metadata" in source.about.note
    focal = 26 / 43.2666 * np.hypot(60, 40) * 32 / min(size)
    assert source.cameras is not None
    assert source.cameras.intrinsics[0, 0, 0] == pytest.approx(focal, rel=1e-3)
    of_option = open_video_source(SIZE, VideoOptions(path, fov=40.0))
    assert "40 before cropping" in of_option.about.note
    assert "metadata" not in of_option.about.note
