"""Which widths of heads are refused by name, and that kernels take the others."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from full4d_jax.config import Config, ModelConfig, check_config
from full4d_jax.models.attention.fused import fused_attention
from full4d_jax.models.attention.rope import rotary_angles
from full4d_jax.session.errors import InputError

FUSED = functools.partial(fused_attention, cross_half=False)


def model(width: int, **changes) -> ModelConfig:
    """Return a model of two heads of this width."""
    return dataclasses.replace(ModelConfig(width=2 * width, heads=2), **changes)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("width", [12, 24])
def test_kernels_lower_for_any_width(platform, width):
    x = jax.ShapeDtypeStruct((1, 2, 2, 128, 2, width), jnp.bfloat16)
    text = jax.jit(FUSED).trace(x, x, x).lower(lowering_platforms=(platform,)).as_text()
    assert text.count("custom_call @") == 1


@pytest.mark.parametrize(
    ("width", "changes", "fits"),
    [
        (24, {}, True),
        (128, {}, True),
        (12, {}, False),
        (136, {}, False),
        (24, {"precision": "float32"}, False),
        (24, {"mask": "neighbours"}, True),
        (24, {"mask": "causal"}, False),
    ],
    ids=str,
)
def test_what_cudnn_does_not_take_is_refused(width, changes, fits):
    config = Config(model=model(width, gpu_attention="cudnn", **changes))
    if fits:
        check_config(config)
    else:
        with pytest.raises(InputError, match=r"config: model\.gpu_attention.*expected flash"):
            check_config(config)


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
