"""Linear layers of the transformer."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.sharding import mesh_around

# Names the products of linear layers, which the backward pass may keep.
PRODUCT = "product"


class Linear(nnx.Linear):
    """A linear layer that multiplies flattened tokens, with a low-rank term where it has one.

    With one axis to contract, XLA's gradients of the kernel are twice as fast on CPU. In a mesh
    samples and tokens are sharded separately, and stay two axes.
    """

    bias: nnx.Param
    lora_in: nnx.Param
    lora_out: nnx.Param

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        """Apply the layer to the last axis."""
        flat = _one_axis(x)
        y = super().__call__(flat)
        if hasattr(self, "lora_in"):
            y = y + self._low_rank(flat) @ self.lora_out[...]
        return checkpoint_name(y, PRODUCT).reshape(*x.shape[:-1], y.shape[-1])

    def in_heads(self, x: Float[Array, "*b i"], heads: int) -> Float[Array, "*b k c"]:
        """Apply the layer, and return its outputs in heads, which the product itself makes.

        TPUs then keep heads apart in memory. Cutting them out of rows of all channels is a copy.
        """
        flat = _one_axis(x)
        kernel = self.kernel[...].reshape(x.shape[-1], heads, -1)
        bias = self.bias[...].reshape(*(1,) * (flat.ndim - 1), heads, -1)
        y = jnp.einsum("...i,ikc->...kc", flat, kernel, precision=self.precision) + bias
        if hasattr(self, "lora_in"):
            lora_out = self.lora_out[...].reshape(-1, heads, kernel.shape[-1])
            y = y + jnp.einsum("...r,rkc->...kc", self._low_rank(flat), lora_out)
        return checkpoint_name(y, PRODUCT).reshape(*x.shape[:-1], *y.shape[-2:])

    def _low_rank(self, flat: Float[Array, "*n i"]) -> Float[Array, "*n r"]:
        return checkpoint_name(flat @ self.lora_in[...], PRODUCT)


def _one_axis(x: Float[Array, "*b i"]) -> Float[Array, "*n i"]:
    """Flatten the axes before the last one, but not in a mesh."""
    return x if mesh_around() else x.reshape(-1, x.shape[-1])


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
