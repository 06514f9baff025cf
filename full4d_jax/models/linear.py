"""Linear layers of the transformer."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig


class Linear(nnx.Linear):
    """A linear layer that multiplies flattened tokens, with a low-rank term where it has one.

    With one axis to contract, XLA's gradients of the kernel are twice as fast on CPU. In a mesh
    samples and tokens are sharded separately, and stay two axes.
    """

    lora_in: nnx.Param
    lora_out: nnx.Param

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        """Apply the layer to the last axis."""
        on_mesh = not jax.sharding.get_abstract_mesh().empty
        flat = x if on_mesh else x.reshape(-1, x.shape[-1])
        y = super().__call__(flat)
        if hasattr(self, "lora_in"):
            y = y + flat @ self.lora_in[...] @ self.lora_out[...]
        return y.reshape(*x.shape[:-1], y.shape[-1])


def linear(
    inputs: int,
    outputs: int,
    rngs: nnx.Rngs,
    *,
    zero: bool = False,
    lora_rank: int = 0,
    exact: bool = False,
) -> Linear:
    """Make a linear layer, initialised with variance 1/inputs or with zeros.

    With a rank it has LoRA's two further matrices (arXiv 2106.09685), of which one starts at zero.
    An exact layer multiplies in float32 where its inputs are, on every device.
    """
    init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
    precision = jax.lax.Precision.HIGHEST if exact else None
    layer = Linear(inputs, outputs, kernel_init=init, precision=precision, rngs=rngs)
    if lora_rank:
        start = nnx.initializers.lecun_normal()
        layer.lora_in = nnx.Param(start(rngs.params(), (inputs, lora_rank)))
        layer.lora_out = nnx.Param(jnp.zeros((lora_rank, outputs)))
    return layer


def product_type(config: ModelConfig) -> DTypeLike:
    """Return bfloat16 or float32, as `config.precision` says; "auto" is float32 on CPU alone."""
    auto = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(auto if config.precision == "auto" else config.precision)
