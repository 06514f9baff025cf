"""Fréchet distance against its formula with SciPy's roots of matrices; sets that are compared."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from einops import reduce

from full4d_jax.cameras import Cameras
from full4d_jax.cli import main
from full4d_jax.evaluation import frechet
from full4d_jax.grid import Grid, all_real, grid_arrays
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import Stages

GOLDENS = Path(__file__).parents[1] / "goldens"
VIEWS, TIMES, SIDE = 4, 16, 24


def draw(mean, covariance, count: int, seed: int) -> np.ndarray:
    """Features whose own mean and covariance are exactly these."""
    plain = np.random.default_rng(seed).normal(size=(count, len(mean)))
    plain -= plain.mean(0)
    white = plain @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(plain.T)))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def spread(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T / size + 0.1 * np.eye(size)


@pytest.mark.parametrize(
    ("size", "counts"), [(1, (5, 9)), (6, (40, 30)), (30, (200, 64))]
)
def test_known_normal_distributions(size, counts):
    means = np.zeros(size), np.linspace(0.5, 1, size)
    spreads = spread(size, 1), spread(size, 2)
    known = zip(means, spreads, counts, strict=True)
    sets = [draw(mean, covariance, n, n) for mean, covariance, n in known]
    root = np.real(scipy.linalg.sqrtm(spreads[0] @ spreads[1]))
    expected = ((means[1] - means[0]) ** 2).sum() + np.trace(
        spreads[0] + spreads[1] - 2 * root
    )
    assert frechet.frechet_distance(*sets) == pytest.approx(expected, rel=1e-9)
    assert frechet.frechet_distance(*sets[::-1]) == pytest.approx(expected, rel=1e-9)


def test_sets_smaller_than_their_features_have_the_distance_of_their_shares():
    """Both spread in one direction: variances 2 and 8 there, nothing else; means 3 apart."""
    direction = np.zeros(50)
    direction[7] = 1
    a, b = (np.outer([-s, s], direction) for s in (1.0, 2.0))
    expected = 9 + (np.sqrt(8) - np.sqrt(2)) ** 2
    assert frechet.frechet_distance(a, b + 3 * np.eye(50)[3]) == pytest.approx(expected)
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_short_clips_go_there_and_back_and_long_ones_are_cut():
    video = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None], 3, -1)
    video = np.broadcast_to(video, (20, 8, 6, 3))

    def shown(length):
        clip = frechet.to_clip(video[:length])
        assert clip.shape[1:] == (224, 224, 3)
        assert (clip == clip[:, :1, :1, :1]).all()
        return np.round((clip[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()

    assert shown(3) == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert shown(2) == [0, 1] * 8
    assert shown(17) == list(range(17))


def write_grid(
    folder: Path,
    seed: int,
    brightness: float = 1.0,
    *,
    views: int = VIEWS,
    times: int = TIMES,
) -> np.ndarray:
    """An output folder with stripes that move, of colours by chance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    view, time = np.mgrid[:views, :times][:, :, :, None, None]
    waves = np.sin(
        6 * (x + y * rng.random()) + 0.3 * view + 0.2 * time + 6 * rng.random()
    )
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
    assert "fvd" not in like
    assert [clip["scene"] for clip in found["like"]["clips"]] == [
        "1",
        "2",
        "all folders",
    ]
    each = [clip["rows"][0]["clip_f"] for clip in found["like"]["clips"][:2]]
    assert like["clip_f"]["mean"] == pytest.approx(np.mean(each))
    page = (tmp_path / "like" / "consistency.md").read_text()
    assert "| FVD-V " in page
    assert "- FVD not scored: found 6 made and 6 to compare with" in page
    assert page in capsys.readouterr().out


def test_sets_that_are_too_small_are_refused_before_work(
    mean_colours, tmp_path, capsys
):
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
    argv = ["data", "procedural", "--out", str(tmp_path / "set"), "--scenes", "2"]
    argv += ["--views", "3", "--frames", "2", "--height", "32", "--width", "48"]
    assert main(argv) == 0
    grids = frechet.open_set(tmp_path / "set", "train")
    assert len(grids) == 2
    frames = grids[1]()
    assert frames.shape == (3, 2, 32, 48, 3)
    assert frames.std() > 5
    with pytest.raises(InputError, match="found 'nosuch', expected one of train"):
        frechet.open_set(tmp_path / "set", "nosuch")
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

    distances, too_few = frechet.compare([lambda: made], [lambda: reference], video)
    assert shown[:22] == [(18, 18)] * 2 + [(16, 3)] * 20
    assert shown[22:] == [(18, 18)] * 3 + [(16, 3)] * 18
    assert distances.keys() == {"fvd", "fvd_v"}
    assert not too_few
