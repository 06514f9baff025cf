"""Masks by name and from a user's file: what they say, and attention under each of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import with_gradients
from einops import rearrange
from random_arrays import normal
from rows_by_xla import row_backward, row_forward

from full4d_jax.config import Config, MeshConfig, ModelConfig, check_config
from full4d_jax.config.masks import MASKS, allowed_frames
from full4d_jax.models.attention import flash
from full4d_jax.models.attention.flash import flash_attention
from full4d_jax.models.attention.fused import (
    attention_on_mesh,
    cross_attention_on_mesh,
    fused_attention,
)
from full4d_jax.models.attention.mask import Pattern, listed_attention
from full4d_jax.models.attention.splash import splash_attention
from full4d_jax.models.sharding import make_mesh, swap_axes
from full4d_jax.models.tokens import TokenGrid, flatten
from full4d_jax.session.errors import InputError

NEAR = """
def near(i, j):
    return abs(i.view - j.view) + abs(i.time - j.time) < 2
"""
V, T = 4, 12  # six frames to generate, six projected ones


@pytest.fixture(autouse=True)
def no_cudnn(monkeypatch):
    monkeypatch.setattr(flash, "row_forward", row_forward)
    monkeypatch.setattr(flash, "row_backward", row_backward)


def values_and_gradients(attend, shape):
    return jax.jit(with_gradients(attend))(*normal_draws(shape))


@functools.cache
def normal_draws(shape):
    return [normal(i, shape) for i in range(4)]


@functools.cache
def expected(mask, shape, halves=True):
    return dense(*normal_draws(shape), allowed_frames(shape[1], shape[2], halves, mask))


@jax.jit
def dense(q, k, v, cotangent, allowed):
    """Values and gradients of the masked softmax: one program for all masks of a size."""
    _, views, frames, tokens, _, width = q.shape
    mask = allowed.reshape(views * frames, -1).repeat(tokens, 0).repeat(tokens, 1)

    def attend(q, k, v):
        q, k, v = (rearrange(x, "b v t s k d -> b k (v t s) d") for x in (q, k, v))
        logits = jnp.where(mask, jnp.einsum("bknd,bkmd->bknm", q, k) * width**-0.5, -jnp.inf)
        out = jnp.einsum("bknm,bkmd->bknd", jax.nn.softmax(logits, -1), v)
        return rearrange(out, "b k (v t s) d -> b v t s k d", v=views, t=frames)

    return with_gradients(attend)(q, k, v, cotangent)


@pytest.mark.parametrize("mask", MASKS)
def test_equals_the_dense_mask(mask):
    shape = (1, V, T, 5, 1, 8)
    attend = functools.partial(listed_attention, cross_half=True, mask=mask)
    for a, b in zip(values_and_gradients(attend, shape), expected(mask, shape), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


@pytest.mark.parametrize("kernel", [flash_attention, splash_attention])
@pytest.mark.parametrize("mask", ["neighbours", "causal"])
def test_kernels_equal_the_dense_mask(kernel, mask):
    shape = (1, 3, 4, 5, 1, 8)
    attend = functools.partial(kernel, cross_half=True, mask=mask, interpret=True)
    for a, b in zip(values_and_gradients(attend, shape), expected(mask, shape), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


def test_the_lists_go_on_from_what_cudnn_read_of_own_views():
    shape = (1, 3, 4, 5, 1, 8)
    attend = functools.partial(flash_attention, cross_half=True, rows_by_cudnn=True, interpret=True)
    computed = values_and_gradients(functools.partial(attend, mask="neighbours"), shape)
    for a, b in zip(computed, expected("neighbours", shape), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)
    with pytest.raises(InputError, match=r"model\.gpu_attention: found cudnn, expected flash"):
        values_and_gradients(functools.partial(attend, mask="causal"), shape)


@pytest.mark.parametrize("mask", ["time_view", "causal"])
@pytest.mark.parametrize("heads", [8, 2])
def test_equals_the_dense_mask_on_a_mesh(mask, heads):
    """Eight heads are traded for tokens; with two, keys are gathered over `view`."""
    assert swap_axes(heads, 4, 2) == (
        (("view", "time"), ()) if heads == 8 else (("time",), ("view",))
    )
    shape = (1, V, T, 2, heads, 8)
    grid, mesh = TokenGrid(*shape[1:4]), make_mesh(MeshConfig(data=1, view=4, time=2))

    def attend(q, k, v):
        out = attention_on_mesh(
            lambda q, k, v, _: fused_attention(q, k, v, cross_half=True, mask=mask),
            *(flatten(x) for x in (q, k, v)),
            cameras=None,
            pattern=Pattern(grid, "all", mask, cross_half=True),
        )
        return grid.unflatten(out)

    with jax.set_mesh(mesh):
        found = values_and_gradients(attend, shape)
    for a, b in zip(found, expected(mask, shape), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=3e-6)


def test_cross_attention_on_a_mesh():
    draws = (normal(i, (2, n, 4, 8)) for i, n in enumerate((24, 5, 5)))
    q, k, v = draws
    with jax.set_mesh(make_mesh(MeshConfig(data=2, view=2, time=1, tensor=2))):
        found = jax.jit(cross_attention_on_mesh)(q, k, v)
        traced = jax.jit(cross_attention_on_mesh).trace(q, k, v)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("__gpu$xla.gpu.triton") == 1
    expected = jax.nn.dot_product_attention(q, k, v)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=3e-6)


def test_masks_in_words():
    """Views 0 to 5 at the instants 0 to 5 of two halves."""

    def reads(mask, i, j):  # view, instant, half
        (vi, ti, hi), (vj, tj, hj) = i, j
        return bool(allowed_frames(6, 12, True, mask)[vi, ti + 6 * hi, vj, tj + 6 * hj])

    me = (2, 5, 0)
    assert reads("windowed", me, (2, 1, 1))
    assert not reads("windowed", me, (2, 0, 1))
    assert reads("neighbours", me, (3, 5, 0))
    assert reads("neighbours", me, (0, 5, 0))
    assert not reads("neighbours", me, (4, 5, 0))
    assert reads("causal", me, (2, 4, 1))
    assert not reads("causal", (2, 4, 0), (2, 5, 1))
    assert reads("time_view", me, (0, 5, 1))
    assert not reads("without_cross_half", me, (0, 5, 1))
    assert reads("without_cross_half", me, (1, 5, 0))


def test_a_function_of_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(NEAR)
    mask, shape = f"{file}:near", (1, 3, 8, 2, 1, 8)
    attend = functools.partial(fused_attention, cross_half=True, mask=mask)
    for a, b in zip(values_and_gradients(attend, shape), expected(mask, shape), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)
    allowed = allowed_frames(3, 8, True, mask)
    assert allowed[1, 2, 1, 3 + 4]
    assert not allowed[1, 2, 2, 3]


def test_what_is_no_mask_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def f(i, j): return (i.view > 0) & (i.view == j.view)")
    config = Config(model=ModelConfig(mask=f"{file}:f"))
    with pytest.raises(InputError, match=r"read nothing: \[\[0, 0\]\]"):
        check_config(config)
