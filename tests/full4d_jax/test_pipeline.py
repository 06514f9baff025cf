"""One small run from a video to the page, continued, changed and taken apart into its verbs."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from handheld_clips import arc, film, write_clip
from video_with_sound import write_video_with_sound

from full4d_jax.cli import main
from full4d_jax.config import Config, DataConfig, LiftConfig, ModelConfig, to_dict
from full4d_jax.grid import grid_from
from full4d_jax.media.video_io import read_video, write_video
from full4d_jax.models.dit.dit import init_params
from full4d_jax.models.weights import save_params
from full4d_jax.session.files import read_arrays
from full4d_jax.session.stage_arrays import GENERATION
from full4d_jax.source.handheld.path_scale import settle_scale
from input_pipeline.pinhole import relative_to, rescale

SMALL = Config(
    model=ModelConfig(width=32, heads=2, ffn=32, layers=1, refiner=0),
    data=DataConfig(views=3, frames=2, height=32, width=32),
    lift=LiftConfig(steps=4, capacity=200),
)


def resting(seed: int) -> np.ndarray:
    """A second of noise where nothing moves."""
    noise = np.random.default_rng(seed).integers(0, 255, (1, 40, 60, 3), np.uint8)
    return noise.repeat(12, 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a small run, and the words that made it."""
    folder = tmp_path_factory.mktemp("run")
    params = init_params(SMALL.model, jax.random.key(0))
    save_params(folder / "prior.safetensors", params, {"max_azimuth_degrees": 30.0})
    write_video_with_sound(folder / "in.mp4", resting(0), 12)
    np.save(folder / "depth.npy", np.ones((2, 32, 32), np.float32))
    preset = folder / "small.py"
    preset.write_text(
        f"from full4d_jax.config import *\nfrom dataclasses import *\nconfig = {SMALL!r}\n"
    )
    options = [f"{folder}/in.mp4", "--config", str(preset)]
    options += ["--checkpoint", f"{folder}/prior.safetensors", "--out", f"{folder}/out"]
    options += ["--depth", f"{folder}/depth.npy", "--azimuth", "45"]
    look = ["--size", "32", "--orbit_seconds", "0.2"]
    assert main(["run", *options, *look]) == 0
    return folder, options


def test_everything_is_there_and_the_report_tells_it(finished):
    folder = finished[0] / "out"
    files = "grid.mp4 grid.png orbit.mp4 bullet.mp4 scene.html scene.png scene.npz"
    for name in files.split():
        assert (folder / name).stat().st_size > 100, name
    report = json.loads((folder / "report.json").read_text())
    assert set(report["seconds"]) == {
        "source",
        "depth",
        "grid",
        "scene",
        "renders",
        "page",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config == json.loads(json.dumps(to_dict(SMALL)))
    # Trained to 30 only.
    assert any("azimuth 45" in line for line in report["warnings"])
    scene = read_arrays(folder / "scene.npz")
    assert len(scene["means"]) > SMALL.lift.capacity  # what no view shows is filled
    assert "60x40" in report["source"]
    assert report["way"] == "VideoOptions"
    assert report["checkpoint"] == str(finished[0] / "prior.safetensors")
    assert report["options"]["source"]["cameras"]["azimuth"] == 45
    made = [report[name] for name in GENERATION]
    assert made == [32, 32, 1, 1.0]
    assert report["distillation"] == "cached"


def kept(said: str) -> list[bool]:
    """Whether the source, its depth and the grid were kept, by what was said."""
    return [f"{name}: kept" in said for name in ("source", "depth", "grid")]


def test_running_again_keeps_stages_that_no_change_concerns(finished, capsys):
    folder, options = finished
    scene = (folder / "out" / "scene.npz").read_bytes()
    look = ["--size", "32", "--orbit_seconds", "0.1"]
    assert main(["sample", *options]) == 0
    said = capsys.readouterr().out
    assert kept(said) == [True, True, True]
    assert main(["render", f"{folder}/out", *look]) == 0
    assert (folder / "out" / "scene.npz").read_bytes() == scene
    assert main(["sample", *options, "--azimuth", "20"]) == 0
    said = capsys.readouterr().out
    assert kept(said) == [True, True, False]
    assert (folder / "out" / "scene.npz").read_bytes() == scene


def test_a_stage_made_from_others_than_those_there_is_not_used(finished, capsys):
    folder, options = finished
    assert main(["sample", *options, "--azimuth", "21"]) == 0
    capsys.readouterr()
    assert main(["render", f"{folder}/out"]) == 2
    said = capsys.readouterr().err
    assert "scene.npz: found made from another grid" in said
    assert "full4d lift" in said
    assert main(["sample", *options]) == 0


@pytest.mark.slow
def test_a_portrait_video_stays_whole_and_larger_than_the_prior(tmp_path, capsys):
    frames = (
        np.random.default_rng(0).integers(0, 255, (1, 12, 9, 3), np.uint8).repeat(4, 0)
    )
    large = frames.repeat(12, 1).repeat(12, 2)  # 144 x 108
    write_video(tmp_path / "in.mp4", large, 8)
    out = tmp_path / "out"
    words = [f"{tmp_path}/in.mp4", "--rows", "72", "--seconds", "0.25", "--views", "2"]
    # At 40 degrees the holes are large enough for the prior to run.
    words += ["--azimuth", "40", "--out", str(out)]
    short = ["--lift.steps", "2", "--lift.capacity", "300"]
    assert main(["sample", *words]) == 0
    assert read_arrays(out / "grid.npz")["frames"].shape == (2, 2, 96, 72, 3)
    assert main(["run", *words, *short, "--size", "32", "--orbit_seconds", "0.1"]) == 0
    said = capsys.readouterr().out
    assert kept(said) == [True, True, True]
    assert "first look after" in said
    report = json.loads((out / "report.json").read_text())
    size = [report[name] for name in ("views", "instants", "rows", "columns")]
    assert size == [2, 2, 96, 72]
    assert report["source_psnr"] > 5
    assert (report["prior_rows"], report["distillation"]) == (88, "none")
    assert 0 < report["generated_share"] < 1
    assert re.search(
        r"prior: shipped prior\.safetensors, frames of \d+x\d+, calls", said
    )
    assert main(["run", *words, "--data.views", "8"]) == 2
    assert re.search("data.views: found 8.*give --views", capsys.readouterr().err)
    scenes = []
    for form in ("none", "gradient"):
        few = [
            "--lift.steps",
            "5",
            "--lift.capacity",
            "300",
            "--lift.distillation",
            form,
        ]
        assert main(["lift", str(out), *few]) == 0
        scenes.append(read_arrays(out / "scene.npz")["means"])
    assert np.abs(scenes[1] - scenes[0]).max() > 0


def test_a_scene_is_shown_without_what_its_grid_was_made_from(
    finished, tmp_path, capsys
):
    out = shutil.copytree(finished[0] / "out", tmp_path / "out")
    (out / "source.npz").unlink()
    (out / "depth.npz").unlink()
    assert main(["lift", str(out), *finished[1][1:5]]) == 0
    assert "scene: kept" in capsys.readouterr().out
    assert main(["render", str(out), "--size", "32", "--orbit_seconds", "0.1"]) == 0
    assert re.search(
        r"page: [\d,]+ bytes, and [\d,]+ of sound", capsys.readouterr().out
    )
    page = (out / "scene.html").read_text()
    assert '<audio id="sound" muted src="data:audio/mp4;' in page
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"world_to_camera": [np.eye(4).tolist()] * 3, "fps": 5}))
    assert main(["render", str(out), "--size", "32", "--path", str(path)]) == 0
    film = read_video(out / "path.mp4", height=32, width=32, frames=3, fps=5)
    np.testing.assert_allclose(film.timestamps, [0, 0.2, 0.4], atol=1e-3)
    assert main(["render", str(out), "--path", str(tmp_path / "none.json")]) == 2
    assert "none.json: found no such file" in capsys.readouterr().err


def test_a_refused_run_on_another_video_leaves_what_is_finished(finished, capsys):
    folder, options = finished
    files = [path for path in (folder / "out").iterdir() if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    other = folder / "other.mp4"
    write_video(other, resting(1), 12)
    cameras = folder / "cameras.json"
    cameras.write_text('{"world_to_camera": [[1, 2]]}')
    text = folder / "text.safetensors"
    text.write_text("no weights")
    for bad in (["--path", cameras], ["--checkpoint", text], ["--depth", text]):
        words = [str(other), *options[1:], *map(str, bad)]
        assert main(["run", *words]) == 2, bad
        assert capsys.readouterr().err.count("\n") == 1
        for path, content in before.items():
            assert path.read_bytes() == content, (bad, path)


@pytest.mark.slow
def test_a_source_that_moves_is_followed_from_poses_to_the_page(
    finished, tmp_path, capsys
):
    folder, options = finished
    write_clip(tmp_path / "moving.mp4", arc(12))
    depth = film(arc(12))[1][[0, 8], :, 56:200]
    np.save(tmp_path / "depth.npy", 3 * depth)
    poses = tmp_path / "poses.json"
    poses.write_text(json.dumps({"world_to_camera": arc(12)[None].tolist()}))
    out = tmp_path / "out"
    words = [f"{tmp_path}/moving.mp4", *options[1:], "--depth", f"{tmp_path}/depth.npy"]
    words += ["--poses", str(poses), "--out", str(out), "--fov", "65"]
    words += ["--fps", "1", "--azimuth", "10"]
    assert main(["run", *words, "--size", "32", "--orbit_seconds", "0.1"]) == 0
    assert "and move with the source's" in capsys.readouterr().out
    cameras = read_arrays(out / "grid.npz")["world_to_camera"]
    true = rescale(relative_to(arc(12), arc(12)[0]), float(np.median(depth[0])))
    np.testing.assert_allclose(cameras[0], true[[0, 8]], atol=0.01)
    assert np.ptp(cameras[1:], axis=1).max() > 0.005
    assert (out / "scene.html").stat().st_size > 1000
    given = ["--poses", str(poses)]
    assert main(["sample", *[x for x in words if x not in given]]) == 0
    text = json.loads((out / "report.json").read_text())
    assert "its path is that of" not in text["source"]


def test_depth_of_a_source_that_moves_is_fused(finished, tmp_path, capsys):
    write_clip(tmp_path / "moving.mp4", arc(12))
    poses, one = tmp_path / "poses.json", tmp_path / "one.npy"
    poses.write_text(json.dumps({"world_to_camera": arc(12)[None].tolist()}))
    np.save(one, film(arc(12))[1][0, :, 56:200])
    words = [f"{tmp_path}/moving.mp4", *finished[1][1:]]
    words[words.index("--depth") + 1] = str(one)
    words += ["--poses", str(poses), "--fov", "65"]
    words += ["--out", f"{tmp_path}/out"]
    assert main(["sample", *words]) == 2
    assert "one.npy: found one map for all frames" in capsys.readouterr().err
    at = words.index("--depth")
    ours = ["--depth_network", "ours"]
    assert main(["sample", *words[:at], *words[at + 2 :], *ours]) == 0
    made = read_arrays(tmp_path / "out/depth.npz")
    source = grid_from(read_arrays(tmp_path / "out/source.npz"))
    assert source.estimate is not None
    settled, unit = settle_scale(source, source.estimate, estimated=True)
    assert made["path_unit"] == pytest.approx(unit, rel=1e-3)
    known = made["depth"][0] > 0
    assert known.mean() > 0.5
    ratio = (made["depth"][0] / settled)[known]
    assert 0.8 < ratio.min() < 0.999  # of two instants the median is their mean
    assert 1.001 < ratio.max() < 1.2
