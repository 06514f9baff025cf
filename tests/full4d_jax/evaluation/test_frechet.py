"""Fréchet distance against its formula with SciPy's roots of matrices; the clips that FVD takes."""

import numpy as np
import pytest
import scipy.linalg

from full4d_jax.evaluation.frechet import (
    clips_across_views,
    clips_in_time,
    frechet_distance,
    to_clip,
)


def draw(mean, covariance, count: int, seed: int) -> np.ndarray:
    """Features whose own mean and covariance are exactly these."""
    plain = np.random.default_rng(seed).normal(size=(count, len(mean)))
    plain -= plain.mean(0)
    white = plain @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(plain.T)))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def spread(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T / size + 0.1 * np.eye(size)


@pytest.mark.parametrize(("size", "counts"), [(1, (5, 9)), (6, (40, 30)), (30, (200, 64))])
def test_known_normal_distributions(size, counts):
    means = np.zeros(size), np.linspace(0.5, 1, size)
    spreads = spread(size, 1), spread(size, 2)
    known = zip(means, spreads, counts, strict=True)
    sets = [draw(mean, covariance, n, n) for mean, covariance, n in known]
    root = np.real(scipy.linalg.sqrtm(spreads[0] @ spreads[1]))
    expected = ((means[1] - means[0]) ** 2).sum() + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(*sets[::-1]) == pytest.approx(expected, rel=1e-9)


def test_sets_smaller_than_their_features_have_the_distance_of_their_shares():
    """Both spread in one direction: variances 2 and 8 there, nothing else; means 3 apart."""
    direction = np.zeros(50)
    direction[7] = 1
    a, b = (np.outer([-s, s], direction) for s in (1.0, 2.0))
    expected = 9 + (np.sqrt(8) - np.sqrt(2)) ** 2
    assert frechet_distance(a, b + 3 * np.eye(50)[3]) == pytest.approx(expected)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="sets of 1 and 2"):
        frechet_distance(a[:1], b)


def test_the_source_is_no_clip_and_views_of_an_instant_are_one():
    frames = np.arange(3 * 4, dtype=np.uint8).reshape(3, 4, 1, 1, 1)
    frames = np.repeat(frames, 3, -1)
    assert clips_in_time(frames)[:, :, 0, 0, 0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert clips_across_views(frames)[1, :, 0, 0, 0].tolist() == [1, 5, 9]
    assert clips_in_time(frames[:1]).shape[0] == 1


def test_short_clips_go_there_and_back_and_long_ones_are_cut():
    video = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None], 3, -1)
    video = np.broadcast_to(video, (20, 8, 6, 3))

    def shown(length):
        clip = to_clip(video[:length])
        assert clip.shape[1:] == (224, 224, 3)
        assert (clip == clip[:, :1, :1, :1]).all()
        return np.round((clip[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()

    assert shown(3) == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert shown(2) == [0, 1] * 8
    assert shown(17) == list(range(17))
