"""MEt3R on walls whose place is known, and networks of pointmaps that are none."""

import numpy as np
import published_graphs
import pytest

from full4d_jax.evaluation.without_truth.pointmaps import (
    RADIUS,
    PairMaps,
    draw_points,
    load_features,
    load_pointmaps,
    met3r,
    pair_scores,
)
from full4d_jax.session.errors import InputError

SIDE, DEPTH = 64, 2.0


def wall(shift: float = 0.0) -> np.ndarray:
    """Points of a wall (h w 3), seen with a focal length of SIDE, `shift` pixels to the right."""
    row, column = np.mgrid[:SIDE, :SIDE] + 0.5
    x, y = (column - SIDE / 2 + shift, row - SIDE / 2)
    return np.stack([x * DEPTH / SIDE, y * DEPTH / SIDE, np.full_like(x, DEPTH)], -1)


def pair(shift: float) -> PairMaps:
    """Two pictures of a wall, of which the second shows what lies `shift` pixels to the right."""
    confidence = np.stack([np.full((SIDE, SIDE), 1e6), np.ones((SIDE, SIDE))])
    pictures = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    return PairMaps(pictures, np.stack([wall(), wall(shift)]), confidence)


def directions(angle: np.ndarray) -> np.ndarray:
    """Features of this angle, degrees, and of lengths that do not count."""
    angle = np.radians(angle)
    return np.stack([np.cos(angle), np.sin(angle)], -1) * np.linspace(1, 3, SIDE)[:, None, None]


def test_what_moves_with_the_wall_is_consistent():
    angle = np.add.outer(np.zeros(SIDE), np.arange(SIDE + 8.0) * 11)
    moved = np.stack([directions(angle[:, :SIDE]), directions(angle[:, 8:])])
    assert met3r(pair(8), moved) == pytest.approx(0, abs=1e-4)
    assert met3r(pair(0), moved) == pytest.approx(1 - np.cos(np.radians(88)), abs=1e-3)


def test_only_pixels_of_both_views_count():
    """A quarter of the second view lies beyond the first; a third of the rest is of 60 degrees."""
    angle = np.zeros((SIDE, SIDE))
    angle[:, :16] = 60
    angle[:, 48:] = 180  # lands outside the first view
    features = np.stack([directions(np.zeros_like(angle)), directions(angle)])
    assert met3r(pair(16), features) == pytest.approx(0.5 / 3, abs=1e-3)
    assert np.isnan(met3r(pair(2 * SIDE), features))


def test_the_nearest_points_hide_others_as_far_as_they_fade():
    side = 256  # a radius of 1.28 pixels
    radius = RADIUS * side / 2
    # One point at the middle of the pixel (128, 129), two behind it, one behind the camera.
    ray = np.array([1.5 / side, 0.5 / side, 1.0])
    points = np.stack([3 * ray, ray, 2 * ray, -ray])
    values = np.array([[100.0], [1.0], [10.0], [1000.0]])
    picture, hit = draw_points(points, values, np.full(2, 256.0), (side, side))
    fades = 1 - 1 / radius**2  # a pixel farther
    assert picture[128, 129] == pytest.approx(1, abs=1e-5)
    expected = fades * (1 + (1 - fades) * 10 + (1 - fades) ** 2 * 100)
    assert picture[128, 130] == pytest.approx(expected, rel=1e-4)
    assert picture[127, 129] == pytest.approx(expected, rel=1e-4)
    assert hit.sum() == 5
    assert not picture[~hit].any()


@pytest.mark.extra("onnx")
@pytest.mark.extra("onnxruntime")
def test_a_network_with_the_published_outputs_scores_pairs_of_views(tmp_path):
    pointmaps = load_pointmaps(published_graphs.published(tmp_path, "dust3r"))
    features = load_features(published_graphs.published(tmp_path, "colours"))
    frames = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 8, 3)).astype(np.uint8)
    frames = frames.repeat(32, 2).repeat(32, 3)
    scores = pair_scores(frames, pointmaps, features)
    views = frames.mean((1, 2, 3, 4)) / 127.5 - 1
    assert scores["confidence"] == pytest.approx(2 + views @ [0.25, 0.5, 0.25], abs=1e-4)
    assert 0.2 < scores["met3r"] < 2
    same = pair_scores(frames[[0, 0]], pointmaps, features)
    assert same["met3r"] < 0.01  # the authors' epsilon counts where points are small and faint
    assert set(pair_scores(frames, pointmaps, None)) == {"confidence"}


@pytest.mark.extra("onnx")
@pytest.mark.extra("onnxruntime")
def test_networks_of_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"pointmaps: .*none.onnx: found no such file"):
        load_pointmaps(tmp_path / "none.onnx")
    depth = published_graphs.published(tmp_path, "da2")
    with pytest.raises(InputError, match="found 1 inputs of pictures"):
        load_pointmaps(depth)
    with pytest.raises(InputError, match=r"an output \(1, 64, 64\).*expected a network from a pic"):
        load_features(depth)(np.zeros((64, 64, 3), np.uint8))
    graph = published_graphs.SCORING["dust3r"]
    unsure = graph._replace(outputs="float[1,48,64,3] pts3d1, float[1,48,64,3] pts3d2")
    with pytest.raises(InputError, match=r"outputs pts3d1, pts3d2, expected .* two conf"):
        load_pointmaps(published_graphs.write(tmp_path / "unsure.onnx", unsure))
    flat = graph._replace(body=graph.body.replace("conf2 = Add (m2, two)", "conf2 = Identity (m)"))
    flat = flat._replace(body=flat.body.replace("pts3d2 = Identity (pts3d1)", "pts3d2 = Log (z)"))
    network = load_pointmaps(published_graphs.write(tmp_path / "flat.onnx", flat))
    with pytest.raises(InputError, match=r"an output pts3d2 \(1, 48, 64\)"):
        network(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8))
