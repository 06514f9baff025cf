"""The size of a result: the video's shape and length, what is asked for, and the prior's own."""

import numpy as np
import pytest

from full4d_jax.config import DEFAULT
from full4d_jax.media.video_io import write_video
from full4d_jax.source.options import (
    DatasetViewOptions,
    DemoGridOptions,
    FrameOptions,
    SizeOptions,
    VideoOptions,
)
from full4d_jax.source.size import size_of_result
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """One second of 96 x 160 pixels at 25 a second."""
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    write_video(path, np.zeros((25, 96, 160, 3), np.uint8), 25)
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three views of 5 instants of 96 x 160 pixels."""
    folder = tmp_path_factory.mktemp("sets") / "scenes"
    clips = ProceduralClips(2**30, 1, views=3, frames=5, height=96, width=160)
    write_dataset(folder, clips, name="scenes")
    return folder, float(1 / np.diff(clips[0].timestamps[0]).mean())


def size(way, enlarged=True):
    found = size_of_result(DEFAULT, way, enlarged=enlarged)
    return found.views, found.frames, found.height, found.width


def test_a_video_keeps_its_shape_and_a_short_one_gives_the_frames_it_has(video):
    assert size(VideoOptions(video)) == (5, 8, 256, 424)
    asked = SizeOptions(rows=128, seconds=0.5, views=3)
    assert size(VideoOptions(video, size=asked)) == (3, 4, 128, 216)
    assert size(VideoOptions(video, start=0.5, fps=4)) == (5, 2, 256, 424)


def test_a_prior_without_an_upsampler_keeps_its_own_size_unless_told_otherwise(video):
    assert size(VideoOptions(video), enlarged=False) == (4, 4, 64, 64)
    asked = SizeOptions(rows=64, views=2)
    assert size(VideoOptions(video, size=asked), enlarged=False) == (2, 4, 64, 104)
    assert size(DemoGridOptions()) == (4, 4, 64, 64)


def test_a_data_set_has_its_own_views_and_is_not_made_larger_than_it_is(dataset):
    folder, fps = dataset
    assert size(DatasetViewOptions(folder, fps=fps)) == (3, 5, 96, 160)
    asked = FrameOptions(rows=128, seconds=2 / fps)
    assert size(DatasetViewOptions(folder, fps=fps, size=asked)) == (3, 2, 128, 216)
    assert size(DatasetViewOptions(folder, fps=fps, start=3 / fps)) == (3, 2, 96, 160)
    assert size(DatasetViewOptions(folder, fps=fps), enlarged=False) == (4, 4, 64, 64)
