"""Which widths of heads are refused by name, and that the kernels agree."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from full4d_jax.config import Config, ModelConfig, check_config
from full4d_jax.config.rules import check_heads
from full4d_jax.models.attention.fused import fused_attention
from full4d_jax.models.attention.rope import rotary_angles
from full4d_jax.session.errors import InputError

FUSED = functools.partial(fused_attention, cross_half=False)


def model(width: int, **changes) -> ModelConfig:
    """Return a model of two heads of this width."""
    return dataclasses.replace(ModelConfig(width=2 * width, heads=2), **changes)


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Only the probes for hardware, of one before Hopper, are replaced."""
    probes = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{probes}.check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(f"{probes}.check_compute_capability", lambda cc: cc == "8.0")
    monkeypatch.setattr(f"{probes}.is_cuda_compute_capability_equal", lambda _: False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


@pytest.mark.parametrize("width", [8, 12, 24, 64, 100, 128, 136])
def test_cudnn_agrees(width, pretend_gpu):
    x = jax.ShapeDtypeStruct((1, 2, 2, 16, 2, width), jnp.bfloat16)
    trace = jax.jit(FUSED).trace
    if width in (8, 24, 64, 128):
        check_heads(model(width), "gpu")
        trace(x, x, x).lower(lowering_platforms=("cuda",))
        return
    with pytest.raises(InputError, match=rf"model\.heads: found 2, .*\(these have {width}\)"):
        check_heads(model(width), "gpu")
    with pytest.raises(NotImplementedError, match="head dim"):
        trace(x, x, x)


def test_other_platforms_take_any_width():
    for platform in ("cpu", "tpu"):
        check_heads(model(12), platform)


@pytest.mark.parametrize("width", [12, 24])
def test_splash_lowers_for_any_width(width):
    x = jax.ShapeDtypeStruct((1, 2, 2, 128, 2, width), jnp.bfloat16)
    text = jax.jit(FUSED).trace(x, x, x).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") == 1


@pytest.mark.parametrize(
    ("width", "cameras", "fits"),
    [(6, (), True), (5, (), False), (12, ("prope",), False), (24, ("prope",), True)],
)
def test_rotary_pairs_and_projective_fours(width, cameras, fits):
    config = Config(model=model(width, cameras=cameras))
    if fits:
        check_config(config)
        angles = rotary_angles(jnp.arange(24), 2, 3, 4, width, theta=100.0, fold_views=False)
        assert angles.shape[-1] * 2 == width
    else:
        with pytest.raises(InputError, match=r"config: model\.heads"):
            check_config(config)
