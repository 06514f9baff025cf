"""Times fused time-view attention against full attention over all tokens; a JSON line comes last.

    python benchmarks/attention.py [--views 6 --frames 42 --tokens 16 --heads 2 --width 64]
    python benchmarks/attention.py --mask causal

On GPUs `flash_by_cudnn` leaves own views to cuDNN (`model.gpu_attention`). Full attention is
`jax.nn.dot_product_attention`, through cuDNN on a GPU. `full_in_blocks` is full attention by our
own blocks, so that the mask's gain can be told from that of not writing all logits to memory.
Frames are targets and projections in halves, with cross-half attention; masks other than the
paper's have one implementation, `listed`.

Keys `{implementation}_{forward,forward_backward}_{seconds,bytes,tflops}`: best of interleaved runs,
CPU time of all threads on a CPU (which other work on the machine disturbs least) and elapsed time
elsewhere; temporary memory as the compiler plans it; useful work a second, which is products over
allowed pairs, the backward pass counted as two forward ones. `fused_over_full[_forward]` is the
best implementation's time, forward and backward (or forward), over full attention's,
`mask_density` the share of the pairs that the mask allows, `fused_over_full_in_blocks[_forward]`
the same over our own full attention.
"""

import argparse
import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
from common import Thunk, interleaved
from einops import rearrange

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.dit.attention.flash import flash_attention
from full4d_jax.models.dit.attention.fused import fused_attention
from full4d_jax.models.dit.attention.mask import Tokens
from full4d_jax.models.dit.attention.merged import merged_attention
from full4d_jax.models.dit.attention.splash import splash_attention

BACKEND = jax.default_backend()
ON_CPU = BACKEND == "cpu"


def main() -> None:
    """Prints progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Times fused attention.")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--frames", type=int, default=42)
    parser.add_argument("--tokens", type=int, default=16 if ON_CPU else 128)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--width", type=int, default=64 if ON_CPU else 128)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--mask", default=PAPER, help="a name of config.masks")
    options = parser.parse_args()
    shape = (
        1,
        options.views,
        options.frames,
        options.tokens,
        options.heads,
        options.width,
    )
    dtype = jnp.float32 if ON_CPU else jnp.bfloat16
    x = [jax.random.normal(jax.random.key(i), shape).astype(dtype) for i in range(4)]

    fused_ones = fused_implementations(options.mask)
    density = float(
        allowed_frames(options.views, options.frames, True, options.mask).mean()
    )
    results: dict[str, object] = {
        "device": jax.devices()[0].device_kind,
        "shape": shape,
    }
    results |= {"dtype": str(jnp.dtype(dtype)), "mask_density": round(density, 4)}
    names = {"full_in_blocks", *fused_ones} | {"full"}
    for kind in ("forward", "forward_backward"):
        thunks = {}
        for name in sorted(names):
            thunks[name], bytes_ = compiled(implementations(fused_ones)[name], kind, x)
            results[f"{name}_{kind}_bytes"] = bytes_
        best = interleaved(thunks, options.repeats)
        results |= {f"{name}_{kind}_seconds": round(t, 5) for name, t in best.items()}
        for name, seconds in best.items():
            pairs = density if name in fused_ones else 1.0
            rate = pairs * work(shape, kind) / seconds / 1e12
            results[f"{name}_{kind}_tflops"] = float(f"{rate:.4g}")
        fused = min(best[name] for name in fused_ones)
        suffix = "_forward" if kind == "forward" else ""
        results[f"fused_over_full{suffix}"] = round(fused / best["full"], 4)
        results[f"fused_over_full_in_blocks{suffix}"] = round(
            fused / best["full_in_blocks"], 4
        )
        print(kind, {name: f"{1e3 * t:.1f} ms" for name, t in best.items()}, flush=True)
    print(json.dumps(results))


def work(shape: tuple[int, ...], kind: str) -> float:
    """Return the operations on all pairs of tokens: logits, and weighted values."""
    _, views, frames, tokens, heads, width = shape
    pairs = (views * frames * tokens) ** 2
    return (1 if kind == "forward" else 3) * 4.0 * pairs * heads * width


def fused_implementations(mask: str) -> dict[str, Callable]:
    """Return the implementations of a mask that run on this backend."""
    if mask != PAPER:
        return {"listed": functools.partial(fused_attention, mask=mask)}
    by_cudnn = functools.partial(flash_attention, rows_by_cudnn=True)
    kernels = {
        "gpu": {"flash": flash_attention, "flash_by_cudnn": by_cudnn},
        "tpu": {"splash": splash_attention},
    }
    return {"merged": merged_attention} | kernels.get(BACKEND, {})


def implementations(fused_ones: dict[str, Callable]) -> dict[str, Callable]:
    """Functions of (q, k, v)."""
    fused = {
        name: lambda *x, attend=attend: attend(*x, cross_half=True)
        for name, attend in fused_ones.items()
    }
    return fused | {"full": full, "full_in_blocks": full_in_blocks}


def full(q: Tokens, k: Tokens, v: Tokens) -> Tokens:
    """Attention of all tokens to all."""
    flat = (rearrange(x, "b v t s k d -> b (v t s) k d") for x in (q, k, v))
    implementation = "cudnn" if BACKEND == "gpu" else "xla"
    return jax.nn.dot_product_attention(*flat, implementation=implementation).reshape(
        q.shape
    )


def full_in_blocks(q: Tokens, k: Tokens, v: Tokens) -> Tokens:
    """Return fused attention of a single view that holds all frames."""
    one_view = (rearrange(x, "b v t s k d -> b 1 (v t) s k d") for x in (q, k, v))
    return merged_attention(*one_view, cross_half=False).reshape(q.shape)


def forward_backward(attend: Callable) -> Callable:
    """Return a function from (q, k, v, cotangent) to the output and the gradients."""

    def both(q, k, v, cotangent):
        out, pull = jax.vjp(attend, q, k, v)
        return out, *pull(cotangent)

    return both


def compiled(attend: Callable, kind: str, x: list[jax.Array]) -> tuple[Thunk, int]:
    """A thunk that returns when the result is there, and the bytes of its temporaries."""
    arguments = x[:3] if kind == "forward" else x
    function = attend if kind == "forward" else forward_backward(attend)
    program = jax.jit(function).lower(*arguments).compile()
    memory = program.memory_analysis()
    assert memory is not None
    return lambda: jax.block_until_ready(program(*arguments)), memory.temp_size_in_bytes


if __name__ == "__main__":
    main()
