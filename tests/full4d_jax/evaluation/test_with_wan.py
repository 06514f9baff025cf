"""A data set's split is evaluated through Wan's codec, at toy width: scores are those by hand."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params
from toy_codec import save_toy_codec
from toy_wan import SMALL

from full4d_jax.cameras import cameras_of
from full4d_jax.config import MeshConfig, SamplerConfig, load_config
from full4d_jax.evaluation import prior_rows, results
from full4d_jax.evaluation.known_clips import split_clips
from full4d_jax.evaluation.table import COPY
from full4d_jax.generation.batch import make_conditions, mark_first_frame
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.dit import velocity
from full4d_jax.source.capture_source import open_split
from full4d_jax.source.depth.estimate import load_depth
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips

SIZE = {"views": 3, "frames": 5, "height": 32, "width": 32}
GUIDANCE = 2.5


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    clips = ProceduralClips(first=0, count=2, views=3, frames=5, height=32, width=32)
    write_dataset(folder, clips, name="scenes", splits={"test": 1.0})
    return open_split(folder, "test")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The preset of Wan2.2-TI2V-5B but for its sizes, its weights and one step of sampling."""
    wan = load_config("configs/wan22_5b.py")
    config = dataclasses.replace(
        wan,
        codec_weights=save_toy_codec(tmp_path_factory.mktemp("codec") / "vae", "wan22"),
        model=dataclasses.replace(wan.model, **SMALL, precision="float32", remat="none"),
        data=dataclasses.replace(wan.data, **SIZE),
        sampler=SamplerConfig(steps=1, noise=1.0, guidance=GUIDANCE),
        mesh=MeshConfig(data=1),
    )

    params = random_params(config.model, 0.3)
    return prior_rows.Judge(config, prior_with(config, params), load_depth(), {})


def by_hand(judge, known):
    """The targets in [0, 1] after one step from noise, z - v, with guidance by the projection."""
    clip, prior = known.clip, judge.prior
    key = jax.random.fold_in(jax.random.key(judge.config.seed), known.scene)

    @jax.jit
    def generate(frames, depth, cameras):
        def conditions(depth):
            made, _ = make_conditions(
                prior.model, frames[None], depth[None], cameras, prior.codec_weights
            )
            made = jax.tree.map(lambda x: x[None], made)
            return made._replace(real=mark_first_frame(*made.base.shape[:3]))

        whole, without = conditions(depth), conditions(0 * depth)
        z = jax.random.normal(key, whole.projection.shape)
        z = z.at[:, 0, 0].set(whole.projection[:, 0, 0])  # the source's first latent frame
        network = velocity(prior.model, prior.params)
        v, away = (network(z, jnp.ones(1), given) for given in (whole, without))
        return prior.codec.decode((z - v - (GUIDANCE - 1) * (v - away))[0, 1:])

    made = generate(2 * clip.frames[0] - 1, clip.depth[0], cameras_of(clip))
    return np.clip(np.asarray(made) / 2 + 0.5, 0, 1)


def psnr(image, truth, mask=None):
    error = np.square(np.asarray(image, float) - truth).mean(-1)
    return -10 * math.log10(error.mean() if mask is None else error[mask > 0].mean())


@pytest.mark.slow
def test_scores_are_those_of_the_grid_by_hand(judge, records, tmp_path, monkeypatch):
    monkeypatch.setattr(prior_rows, "NOISY_STEPS", (1,))  # each number of steps compiles a program
    whole, scored = results.score, []

    def keeping(clip, group, distances):
        scored.append(clip)
        return whole(clip, group, distances)

    monkeypatch.setattr(results, "score", keeping)
    prior_rows.evaluate_split(judge, tmp_path, records)
    lines = [json.loads(x) for x in (tmp_path / "scores.jsonl").read_text().splitlines()[1:]]
    clips = list(split_clips(records, judge.config.data, range(len(records))))
    assert [line["scene"] for line in lines] == [known.scene for known in clips] == [0, 1]
    for line, known, result in zip(lines, clips, scored, strict=True):
        rows = {(row.pop("row"), row.pop("depth")): row for row in line["rows"]}
        assert {depth for _, depth in rows} == {"none", "true", "ours"}
        for row in rows.values():
            assert all(math.isfinite(row[name]) for name in ("psnr", "ssim", "psnr_unseen"))
        truth = np.asarray(known.clip.frames[1:])
        holes = np.asarray(prior_rows.unseen_pixels(known.clip, known.clip.depth[0]))
        copied = np.broadcast_to(known.clip.frames[0], truth.shape)
        shipped = prior_rows.shipped_row(judge.config), "true"
        for name, grid in (((COPY, "none"), copied), (shipped, by_hand(judge, known))):
            np.testing.assert_allclose(result.rows[name], grid, atol=1e-4)
            assert rows[name]["psnr"] == pytest.approx(psnr(grid, truth), abs=3e-4)
            assert rows[name]["psnr_unseen"] == pytest.approx(psnr(grid, truth, holes), abs=3e-4)
        assert rows[shipped]["psnr"] != rows[shipped[0], "ours"]["psnr"]
    assert (tmp_path / "evaluation.md").read_text().count("| prior") >= 4
