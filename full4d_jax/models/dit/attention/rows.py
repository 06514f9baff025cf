"""Dense attention within rows of tokens as a part of a larger softmax, by cuDNN.

With l the logits of a row, the forward pass returns o = softmax(l) v and lse = log sum exp l, from
which the softmax over further keys can go on. Where O and LSE are the output and the log-sum-exp of
the whole softmax, and dO the cotangent of O, the row's part of the gradient is

    P  = exp(l - LSE)      dl = P (dO v^T - sum_d dO O)
    dq = dl k              dk = dl^T q                    dv = P^T dO

which is what cuDNN's backward call computes of whatever output and log-sum-exp it is handed. JAX's
public function hands it those of the row alone, so its private primitives are called.

Gradients are the same in each run with XLA_FLAGS=--xla_gpu_deterministic_ops=true only. Memory that
cuDNN works in is known where there is a GPU, not to a dry run.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.models.dit.attention.mask import Flat

PerQuery = Float[Array, "b k n"]


def row_forward(q: Flat, k: Flat, v: Flat) -> tuple[Flat, PerQuery]:
    """Return the output and the log-sum-exp of rows of n tokens, each with its own keys.

    Arrays are in half precision.
    """
    out, lse = _bind("fwd", q, k, v, is_training=True)
    return out, lse


def row_backward(
    q: Flat, k: Flat, v: Flat, lse: PerQuery, out: Flat, cotangent: Flat
) -> tuple[Flat, Flat, Flat]:
    """Return a row's part of the gradients in q, k and v.

    Args:
      q: queries.
      k: keys of the row.
      v: values of the row.
      lse: log-sum-exp of the whole softmax.
      out: output of the whole softmax.
      cotangent: of this output.
    """
    dq, dk, dv = _bind("bwd", q, k, v, lse, out, cotangent)
    return dq, dk, dv


def _bind(way: str, q: Flat, k: Flat, v: Flat, *given: Array, **settings: Any) -> Any:
    """Call the private primitive of one way, "fwd" or "bwd"."""
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    primitive = getattr(cudnn, f"_dot_product_attention_{way}_p_wrapper")
    # A bias, lengths, offsets and pages.
    unused = [jnp.zeros(0, q.dtype)] * 7
    settings |= {
        "scale": q.shape[-1] ** -0.5,
        "seed": 0,
        "dropout_rate": 0.0,
        "variadic_args": (False, False),
        "mask_type": cudnn.MaskType.NO_MASK,
        "layout": cudnn.AttentionLayout.BTNH.value,
        "sliding_window_length": None,
    }
    if jax.__version_info__ >= (0, 12):
        settings["score_mod"] = None
    return primitive.bind(q, k, v, *unused, *given, **settings)
