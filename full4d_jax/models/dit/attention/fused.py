"""Fused time-view attention, by the implementation that suits the platform (docs/attention.md).

`config.masks` defines the function. `merged` knows Full-4D's mask, the others take any; all compute
little more than what the mask allows.

Tokens may be sharded over a mesh.

Between layers a device of P = view x time has n / P tokens with all their heads. Attention trades
(all-to-all, 4 X (P - 1) / P^2 bytes a device for q, k, v and the output of X bytes): a device gets
all n tokens of 1 / P of the heads, runs any implementation unchanged, and trades back. Where heads
run out, the axis `view` is not traded: its devices keep their queries, which are whole frames, and
gather keys and values (2 X (P - 1) / P bytes).
"""

from collections.abc import Callable
from functools import partial

import jax
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.dit.attention.flash import (
    attend_by_frames,
    attend_to_all,
    flash_attention,
)
from full4d_jax.models.dit.attention.mask import (
    SAVED,
    Flat,
    Pattern,
    Text,
    Tokens,
    attend_by_lists,
    listed_attention,
)
from full4d_jax.models.dit.attention.merged import merged_attention
from full4d_jax.models.dit.camera_conditioning import Transforms, prope
from full4d_jax.models.dit.sharding import mesh_around, spec, swap_axes
from full4d_jax.models.dit.tokens import flatten
from full4d_jax.session.fields import require
from gaussians.rendering.gpus import runs_triton

# Of queries, keys and values of whole grids; a function of yours is one, too.
Attend = Callable[[Tokens, Tokens, Tokens, Pattern], Tokens]
# Fewest tokens of a frame that fill the smallest side of splash's tiles.
SPLASH_TOKENS = 128


def fused_attention(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = PAPER,
    rows_by_cudnn: bool = False,
) -> Tokens:
    """Attend under `masks.allowed_frames`.

    The platform that a program is compiled for decides how, whatever machine compiles it: GPU uses
    flash attention over lists of frames, TPU splash attention (both inside `jax.shard_map` only
    with check_vma=False). CPU works in blocks, as do TPU with small frames and GPUs before Ampere.
    None of the kernels has a forward mode; `merged_attention` has it everywhere.

    Args:
      q: queries.
      k: keys.
      v: values.
      cross_half: whether the later half of the frames is the projection.
      mask: a name for `masks.find_mask`.
      rows_by_cudnn: on GPUs, as in `over_grid`.
    """
    # A kernel of TPUs alone.
    from full4d_jax.models.dit.attention.splash import splash_attention

    known = {"cross_half": cross_half, "mask": mask}
    blocks = partial(listed_attention, **known)
    if mask == PAPER:
        blocks = partial(merged_attention, cross_half=cross_half)
    flash = partial(flash_attention, rows_by_cudnn=rows_by_cudnn, **known)
    splash = partial(splash_attention, **known)
    return of_platform(blocks, flash, splash, q.shape[3])(q, k, v)


def of_platform(
    blocks: Callable, flash: Callable, splash: Callable, tokens: int
) -> Callable:
    """Return the function for the platform that a program is compiled for.

    Args:
      blocks: for CPUs, GPUs before Ampere, and TPUs with small frames.
      flash: for other GPUs.
      splash: for TPUs with frames of at least `SPLASH_TOKENS`.
      tokens: of a frame.
    """
    gpu = flash if runs_triton() else blocks
    tpu = splash if tokens >= SPLASH_TOKENS else blocks
    return partial(jax.lax.platform_dependent, cpu=blocks, tpu=tpu, default=gpu)


def attention_on_mesh(
    attend: Attend | None,
    q: Flat,
    k: Flat,
    v: Flat,
    cameras: Transforms | None,
    pattern: Pattern,
    rows_by_cudnn: bool = False,
) -> Flat:
    """Attend in the mesh around; without one, call `attend` on the unflattened tokens.

    Args:
      attend: attention in whole grids; None is `fused_attention`.
      q: queries.
      k: keys.
      v: values.
      cameras: through which tokens are seen (`camera_conditioning.prope`); None for none.
      pattern: which of the n tokens read which.
      rows_by_cudnn: as in `fused_attention`.

    Raises:
      InputError: the mesh shards queries, and `attend` or the cameras need them all.
    """
    grid = pattern.grid

    def in_grid(q, k, v):
        if attend is not None:
            o = attend(q, k, v, pattern).astype(q.dtype)
            return checkpoint_name(o, SAVED)
        return fused_attention(
            q,
            k,
            v,
            cross_half=pattern.cross_half,
            mask=pattern.mask,
            rows_by_cudnn=rows_by_cudnn,
        )

    def whole(q, k, v, cameras):
        q, k, v = (grid.unflatten(x) for x in (q, k, v))
        return flatten(prope(in_grid, q, k, v, cameras))

    mesh = mesh_around()
    if mesh is None:
        return whole(q, k, v, cameras)
    sizes = mesh.shape
    heads_here = q.shape[2] // sizes["tensor"]
    swap, rest = swap_axes(heads_here, sizes["view"], sizes["time"])
    if pattern.is_cut:
        swap = rest = ()
    expected = "sizes that divide the heads, with prope or an attention of yours"
    parts = (sizes["view"], sizes["time"])
    require("mesh.view, mesh.time", parts, not (rest and (attend or cameras)), expected)

    def local(q, k, v, cameras):
        trade = partial(jax.lax.all_to_all, axis_name=swap, tiled=True)
        if swap:
            q, k, v = (trade(x, split_axis=2, concat_axis=1) for x in (q, k, v))
        if rest:
            k, v = (jax.lax.all_gather(x, rest, axis=1, tiled=True) for x in (k, v))
            out = _of_queries(q, k, v, pattern, rest)
        else:
            out = whole(q, k, v, cameras)
        return trade(out, split_axis=1, concat_axis=2) if swap else out

    samples, tokens = ("videos", None) if pattern.is_cut else ("samples", "tokens")
    cut = spec(samples, tokens, "heads")
    cuts = (cut, cut, cut, spec(samples))
    # The kernels of GPUs and TPUs need check_vma=False.
    on_devices = jax.shard_map(local, in_specs=cuts, out_specs=cut, check_vma=False)
    return on_devices(q, k, v, cameras)


def cross_attention_on_mesh(q: Flat, k: Text, v: Text) -> Flat:
    """Attend from every query to every key, of which every device has all, in the mesh around."""
    flash = attend_to_all
    if mesh_around():
        cut = spec("samples", "tokens", "heads")
        whole = spec("samples", None, "heads")
        cuts = (cut, whole, whole)
        flash = jax.shard_map(flash, in_specs=cuts, out_specs=cut, check_vma=False)
    # XLA divides this one itself.
    dense = jax.nn.dot_product_attention
    return of_platform(dense, flash, dense, 0)(q, k, v)


def _of_queries(
    q: Flat, k: Text, v: Text, pattern: Pattern, axes: tuple[str, ...]
) -> Flat:
    """Attend from this device's queries, whole frames, to those that they read.

    Args:
      q: queries of whole frames in a row.
      k: keys of all frames.
      v: values of all frames.
      pattern: which tokens read which.
      axes: of the mesh, over which the queries are divided.
    """
    from full4d_jax.models.dit.attention.splash import splash_from_frames

    views, frames, tokens = pattern.grid
    allowed = allowed_frames(views, frames, pattern.cross_half, pattern.mask)
    lists, flash, splash = (
        partial(attend, allowed=allowed.reshape(views * frames, -1))
        for attend in (attend_by_lists, attend_by_frames, splash_from_frames)
    )
    framed = (rearrange(x, "b (f s) k d -> b f s k d", s=tokens) for x in (q, k, v))
    part = jax.lax.axis_index(axes)
    return of_platform(lists, flash, splash, tokens)(*framed, part).reshape(q.shape)
