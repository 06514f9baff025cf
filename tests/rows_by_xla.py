"""XLA in the place of cuDNN within rows of tokens, on any backend."""

import jax
import jax.numpy as jnp


def row_forward(q, k, v):
    """The output and the log-sum-exp, float32, of rows of n tokens."""
    queries, keys, values = (x.astype(jnp.float32) for x in (q, k, v))
    out, lse = jax.nn.dot_product_attention(queries, keys, values, return_residual=True)
    return out.astype(q.dtype), lse.swapaxes(1, 2)


def row_backward(q, k, v, lse, out, cotangent):
    """A row's part of the gradients in q, k and v, by the equations of `rows`."""

    def product(pattern, a, b):
        return jnp.einsum(pattern, a, b, preferred_element_type=jnp.float32)

    scale = q.shape[-1] ** -0.5
    along = product("bnkd,bnkd->bkn", cotangent, out)
    weights = jnp.exp(scale * product("bnkd,bmkd->bknm", q, k) - lse[..., None])
    d_weights = product("bnkd,bmkd->bknm", cotangent, v)
    d_logits = (scale * weights * (d_weights - along[..., None])).astype(k.dtype)
    dv = product("bknm,bnkd->bmkd", weights.astype(v.dtype), cotangent)
    dq = product("bknm,bmkd->bnkd", d_logits, k)
    dk = product("bknm,bnkd->bmkd", d_logits, q)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype)
