import dataclasses
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import Config, DataConfig, ModelConfig, SamplerConfig
from full4d_jax.evaluation import generated_grids
from full4d_jax.evaluation.groups import score
from full4d_jax.evaluation.known_clips import KnownClip
from full4d_jax.evaluation.table import PUSH_PULL
from full4d_jax.generation.prior import prior_with
from full4d_jax.media import metrics
from full4d_jax.models.depth_net import DepthNetConfig
from full4d_jax.models.dit import init_params
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth
from input_pipeline.procedural.scene import ProceduralClip


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
    return generated_grids.unseen_pixels(clip, clip.depth[0])


def test_unseen_is_what_the_source_frame_does_not_show():
    """Four pixels of parallax hide four columns at the right border and nothing else."""
    expected = np.zeros((1, 1, 16, 16))
    np.testing.assert_array_equal(unseen(wall(0.0)), expected)
    expected[..., 12:] = 1
    np.testing.assert_array_equal(unseen(wall(0.25)), expected)


def with_sampler(**changes) -> Config:
    return dataclasses.replace(Config(), sampler=SamplerConfig(**changes))


def test_the_shipped_setting_is_always_a_row():
    mean, several = with_sampler(steps=1, noise=0.0), with_sampler(steps=4, noise=1.0)
    assert generated_grids.shipped_row(mean) == "prior, 1 call, zero noise"
    assert generated_grids.shipped_row(several) == "prior, 4 steps from noise"
    other = with_sampler(steps=2, noise=0.5, shift=3.0)
    rows = generated_grids.sampler_rows(other)
    assert len(rows) == 5
    assert rows[generated_grids.shipped_row(other)] == other.sampler
    assert all(row.shift == 3.0 for row in rows.values())


def test_identity_follows_weights_sampler_and_scenes():
    config, clip = Config(), np.zeros(3, np.uint8)
    depth = DepthNetwork(DepthNetConfig(), {"b": jnp.ones(2)})
    prior = prior_with(config, {"a": jnp.ones(3)})
    judge = generated_grids.Judge(config, prior, depth, {})
    mark = generated_grids.identity(judge, clip)
    same = dataclasses.replace(prior, params={"a": jnp.ones(3)})
    assert mark == generated_grids.identity(judge._replace(prior=same), clip)
    longer = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=7))
    assert mark == generated_grids.identity(judge._replace(config=longer), clip)
    other = dataclasses.replace(config, sampler=SamplerConfig(steps=4))
    changed = [
        judge._replace(prior=prior_with(config, {"a": jnp.array([1.0, 1.0, 1.001])})),
        judge._replace(config=other),
        judge._replace(depth=replace(depth, params={"b": jnp.zeros(2)})),
        judge._replace(distances={"lpips": metrics.ssim}),
    ]
    assert mark not in {generated_grids.identity(other, clip) for other in changed}
    assert mark != generated_grids.identity(judge, clip + 1)


def test_an_untrained_prior_is_the_push_pull_row():
    """Without noise its one call returns the filled projection: one start for both rows."""
    model = ModelConfig(width=64, layers=1, heads=1, ffn=64, refiner=0)
    config = Config(model=model, data=DataConfig(views=2, frames=1, height=16, width=16))
    params = jax.jit(init_params, static_argnums=0)(model, jax.random.key(0))
    judge = generated_grids.Judge(config, prior_with(config, params), load_depth(), {})
    known = KnownClip(7, wall(0.25))
    samplers = {"prior": config.sampler}
    projection, rows = generated_grids.fill(judge, known, known.clip.depth[0], samplers)
    np.testing.assert_allclose(rows["prior"], rows[PUSH_PULL], atol=1e-5)
    truth = np.asarray(known.clip.frames[1:])
    holes = np.asarray(unseen(known.clip))
    seen = 1 - holes[..., None]
    for filled in (projection, *rows.values()):
        np.testing.assert_allclose(filled * seen, truth * seen, atol=1 / 255)
    assert np.all(projection * (1 - seen) == 0)
    rows_by_depth = {(PUSH_PULL, "true"): truth}
    clip = generated_grids.known_candidates(
        judge, known, known.clip.depth[0], projection, rows_by_depth
    )
    record = score(clip, "walls", judge.distances)
    assert (record["group"], record["scene"], record["hole_fraction"]) == ("walls", 7, 0.25)
    assert isinstance(judge.depth, DepthNetwork)
    estimate = np.asarray(estimate_depth(judge.depth, 2 * known.clip.frames[0] - 1))
    error = np.abs(estimate / np.median(estimate) - 1).mean()  # the wall is at depth 1
    assert record["depth_absrel"] == pytest.approx(error, rel=1e-4)
    assert record["rows"][0]["ssim"] == pytest.approx(1, abs=1e-5)
    assert {"source", "truth", "projection", "push-pull"} == set(clip.pictures)
    assert {picture.ndim for picture in clip.pictures.values()} == {3}
