"""All implementations of attention against the dense masked softmax, and what masks say."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import oracle, with_gradients
from random_arrays import normal
from rows_by_xla import row_backward, row_forward

from full4d_jax.config import Config, Fused, MeshConfig, ModelConfig, check_config
from full4d_jax.config.masks import MASKS, allowed_frames
from full4d_jax.models.dit.attention import flash
from full4d_jax.models.dit.attention.flash import attend_to_all, flash_attention
from full4d_jax.models.dit.attention.fused import (
    attention_on_mesh,
    cross_attention_on_mesh,
    fused_attention,
)
from full4d_jax.models.dit.attention.mask import Pattern, listed_attention
from full4d_jax.models.dit.attention.merged import merged_attention
from full4d_jax.models.dit.attention.splash import splash_attention
from full4d_jax.models.dit.sharding import make_mesh, swap_axes
from full4d_jax.models.dit.tokens import TokenGrid, flatten
from full4d_jax.session.errors import InputError

IMPLEMENTATIONS = {
    "merged": merged_attention,
    "listed": listed_attention,
    "flash": functools.partial(flash_attention, interpret=True),
    "by_cudnn": functools.partial(flash_attention, rows_by_cudnn=True, interpret=True),
    "splash": functools.partial(splash_attention, interpret=True),
}
SIZES = [  # b v t s k d, cross_half
    ((2, 3, 4, 5, 2, 8), True),
    # The halves of an odd number: the last frame belongs to none.
    ((1, 3, 5, 7, 1, 8), True),
    ((1, 4, 3, 5, 1, 8), False),
]
NEAR = """
def near(i, j):
    return abs(i.view - j.view) + abs(i.time - j.time) < 2
"""
V, T = 4, 12  # six frames to generate, six projected ones


@pytest.fixture(autouse=True)
def no_cudnn(monkeypatch):
    monkeypatch.setattr(flash, "row_forward", row_forward)
    monkeypatch.setattr(flash, "row_backward", row_backward)


@functools.cache
def draws(shape, dtype=jnp.float32):
    return [normal(i, shape, dtype) for i in range(4)]


def solve(attend, shape, dtype=jnp.float32):
    """The output, and the gradients of a random projection of it, as one jitted function."""
    found = jax.jit(with_gradients(attend))(*draws(shape, dtype))
    return [np.asarray(x, np.float32) for x in found]


@functools.cache
def values_and_gradients(attend, shape, dtype, cross_half):
    return solve(functools.partial(attend, cross_half=cross_half), shape, dtype)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize(("shape", "cross_half"), SIZES, ids=str)
def test_equals_the_dense_mask(name, shape, cross_half):
    found = values_and_gradients(IMPLEMENTATIONS[name], shape, jnp.float32, cross_half)
    assert_same(found, values_and_gradients(oracle, shape, jnp.float32, cross_half))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_is_as_near_to_the_truth_in_bfloat16_as_the_oracle_is(name):
    """Rounding differs, so both are compared with the dense mask in float32 on the same numbers."""
    shape = (1, 3, 4, 16, 2, 32)

    def exact(q, k, v, *, cross_half):
        return oracle(
            *(x.astype(jnp.float32) for x in (q, k, v)), cross_half=cross_half
        )

    def rounded(*args, **kwargs):
        return exact(*args, **kwargs).astype(jnp.bfloat16)

    truth = values_and_gradients(rounded, shape, jnp.bfloat16, True)
    dense = values_and_gradients(oracle, shape, jnp.bfloat16, True)
    found = values_and_gradients(IMPLEMENTATIONS[name], shape, jnp.bfloat16, True)
    for a, b, c in zip(found, dense, truth, strict=True):
        assert np.linalg.norm(a - c) < 2 * np.linalg.norm(b - c)
        assert np.linalg.norm(a - c) < 0.01 * np.linalg.norm(c)


@pytest.mark.parametrize(("queries", "keys"), [(70, 5), (3, 130)])
def test_flash_attends_to_another_number_of_keys(queries, keys):
    sizes = enumerate((queries, keys, keys, queries))
    draws = [normal(i, (2, n, 2, 16)) for i, n in sizes]
    ours = functools.partial(attend_to_all, interpret=True)
    found = jax.jit(with_gradients(ours))(*draws)
    assert_same(found, jax.jit(with_gradients(jax.nn.dot_product_attention))(*draws))


def test_forward_mode():
    draws = tuple(normal(i, (1, 3, 4, 5, 1, 8)) for i in range(6))

    def run(attend):
        attend = functools.partial(attend, cross_half=True)
        return jax.jit(lambda x, dx: jax.jvp(attend, x, dx))(draws[:3], draws[3:])

    assert_same(run(merged_attention), run(oracle))


@pytest.mark.parametrize("attend", [merged_attention, listed_attention])
def test_keeps_no_logits(attend):
    """Memory for the backward pass is linear in the tokens, where the dense mask's is quadratic."""

    def temporary_bytes(attend, frames):
        x = jax.ShapeDtypeStruct((1, 2, frames, 32, 1, 16), jnp.float32)
        gradient = jax.grad(lambda *x: attend(*x, cross_half=True).sum(), (0, 1, 2))
        memory = jax.jit(gradient).lower(x, x, x).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    def growth(attend):
        return temporary_bytes(attend, 64) / temporary_bytes(attend, 16)

    assert growth(attend) < 5
    assert growth(oracle) > 10


@functools.cache
def expected(mask, shape):
    return solve(functools.partial(oracle, cross_half=True, mask=mask), shape)


FEW = (1, 3, 4, 5, 1, 8)


@pytest.mark.parametrize("mask", MASKS)
def test_lists_equal_the_dense_mask(mask):
    shape = (1, V, T, 5, 1, 8)
    attend = functools.partial(listed_attention, cross_half=True, mask=mask)
    assert_same(solve(attend, shape), expected(mask, shape))


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        *itertools.product(("flash", "splash"), ("neighbours", "causal")),
        ("by_cudnn", "neighbours"),
    ],
)
def test_kernels_equal_the_dense_mask(name, mask):
    """The lists of a kernel go on from what cuDNN read of own views."""
    attend = functools.partial(IMPLEMENTATIONS[name], cross_half=True, mask=mask)
    assert_same(solve(attend, FEW), expected(mask, FEW))


def test_cudnn_is_refused_where_a_mask_cuts_own_views():
    words = r"model\.gpu_attention: found cudnn, expected flash"
    attend = functools.partial(
        IMPLEMENTATIONS["by_cudnn"], cross_half=True, mask="causal"
    )
    with pytest.raises(InputError, match=words):
        solve(attend, FEW)


@pytest.mark.parametrize("mask", ["time_view", "causal"])
@pytest.mark.parametrize("heads", [8, 2])
def test_equals_the_dense_mask_on_a_mesh(mask, heads):
    """Eight heads are traded for tokens; with two, keys are gathered over `view`."""
    swapped = {8: (("view", "time"), ()), 2: (("time",), ("view",))}
    assert swap_axes(heads, 4, 2) == swapped[heads]
    shape = (1, V, T, 2, heads, 8)
    grid, mesh = TokenGrid(*shape[1:4]), make_mesh(MeshConfig(data=1, view=4, time=2))

    def attend(q, k, v):
        out = attention_on_mesh(
            None,
            *(flatten(x) for x in (q, k, v)),
            cameras=None,
            pattern=Pattern(grid, False, mask, cross_half=True),
        )
        return grid.unflatten(out)

    with jax.set_mesh(mesh):
        found = solve(attend, shape)
    assert_same(found, expected(mask, shape))


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
    assert_same(solve(attend, shape), expected(mask, shape))
    allowed = allowed_frames(3, 8, True, mask)
    assert allowed[1, 2, 1, 3 + 4]
    assert not allowed[1, 2, 2, 3]


def test_what_is_no_mask_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def f(i, j): return (i.view > 0) & (i.view == j.view)")
    config = Config(model=ModelConfig(attention=Fused(f"{file}:f")))
    with pytest.raises(InputError, match=r"read nothing: \[\[0, 0\]\]"):
        check_config(config)
