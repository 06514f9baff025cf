"""Fused time-view attention against the dense masked softmax, and the mask against its sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.models.attention import allowed_frames, dense_attention, fused_attention


@pytest.mark.parametrize(
    ("views", "frames", "tokens", "cross_half"),
    [
        (4, 1, 6, False),
        (3, 4, 5, False),
        (1, 3, 4, False),
        (3, 4, 5, True),
        (5, 6, 3, True),
        (1, 2, 4, True),
    ],
)
def test_fused_attention_equals_the_dense_mask(views, frames, tokens, cross_half):
    q, k, v, cotangent = (
        jax.random.normal(jax.random.key(i), (2, views, frames, tokens, 2, 8)) for i in range(4)
    )

    def run(attention):
        out, pull = jax.vjp(lambda *x: attention(*x, cross_half=cross_half), q, k, v)
        return out, *pull(cotangent)

    for found, expected in zip(run(fused_attention), run(dense_attention), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_large_logits_do_not_overflow():
    q = 60 * jax.random.normal(jax.random.key(0), (1, 3, 2, 4, 1, 8))
    found = fused_attention(q, q, q, cross_half=True)
    np.testing.assert_allclose(
        found, dense_attention(q, q, q, cross_half=True), rtol=1e-4, atol=1e-4
    )


def test_mask_in_words():
    allowed = allowed_frames(3, 6, cross_half=True)  # f = 3
    assert allowed[2, 1, 2, 5]  # its own view at any time
    assert allowed[2, 1, 0, 1]  # any view at its time
    assert allowed[2, 1, 0, 4]  # the input video at its time
    assert not allowed[2, 1, 1, 4]  # but no other view's projection
    assert not allowed[2, 4, 0, 1]  # the projected half does not look back
    assert not allowed[2, 1, 0, 2]


def test_share_of_allowed_pairs_at_the_papers_grid():
    density = allowed_frames(6, 42, cross_half=True).mean()
    assert round(100 * float(density), 1) == 18.8  # 6 views, 21 + 21 latent frames


def test_the_mask_is_not_a_sum_of_attentions():
    q, k, v = (jax.random.normal(jax.random.key(i), (1, 3, 2, 4, 1, 8)) for i in range(3))
    fused = fused_attention(q, k, v, cross_half=False)

    def full(x):  # every view on its own
        return jnp.concatenate(
            [fused_attention(*(y[:, i : i + 1] for y in x), cross_half=False) for i in range(3)], 1
        )

    assert float(jnp.abs(fused - full((q, k, v))).max()) > 0.1
