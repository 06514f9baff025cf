"""What a prior makes of clips and grids is scored on the right pixels, beside baselines."""

import jax
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig, ModelConfig
from full4d_jax.evaluation import prior_rows
from full4d_jax.evaluation.baselines import compare
from full4d_jax.evaluation.fidelity import score
from full4d_jax.evaluation.prior_rows import Judge, hidden_frames
from full4d_jax.evaluation.table import PUSH_PULL
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import to_model
from full4d_jax.models.dit import init_params
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth

SHIPPED = "prior, 1 call, zero noise"


def wall(shift: float, size: int = 16) -> Grid:
    """A textured wall at depth 1, from a source and a target that stands `shift` to its right."""
    focal = float(size)
    texture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    moved = np.eye(4, dtype=np.float32)
    moved[0, 3] = -shift
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    frames = np.stack([texture, np.roll(texture, -round(shift * focal), 1)])[:, None]
    poses = np.stack([np.eye(4, dtype=np.float32), moved])[:, None]
    cameras = Cameras(np.stack([intrinsics] * 2), poses, size, size)
    return Grid(frames, all_real(frames), np.zeros(1), cameras, np.ones((1, 1, size, size)))


def unseen(truth: Grid):
    assert truth.depth is not None
    return compare(truth, {"true": truth.depth[0]}).regions["_unseen"]


def test_unseen_is_what_the_source_frame_does_not_show():
    """Four pixels of parallax hide four columns at the right border and nothing else."""
    expected = np.zeros((1, 1, 16, 16))
    np.testing.assert_array_equal(unseen(wall(0.0)), expected)
    expected[..., 12:] = 1
    np.testing.assert_array_equal(unseen(wall(0.25)), expected)


def test_an_untrained_prior_is_the_push_pull_row(monkeypatch):
    """Without noise its one call returns the filled projection: one start for both rows."""
    monkeypatch.setattr(prior_rows, "NOISY_STEPS", ())
    model = ModelConfig(width=64, layers=1, heads=1, ffn=64, refiner=0)
    config = Config(model=model, data=DataConfig(views=2, frames=1, height=16, width=16))
    params = jax.jit(init_params, static_argnums=0)(model, jax.random.key(0))
    judge = Judge(config, prior_with(config, params), load_depth(), {})
    grid = wall(0.25)
    clip = prior_rows.rows_of_clip(judge, 7, grid)
    filled = {name: frames for (name, depth), frames in clip.rows.items() if depth == "true"}
    np.testing.assert_allclose(filled[SHIPPED], filled[PUSH_PULL], atol=1e-5)
    hidden = unseen(grid)
    assert hidden is not None
    seen = 1 - hidden[..., None]
    for frames in filled.values():
        np.testing.assert_allclose(frames * seen, clip.truth * seen, atol=1 / 255)
    assert isinstance(judge.depth, DepthNetwork)
    estimate = np.asarray(estimate_depth(judge.depth, to_model(grid.frames[0])))
    record = score(clip._replace(rows={(PUSH_PULL, "true"): clip.truth}), judge.distances)
    assert record["hole_fraction"] == 0.25
    error = np.abs(estimate / np.median(estimate) - 1).mean()  # the wall is at depth 1
    assert record["depth_absrel"] == pytest.approx(error, rel=1e-4)
    assert record["rows"][0]["ssim"] == pytest.approx(1, abs=1e-5)


def test_scores_of_grids_count_hidden_frames_only():
    truth = np.random.default_rng(0).uniform(0, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    wrong = truth.copy()
    wrong[0, 1] = 0  # given

    def scores() -> dict:
        clip = hidden_frames(truth, {SHIPPED: wrong}, ~row_and_column(2, 2))
        return score(clip, {})["rows"][0]

    assert (scores()["psnr"], scores()["ssim"]) == (None, pytest.approx(1))  # exact
    wrong[1, 1] += 0.1
    assert scores()["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores()["lpips"] is None
