"""Pictures of every kind are read as they are; what is not whole is refused."""

import cv2
import numpy as np
import pytest
from PIL import Image

from input_pipeline import opening
from input_pipeline.footage import (
    picture_size,
    read_alpha,
    read_depth,
    read_picture,
)

RAMP = np.tile(np.linspace(0, 250, 32).astype(np.uint8), (24, 1))


def test_kinds_of_pixels(tmp_path):
    colour = np.stack([RAMP, RAMP[::-1], 255 - RAMP], -1)
    clear = np.dstack([colour, np.full_like(RAMP, 51)])  # a fifth
    Image.fromarray(colour).save(tmp_path / "rgb.png")
    Image.fromarray(RAMP).save(tmp_path / "gray.png")
    Image.fromarray(clear).save(tmp_path / "clear.png")
    cv2.imwrite(str(tmp_path / "deep.png"), RAMP.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deepcolour.png"), colour[..., ::-1].astype(np.uint16) * 257)
    gray = np.repeat(RAMP[..., None], 3, -1)
    for name, expected in (
        ("rgb", colour),
        ("gray", gray),
        ("deep", gray),
        ("deepcolour", colour),
        ("clear", np.round(0.2 * colour.astype(float) + 0.8 * 255)),
    ):
        found = read_picture(tmp_path / f"{name}.png").astype(int)
        assert np.abs(found - expected).max() <= 1, name


def test_exif_turns_are_ignored(tmp_path):
    picture = Image.fromarray(RAMP)
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (24, 32, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_pictures_cut_off_are_refused(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    file = tmp_path / f"a{ending}"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"a{ending}: found"):
        read_picture(file)


def test_depth_that_is_none_is_refused_and_unknown_is_zero(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, np.nan], [-2.0, np.inf]]))
    np.testing.assert_array_equal(read_depth(tmp_path / "a.npy", 2.0), [[2, 0], [0, 0]])
    np.save(tmp_path / "b.npy", np.zeros((2, 2, 3)))
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY")
    for name in ("b.npy", "c.npy"):
        with pytest.raises(ValueError, match=rf"{name}: found .* expected depth \(h w\)"):
            read_depth(tmp_path / name, 1.0)
    with pytest.raises(ValueError, match=r"none\.npy: found no such file, expected a file"):
        read_depth(tmp_path / "none.npy", 1.0)


def test_pictures_that_are_too_large_are_refused_by_their_header(tmp_path, monkeypatch):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    monkeypatch.setattr(opening, "MAX_PIXELS", RAMP.shape[0] * RAMP.shape[1])
    read_picture(tmp_path / "a.png")
    monkeypatch.setattr(opening, "MAX_PIXELS", RAMP.shape[0] * RAMP.shape[1] - 1)
    for read in (read_picture, read_alpha, picture_size):
        with pytest.raises(ValueError, match=r"found pictures of 32x24 pixels, expected at most"):
            read(tmp_path / "a.png")
