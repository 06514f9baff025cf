"""Depth of a source that moves: estimated at once, or written to a file and given again."""

from pathlib import Path

import numpy as np
import pytest
from handheld_clips import FRAMES, HEIGHT, LENS, WIDTH, arc, film

from full4d_jax.cameras import Cameras
from full4d_jax.grid import Grid, all_real, around_source, seen_in
from full4d_jax.source import depth_stage
from full4d_jax.source.depth.file_network import FileNetwork
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.onnx_signatures import DEPTH_ANYTHING
from full4d_jax.source.handheld.path_scale import settle_scale
from full4d_jax.source.subjects import Subjects
from input_pipeline.depth_alignment import SparseDepth
from input_pipeline.pinhole import relative_to


def room() -> tuple[Grid, np.ndarray]:
    """A room from a camera that travels, 200 points of known depth in every frame; its depth."""
    frames, true = film(arc())
    poses = relative_to(arc(), arc()[0]).astype(np.float32)
    cameras = Cameras(LENS[None].astype(np.float32), poses[None], HEIGHT, WIDTH)
    instants = np.repeat(np.arange(FRAMES), 200)
    pixels = np.random.default_rng(0).uniform(0, 1, (len(instants), 2)) * (
        WIDTH,
        HEIGHT,
    )
    column, row = pixels.astype(int).T
    points = SparseDepth(instants, pixels, true[instants, row, column].astype(float))
    source = Grid(
        frames=frames[None],
        origin=all_real(frames[None]),
        times=np.arange(FRAMES) / 8,
        cameras=cameras,
        points=seen_in(0, points),
    )
    return source, true


def network(true: np.ndarray, kind) -> FileNetwork:
    """Network that gives these depths up to a scale, or their disparity up to a line, by frame."""
    rng = np.random.default_rng(0)
    scale, shift = np.exp(rng.normal(0, 0.1, FRAMES)), 0.2 * rng.uniform(0, 1, FRAMES)
    answers = iter(
        (s / z + b if kind == "disparity" else s * z).astype(np.float32)
        for s, b, z in zip(scale, shift, true, strict=True)
    )
    called = Network(lambda _: {"depth": next(answers)[None]}, [1, 3, HEIGHT, WIDTH])
    return FileNetwork(Path("x.onnx"), called, DEPTH_ANYTHING, kind)


@pytest.mark.parametrize(
    "kind", ["depth", pytest.param("disparity", marks=pytest.mark.slow)]
)
def test_depth_that_is_given_again_is_as_right_as_at_first(kind):
    source, true = room()
    measured = depth_stage.measure_depth(source, network(true, kind))
    depth = measured.depth
    unit = measured.unit
    assert measured.metres is None
    again, unit_again = settle_scale(source, depth, estimated=False)
    seen = depth > 0
    metric = unit * depth, unit_again * again
    errors = [np.abs(x / true - 1)[seen].mean() for x in metric]
    assert seen.mean() > 0.8
    assert max(errors) < 0.015
    assert abs(errors[1] - errors[0]) < 0.002


def test_what_is_smeared_between_two_legs_is_the_wall_behind():
    """The network sees one near block where two legs are, and is right about the empty room."""
    lens = np.array([[130.0, 0, 80], [0, 130.0, 60], [0, 0, 1]])
    rest = np.tile(np.eye(4), (2, 1, 1))
    legs = np.zeros((2, 120, 160), np.int32)
    legs[:, 30:110, 60:70] = 1
    legs[:, 30:110, 80:90] = 1
    depth = np.full((2, 120, 160), 2.0, np.float32)
    depth[:, 28:112, 57:93] = 1.0
    frames = np.full((2, 120, 160, 3), 90, np.uint8)
    subjects = Subjects(legs, ("thing",))

    def empty_room(picture: np.ndarray) -> np.ndarray:
        return np.full(picture.shape[:2], 2.0)

    cameras = Cameras(lens[None], rest[None], 120, 160)
    source = around_source(frames[None], depth[None], cameras)
    held, _ = depth_stage.hold_constraints(source, subjects, empty_room, legs < 0)
    np.testing.assert_allclose(held[legs == 1], 1.0, rtol=0.05)
    np.testing.assert_allclose(held[legs == 0], 2.0, rtol=0.05)
