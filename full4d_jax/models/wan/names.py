"""The place of every parameter of Wan's transformer in ours, in both published layouts.

`diffusers` is the layout of WanTransformer3DModel, `original` that of the Wan2.1 and Wan2.2
repositories. A linear layer there is (out, in), here (in, out); the patch embedding there is a
convolution over (frame, row, column), here a linear layer of (row, column, channel); blocks are
single there and stacked on the first axis here.

Our network has no cross-attention to an image, which Wan2.1's image-to-video models have.
"""

from typing import Literal, NamedTuple

import numpy as np
from einops import rearrange

from full4d_jax.config import ModelConfig
from full4d_jax.session.errors import InputError

Layout = Literal["diffusers", "original"]
LAYOUTS: tuple[Layout, ...] = ("diffusers", "original")

# ours: (diffusers, original); all have a weight and a bias
LINEARS = {
    "patch_embedding": ("patch_embedding", "patch_embedding"),
    "time_in": ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    "time_out": ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    "time_projection": ("condition_embedder.time_proj", "time_projection.1"),
    "text_in": ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    "text_out": ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    "head": ("proj_out", "head.head"),
}
ATTENTIONS = (  # ours, diffusers, original
    ("attention", "attn1", "self_attn"),
    ("text_attention", "attn2", "cross_attn"),
)
BLOCK_LINEARS = {
    **{
        f"{ours}.{part}": (f"{new}.{to}", f"{old}.{part[0]}")
        for ours, new, old in ATTENTIONS
        for part, to in (
            ("query", "to_q"),
            ("key", "to_k"),
            ("value", "to_v"),
            ("out", "to_out.0"),
        )
    },
    "ffn_in": ("ffn.net.0.proj", "ffn.0"),
    "ffn_out": ("ffn.net.2", "ffn.2"),
}
BLOCK_NORMS = {
    f"{ours}.{part}_norm": (f"{new}.norm_{part[0]}", f"{old}.norm_{part[0]}")
    for ours, new, old in ATTENTIONS
    for part in ("query", "key")
}
TEXT_NORM = ("norm2", "norm3")  # has a bias too
TABLE = ("scale_shift_table", "modulation")
HEAD_TABLE = ("scale_shift_table", "head.modulation")
SYNCHRONIZATION = ("blocks.synchronization.", "synchronization_time.")  # 4Real-Video's
ADDED = (  # ours alone
    "mask_embedding.",
    "blocks.camera.",
    "blocks.projector.",
    "context",
    *SYNCHRONIZATION,
)


class LeafPlace(NamedTuple):
    """The place of a tensor of Wan among our parameters."""

    leaf: str  # dotted name
    layer: int | None  # index into the leaf's first axis


def wan_names(layers: int, layout: Layout) -> dict[str, LeafPlace]:
    """Return every tensor's name in `layout`, and its place."""
    i = LAYOUTS.index(layout)
    names = {HEAD_TABLE[i]: LeafPlace("head_modulation", None)}
    for ours, theirs in LINEARS.items():
        names[f"{theirs[i]}.weight"] = LeafPlace(f"{ours}.kernel", None)
        names[f"{theirs[i]}.bias"] = LeafPlace(f"{ours}.bias", None)
    for layer in range(layers):
        block = {TABLE[i]: "modulation"}
        for ours, theirs in BLOCK_LINEARS.items():
            block |= {f"{theirs[i]}.weight": f"{ours}.kernel", f"{theirs[i]}.bias": f"{ours}.bias"}
        for ours, theirs in BLOCK_NORMS.items():
            block[f"{theirs[i]}.weight"] = f"{ours}.scale"
        block[f"{TEXT_NORM[i]}.weight"] = "text_norm.scale"
        block[f"{TEXT_NORM[i]}.bias"] = "text_norm.bias"
        names |= {
            f"blocks.{layer}.{name}": LeafPlace(f"blocks.{leaf}", layer)
            for name, leaf in block.items()
        }
    return names


def from_wan(leaf: str, x: np.ndarray) -> np.ndarray:
    """Return a tensor of Wan as (one layer of) our parameter `leaf`; no value changes."""
    if leaf == "patch_embedding.kernel":
        return rearrange(x, "d c 1 i j -> (i j c) d")
    if leaf.endswith("modulation"):
        return x[0]
    return x.T if leaf.endswith(".kernel") else x


def to_wan(leaf: str, x: np.ndarray, patch: int) -> np.ndarray:
    """Return (one layer of) our parameter `leaf` as Wan's tensor: the inverse of `from_wan`."""
    if leaf == "patch_embedding.kernel":
        return rearrange(x, "(i j c) d -> d c 1 i j", i=patch, j=patch)
    if leaf.endswith("modulation"):
        return x[None]
    return x.T if leaf.endswith(".kernel") else x


def check_wan_model(model: ModelConfig) -> None:
    """Refuse a model that is not Wan's transformer with our additions.

    Raises:
      InputError: a field differs; the message names the first.
    """
    fits = {
        "projection": model.projection in ("frames", "none"),
        "prediction": model.prediction == "velocity",
        "refiner": model.refiner == 0,
        "rope_theta": model.rope_theta == 10000.0,
        "lora_rank": model.lora_rank == 0,
        "cameras": set(model.cameras) <= {"linear"},
        "text_width": model.text_width > 0,
    }
    for name, is_wan in fits.items():
        if not is_wan:
            found = repr(getattr(model, name))
            do = "give a preset of Wan, such as --config wan22_5b"
            raise InputError("config", f"model.{name}", found, "that of Wan's transformer", do)
