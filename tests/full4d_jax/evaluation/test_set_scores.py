"""Sets of grids are compared with references of all kinds; what is too few is refused."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from einops import reduce

from full4d_jax.cameras import Cameras
from full4d_jax.cli import main
from full4d_jax.evaluation import frechet
from full4d_jax.evaluation.frechet import (
    Comparison,
    StoredGrid,
    open_reference,
)
from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import Stages

GOLDENS = Path(__file__).parents[1] / "goldens"
VIEWS, TIMES, SIDE = 4, 16, 24


def write_grid(
    folder: Path, seed: int, brightness: float = 1.0, *, views: int = VIEWS, times: int = TIMES
) -> np.ndarray:
    """An output folder with stripes that move, of colours by chance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    view, time = np.mgrid[:views, :times][:, :, :, None, None]
    waves = np.sin(6 * (x + y * rng.random()) + 0.3 * view + 0.2 * time + 6 * rng.random())
    frames = 127.5 + 100 * brightness * waves[..., None] * rng.random(3)
    frames = np.round(frames).astype(np.uint8)
    lens = np.array([[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1]], np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (views, times, 1, 1))
    poses[:, :, 0, 3] = 0.1 * np.arange(views, dtype=np.float32)[:, None]
    folder.mkdir(parents=True)
    grid = Grid(
        frames=frames,
        origin=all_real(frames),
        times=np.arange(times) / 8,
        cameras=Cameras(np.stack([lens] * views), poses, SIDE, SIDE),
    )
    arrays = grid_arrays(grid)
    Stages(folder).run("grid", {"seed": seed}, lambda: arrays)
    return frames


@pytest.fixture
def mean_colours(monkeypatch):
    """In place of I3D, which is not under test: the mean colours of 16 cells."""
    cells = "m (a p) (b q) c -> (a b c)"
    video = partial(reduce, pattern=cells, reduction="mean", a=4, b=4)
    monkeypatch.setattr(frechet, "open_i3d", lambda missing: video)


@pytest.mark.extra("onnxruntime")
def test_folders_are_compared_with_folders(mean_colours, tmp_path, capsys):
    """FVD-V of 32 instants; the paler set is farther away; the rest is said to be missing."""
    for name, brightness in (("like", 0.9), ("pale", 0.3), ("reference", 1.0)):
        for seed in (1, 2):
            write_grid(tmp_path / name / str(seed), seed, brightness)
    found = {}
    for name in ("like", "pale"):
        argv = ["evaluate", str(tmp_path / name)]
        argv += ["--reference", str(tmp_path / "reference")]
        argv += ["--clip_onnx", str(GOLDENS / "tiny_clip.onnx")]
        assert main(argv) == 0
        found[name] = json.loads((tmp_path / name / "consistency.json").read_text())
    like, pale = (found[name]["rows"][0] for name in found)
    assert 0 < like["fvd_v"]["mean"] < 0.5 * pale["fvd_v"]["mean"]
    assert 50 < like["clip_f"]["mean"] < 100
    assert found["like"]["sets"]["generated grid"] == {"fvd_v": 2 * TIMES}
    assert [clip["scene"] for clip in found["like"]["clips"]] == ["1", "2", "all folders"]
    each = [clip["rows"][0]["clip_f"] for clip in found["like"]["clips"][:2]]
    assert like["clip_f"]["mean"] == pytest.approx(np.mean(each))
    page = (tmp_path / "like" / "consistency.md").read_text()
    assert "| FVD-V " in page
    assert "- FVD not scored: found 6 made and 6 to compare with" in page
    assert (tmp_path / "like" / "consistency.png").stat().st_size > 0
    assert page in capsys.readouterr().out


def test_sets_that_are_too_small_are_refused_before_work(mean_colours, tmp_path, capsys):
    write_grid(tmp_path / "out", 1)
    write_grid(tmp_path / "small", 2, views=2, times=3)
    argv = ["evaluate", str(tmp_path / "out"), "--reference"]
    assert main([*argv, str(tmp_path / "small")]) == 2
    said = capsys.readouterr().err
    assert "FVD-V: found 16 made and 3 to compare with" in said
    assert "expected at least 32 of each" in said
    assert not (tmp_path / "out" / "consistency.json").exists()
    assert main([*argv, str(tmp_path / "none")]) == 2
    assert "none: found no such file" in capsys.readouterr().err


def test_a_dataset_is_a_reference(tmp_path, capsys):
    argv = ["data", "procedural", "--out", str(tmp_path / "set"), "--scenes", "2", "--views", "3"]
    assert main([*argv, "--frames", "2", "--height", "32", "--width", "48"]) == 0
    grids = open_reference(tmp_path / "set", "train")
    assert [(grid.views, grid.times) for grid in grids] == [(3, 2)] * 2
    frames = grids[1].read()
    assert frames.shape == (3, 2, 32, 48, 3)
    assert frames.std() > 5
    with pytest.raises(InputError, match="found 'nosuch', expected one of train"):
        open_reference(tmp_path / "set", "nosuch")
    capsys.readouterr()


def test_clips_are_cut_to_what_all_have(monkeypatch):
    """The network is not under test: it says how many frames it is shown, once and again."""
    monkeypatch.setattr(frechet, "SMALLEST_SET", 2)
    rng = np.random.default_rng(0)

    def grid(views, times):
        return rng.integers(0, 256, (views, times, 8, 8, 3), np.uint8)

    made, reference = grid(3, 20), grid(4, 18)
    shown = []

    def video(clip):
        shown.append((len(clip), len(np.unique(clip[:, ::99, 9, 0], axis=0))))
        return clip.mean((1, 2, 3))[:2]

    known = [StoredGrid(4, 18, lambda: reference)]
    comparison = Comparison([StoredGrid(3, 20, lambda: made)], known, video)
    assert shown == [(18, 18)] * 3 + [(16, 3)] * 18
    comparison.add("made", made)
    assert shown[21:] == [(18, 18)] * 2 + [(16, 3)] * 20
    assert set(comparison.distances("made")) == {"fvd", "fvd_v"}
    sizes = {x: {k: len(y) for k, y in z.items()} for x, z in comparison.features.items()}
    assert sizes == {"made": {"fvd": 2, "fvd_v": 20}, "reference": {"fvd": 3, "fvd_v": 18}}
