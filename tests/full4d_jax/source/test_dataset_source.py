"""One view of a dataset's clip is the source; the others' cameras are the targets."""

import numpy as np
import pytest
from textured_room import make_room

from full4d_jax.config import Size
from full4d_jax.grid import DEFAULT_FPS, points_in
from full4d_jax.session.errors import InputError
from full4d_jax.source.capture_source import open_dataset_clip
from full4d_jax.source.dataset_view import open_dataset_view
from full4d_jax.source.handheld.path_scale import settle_scale
from full4d_jax.source.options import DatasetClipOptions, DatasetViewOptions
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.pinhole import invert
from input_pipeline.procedural.clips import ProceduralClips
from input_pipeline.transforms import decode

SIZE = Size(views=3, frames=3, height=16, width=16)


@pytest.fixture(scope="module")
def clips():
    return ProceduralClips(
        2**30, 2, views=3, frames=5, height=16, width=16, all_depth=True
    )


@pytest.fixture(scope="module")
def dataset(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "scenes"
    write_dataset(folder, clips, name="scenes")
    return folder


def fps_of(clip):
    return float(1 / np.diff(clip.timestamps[0]).mean())


def test_the_source_leads_and_its_frame_is_the_world(dataset, clips):
    fps = fps_of(clips[1])
    options = DatasetViewOptions(dataset, clip=1, view=(2,), fps=fps, start=1 / fps)
    found = open_dataset_view(SIZE, options, DEFAULT_FPS)
    assert found.about.place is not None
    assert found.depth is not None
    assert found.about.place.views.tolist() == [2, 0, 1]
    assert found.about.place.instants.tolist() == [1, 2, 3]
    whole = decode(clips[1], height=16, width=16)
    np.testing.assert_array_equal(found.frames[0], whole.frames[2, 1:4])
    cameras = found.known_cameras
    np.testing.assert_array_equal(cameras.intrinsics, whole.intrinsics[[2, 0, 1]])
    np.testing.assert_allclose(cameras.world_to_camera[0, 0], np.eye(4), atol=1e-6)
    assert (len(found.depth), found.real_rows, len(found.frames)) == (1, 1, 3)
    first = found.depth[0, 0]
    assert np.median(first[first > 0]) == pytest.approx(1)
    # Between two cameras lies the same motion as before, but for the unit.
    unit = whole.depth[2, 1][whole.depth[2, 1] > 0]
    assert found.about.place.unit == pytest.approx(np.median(unit))
    assert found.about.place[1:4] == ("train", 1, 2)
    true = whole.world_to_camera[0, 2].astype(float) @ invert(
        whole.world_to_camera[2, 1]
    )
    true[:3, 3] /= np.median(unit)
    np.testing.assert_allclose(cameras.world_to_camera[1, 1], true, atol=1e-4)
    assert found.fps == pytest.approx(fps, rel=1e-5)


def test_what_is_not_there_is_refused(dataset):
    with pytest.raises(InputError, match="--clip: found 2, expected 0 to 1"):
        open_dataset_view(SIZE, DatasetViewOptions(dataset, clip=2), DEFAULT_FPS)
    with pytest.raises(InputError, match=r"found 5 instants .* expected 3 from 9.00"):
        open_dataset_view(SIZE, DatasetViewOptions(dataset, start=9.0), DEFAULT_FPS)


class Clips(list):
    """Examples with their names."""

    @property
    def scene_ids(self):
        return [clip.scene_id for clip in self]


def bare(clip):
    return clip._replace(depth16=np.full_like(clip.depth16, b""))


def test_points_that_views_share_tell_the_unit(tmp_path):
    """Their depth is the room's, in the unit that the cameras then have."""
    room = make_room(views=3, height=120, width=160)
    write_dataset(tmp_path / "room", Clips([bare(room)]), name="room")
    size = Size(views=3, frames=2, height=96, width=128)
    options = DatasetViewOptions(tmp_path / "room")
    found = open_dataset_view(size, options, DEFAULT_FPS)
    points = points_in(found)
    assert points is not None
    assert found.about.place is not None
    truth = decode(room, height=96, width=128).depth[0]
    column, row = np.floor(points.pixels).astype(int).T
    unit = found.about.place.unit
    ratio = points.depth * unit / truth[points.instants, row, column]
    assert len(ratio) > 50
    assert np.median(np.abs(ratio - 1)) < 0.02
    assert "points that other views see too" in found.about.note
    settled, unit = settle_scale(found, 7 * truth, estimated=True)
    np.testing.assert_allclose(np.median(settled[0]), 1, rtol=1e-3)
    assert unit * found.about.place.unit == pytest.approx(np.median(truth[0]), rel=0.03)


def test_a_clip_is_a_capture(dataset, clips):
    found = open_dataset_clip(DatasetClipOptions(dataset, clip=1, views=(2, 0)))
    whole = decode(clips[1], height=16, width=16)
    assert found.about.place is not None
    assert found.depth is not None
    np.testing.assert_array_equal(found.frames, whole.frames[[2, 0]])
    depth = whole.depth[[2, 0]]
    unit = np.median(depth[0, 0][depth[0, 0] > 0])
    np.testing.assert_allclose(found.depth * found.about.place.unit, depth, rtol=1e-5)
    cameras = found.known_cameras
    np.testing.assert_array_equal(cameras.intrinsics, whole.intrinsics[[2, 0]])
    np.testing.assert_allclose(cameras.world_to_camera[0, 0], np.eye(4), atol=1e-6)
    assert found.about.place.unit == pytest.approx(unit)
    assert found.about.place.instants.tolist() == [0, 1, 2, 3, 4]
    assert len(open_dataset_clip(DatasetClipOptions(dataset)).frames) == 3
