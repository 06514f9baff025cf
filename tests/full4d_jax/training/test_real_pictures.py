"""Crops of real pictures: of the asked shape, from anywhere, and never of what is held out."""

import cv2
import numpy as np
import pytest

from full4d_jax.config.depth import DepthDataConfig
from full4d_jax.session.errors import InputError
from full4d_jax.training.real_pictures import SMALLEST, crop, training_photos, training_pictures


def test_every_fifth_photo_is_held_out(tmp_path, write_pictures):
    write_pictures([tmp_path / f"{i}.png" for i in range(11)])
    names = [path.stem for path in training_photos(str(tmp_path))]
    assert names == ["0", "1", "2", "3", "5", "6", "7", "8", "10"]
    for folder in ("", str(tmp_path / "none")):
        with pytest.raises(InputError, match=r"data\.photos"):
            training_photos(folder)


@pytest.mark.parametrize(("height", "width"), [(60, 200), (200, 60)])
def test_crops_keep_the_shape_of_what_they_show(height, width):
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([y, x, 0 * x], -1).astype(np.uint8)
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(20):
        cut = 255 * crop(rng, ramp, (32, 64))
        assert cut.shape == (32, 64, 3)
        down, across = np.diff(cut[..., 0], axis=0).mean(), np.diff(cut[..., 1], axis=1).mean()
        np.testing.assert_allclose(down, across, rtol=0.06)  # sides are whole pixels
        largest = min(height / 32, width / 64)
        assert SMALLEST * 0.95 * largest < across < 1.05 * largest
        starts.add(round(float(cut[0, 0].sum())))
    assert len(starts) > 5


def test_frames_of_clips_join_the_photographs(tmp_path, write_pictures, write_film):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((48, 64, 3), np.uint8))
    write_film(tmp_path / "clips" / "a.mp4", [0, 4, 8])
    photos, clips = str(tmp_path), str(tmp_path / "clips")

    def bright(videos: str, filmed: float) -> float:
        rng = np.random.default_rng(0)
        data = DepthDataConfig(photos=photos, videos=videos, filmed=filmed)
        _, pictures = training_pictures(data)
        crops = [pictures.draw(rng, (32, 32)) for _ in range(20)]
        return float(np.mean([crop.max() > 0.5 for crop in crops]))

    assert bright("", 1.0) == 0
    assert bright(clips, 0.0) == 0
    assert 0.1 < bright(clips, 0.5) < bright(clips, 1.0)


def test_names_part_rooms_from_others(tmp_path, write_pictures, write_film):
    write_pictures([tmp_path / f"{i}.png" for i in range(5)])
    write_film(tmp_path / "clips" / "a.mp4", [0, 4])
    write_film(tmp_path / "clips" / "b.mp4", [0, 4])
    listed = tmp_path / "rooms.txt"
    listed.write_text("1.png\n4.png\nb.mp4\n")
    data = DepthDataConfig(
        photos=str(tmp_path), videos=str(tmp_path / "clips"), rooms=str(listed), filmed=0
    )
    rooms, rest = training_pictures(data)
    # 4.png is held out.
    assert [[file.name for file in (*x.photos, *x.clips)] for x in (rooms, rest)] == [
        ["1.png", "b.mp4"],
        ["0.png", "2.png", "3.png", "a.mp4"],
    ]
    # Where there are clips alone, they are drawn whatever their share.
    assert rooms._replace(photos=[]).draw(np.random.default_rng(0), (16, 16)).shape == (16, 16, 3)
    for text, match in (
        ("none.png", r"none\.png"),
        ("4.png", "names of none"),
        ("\n".join([*(f"{i}.png" for i in range(5)), "a.mp4", "b.mp4"]), "names of all"),
    ):
        listed.write_text(text)
        with pytest.raises(InputError, match=match):
            training_pictures(data)
    listed.unlink()
    with pytest.raises(InputError, match=r"data\.rooms"):
        training_pictures(data)
