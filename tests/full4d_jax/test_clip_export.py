"""A clip becomes what `full4d run` takes, and what is made of that is found in the clip again."""

import json
import shlex

import numpy as np
import pytest
from textured_room import make_room

from full4d_jax.camera_paths import load_views
from full4d_jax.cli import main
from full4d_jax.stages import save_arrays
from full4d_jax.video import read_video
from input_pipeline.cameras import relative_to, rescale
from input_pipeline.dataset import write_dataset
from input_pipeline.transforms import decode

SIZE = 32


class Rooms(list):
    @property
    def scene_ids(self):
        return [clip.scene_id for clip in self]


@pytest.fixture(scope="module")
def clip():
    return make_room(views=3, height=48, width=64, frames=9)


def write(folder, clip):
    write_dataset(folder, Rooms([clip]), name="room", splits={"test": 1.0})
    return folder


def test_what_is_exported_is_found_again(clip, tmp_path, capsys):
    """Sampling is left out: the true views stand for the grid that it would make."""
    dataset, out = write(tmp_path / "set", clip), tmp_path / "out"
    words = ["--dataset", dataset, "--out", out, "--source", 1]
    size = ["--data.height", SIZE, "--data.width", SIZE]
    assert main(["convert", "clip", *map(str, words + size)]) == 0
    said = capsys.readouterr().out
    sample = shlex.split(said.split("next: ")[1].splitlines()[0])
    options = dict(zip(sample[2::2], sample[3::2], strict=True))
    assert float(options["--fov"]) == pytest.approx(65.0, abs=0.01)
    whole = decode(clip, height=SIZE, width=SIZE)
    unit = np.median(whole.depth[1, 0])
    views = load_views(options["--path"], whole.intrinsics[1], frames=4, height=SIZE, width=SIZE)
    order = [1, 0, 2]
    poses = relative_to(whole.world_to_camera[order, :4], whole.world_to_camera[1, 0])
    np.testing.assert_allclose(views.world_to_camera, rescale(poses, unit), atol=1e-5)
    np.testing.assert_allclose(views.intrinsics, whole.intrinsics[order], rtol=1e-5)

    video = read_video(options["--video"], frames=3, fps=5.0, start=0.1, height=SIZE, width=SIZE)
    truth = whole.frames[1, [1, 3, 5]]
    error = np.mean((video.frames.astype(float) - truth) ** 2)
    assert -10 * np.log10(error / 255**2) > 20  # noise loses half its colours in any such video
    frames = whole.frames[order][:, [1, 3, 5]]
    frames[0] = video.frames
    grid = tmp_path / "grid"
    grid.mkdir()
    cameras = views.world_to_camera[:, :3]
    arrays = {"frames": frames, "intrinsics": views.intrinsics, "world_to_camera": cameras}
    save_arrays(grid / "grid.npz", arrays)
    save_arrays(grid / "source.npz", {"fps": np.asarray(video.fps)})
    assert main(["evaluate", "--grid", str(grid), "--truth", str(dataset)]) == 0
    found = json.loads((grid / "truth_grid.json").read_text())
    assert (found["source_view"], found["instants"]) == (1, [1, 3, 5])
    assert [row["view"] for row in found["rows"][:3]] == ["all", 0, 2]
    assert found["rows"][0]["psnr"] is None  # exact


def test_cameras_that_move_and_views_that_are_not_there_are_told(clip, tmp_path, capsys):
    dataset, out = write(tmp_path / "set", clip), tmp_path / "out"
    words = ["convert", "clip", "--dataset", str(dataset), "--out", str(out)]
    assert main([*words, "--source", "3"]) == 2
    assert "found 3, expected 0 to 2" in capsys.readouterr().err
    poses = clip.world_to_camera.copy()
    poses[1, 4:, 0, 3] += 0.1
    moving = write(tmp_path / "moving", clip._replace(world_to_camera=poses))
    assert main([*words[:3], str(moving), *words[4:]]) == 2
    assert "cameras that move" in capsys.readouterr().err
    assert not out.exists()
