"""What a prior makes of clips and grids is scored on the right pixels, beside baselines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import Config, DataConfig, ModelConfig
from full4d_jax.evaluation import prior_rows
from full4d_jax.evaluation.fidelity import score
from full4d_jax.evaluation.known_clips import KnownClip
from full4d_jax.evaluation.prior_rows import Judge, hidden_frames
from full4d_jax.evaluation.table import PUSH_PULL
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.models.dit import init_params
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth
from input_pipeline.procedural.scene import ProceduralClip

SHIPPED = "prior, 1 call, zero noise"


def wall(shift: float, size: int = 16) -> ProceduralClip:
    """A textured wall at depth 1, from a source and a target that stands `shift` to its right."""
    focal = float(size)
    texture = np.random.default_rng(0).random((size, size, 3)).astype(np.float32)
    moved = np.eye(4, dtype=np.float32)
    moved[0, 3] = -shift
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    other = np.roll(texture, -round(shift * focal), 1)
    return ProceduralClip(
        frames=jnp.array([texture, other])[:, None],
        depth=jnp.ones((2, 1, size, size)),
        intrinsics=jnp.array([intrinsics, intrinsics]),
        world_to_camera=jnp.array([np.eye(4, dtype=np.float32), moved])[:, None],
        timestamps=jnp.zeros(1),
    )


def unseen(clip: ProceduralClip):
    return prior_rows.unseen_pixels(clip, clip.depth[0])


def test_unseen_is_what_the_source_frame_does_not_show():
    """Four pixels of parallax hide four columns at the right border and nothing else."""
    expected = np.zeros((1, 1, 16, 16))
    np.testing.assert_array_equal(unseen(wall(0.0)), expected)
    expected[..., 12:] = 1
    np.testing.assert_array_equal(unseen(wall(0.25)), expected)


def test_an_untrained_prior_is_the_push_pull_row():
    """Without noise its one call returns the filled projection: one start for both rows."""
    model = ModelConfig(width=64, layers=1, heads=1, ffn=64, refiner=0)
    config = Config(model=model, data=DataConfig(views=2, frames=1, height=16, width=16))
    params = jax.jit(init_params, static_argnums=0)(model, jax.random.key(0))
    judge = Judge(config, prior_with(config, params), load_depth(), {})
    known = KnownClip(7, wall(0.25))
    rows = prior_rows.fill(judge, known, known.clip.depth[0], {"prior": config.sampler})
    np.testing.assert_allclose(rows["prior"], rows[PUSH_PULL], atol=1e-5)
    truth = np.asarray(known.clip.frames[1:])
    seen = 1 - np.asarray(unseen(known.clip))[..., None]
    for filled in rows.values():
        np.testing.assert_allclose(filled * seen, truth * seen, atol=1 / 255)
    by_depth = {(PUSH_PULL, "true"): truth}
    assert isinstance(judge.depth, DepthNetwork)
    estimate = np.asarray(estimate_depth(judge.depth, 2 * known.clip.frames[0] - 1))
    depths = {"true": known.clip.depth[0]}
    clip = prior_rows.with_truth(judge, known, depths, by_depth, jnp.asarray(estimate))
    record = score(clip, "walls", judge.distances)
    assert (record["group"], record["scene"], record["hole_fraction"]) == ("walls", 7, 0.25)
    error = np.abs(estimate / np.median(estimate) - 1).mean()  # the wall is at depth 1
    assert record["depth_absrel"] == pytest.approx(error, rel=1e-4)
    assert record["rows"][0]["ssim"] == pytest.approx(1, abs=1e-5)


def test_scores_of_grids_count_hidden_frames_only():
    truth = np.random.default_rng(0).uniform(0, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    wrong = truth.copy()
    wrong[0, 1] = 0  # given

    def scores() -> dict:
        clip = hidden_frames(0, truth, {SHIPPED: wrong}, ~row_and_column(2, 2))
        return score(clip, "grids", {})["rows"][0]

    assert (scores()["psnr"], scores()["ssim"]) == (None, pytest.approx(1))  # exact
    wrong[1, 1] += 0.1
    assert scores()["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores()["lpips"] is None
