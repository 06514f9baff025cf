"""Wan's two published layouts: the place of every parameter in ours, and the `config.json` beside.

`diffusers` is the layout of WanTransformer3DModel, `original` that of the Wan2.1 and Wan2.2
repositories. A linear layer there is (out, in), here (in, out); the patch embedding there is a
convolution over (frame, row, column), here a linear layer of (row, column, channel); blocks are
single there and stacked on the first axis here. The files of the config name the same numbers
differently, of which some decide what the weights mean and show in no tensor's shape: heads, the
norms and their epsilon.

Our network has no cross-attention to an image, which Wan2.1's image-to-video models have.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from einops import rearrange

from full4d_jax.config import ModelConfig, Velocity
from full4d_jax.models import functional, trainable
from full4d_jax.models.dit import dit, tokens
from full4d_jax.models.wan.text import TEXT_TOKENS
from full4d_jax.session.errors import input_errors
from full4d_jax.session.fields import require
from input_pipeline.plain_files import check_field, load_json

Layout = Literal["diffusers", "original"]
LAYOUTS: tuple[Layout, ...] = ("diffusers", "original")
# Our modules and tables: names in diffusers' layout, and in the original one.
MODULES = {
    "guide.patch_embedding": ("patch_embedding", "patch_embedding"),
    "time_in": ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    "time_out": ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    "time_projection": ("condition_embedder.time_proj", "time_projection.1"),
    "text_in": ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    "text_out": ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    "parametrisation.head": ("proj_out", "head.head"),
    "head_modulation": ("scale_shift_table", "head.modulation"),
    "modulation": ("scale_shift_table", "modulation"),
    "text_norm": ("norm2", "norm3"),
    "ffn_in": ("ffn.net.0.proj", "ffn.0"),
    "ffn_out": ("ffn.net.2", "ffn.2"),
} | {
    f"{ours}.{part}": (f"{new}.{part_new}", f"{old}.{part_old}")
    for ours, new, old in (
        ("attention", "attn1", "self_attn"),
        ("text_attention", "attn2", "cross_attn"),
    )
    for part, part_new, part_old in (
        ("query", "to_q", "q"),
        ("key", "to_k", "k"),
        ("value", "to_v", "v"),
        ("out", "to_out.0", "o"),
        ("query_norm", "norm_q", "norm_q"),
        ("key_norm", "norm_k", "norm_k"),
    )
}
# Fields of a config that change no number, or that other fields or the tensors tell.
IGNORED = {"rope_max_seq_len", "_diffusers_version", "_name_or_path", "model_type"}


class LeafPlace(NamedTuple):
    """The place of a tensor of Wan among our parameters.

    Attributes:
      leaf: dotted name.
      layer: index into the leaf's first axis; None for all of it.
      shape: of Wan's tensor.
    """

    leaf: str
    layer: int | None
    shape: tuple[int, ...]


Places = dict[str, LeafPlace]


def abstract_leaves(model: ModelConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of all parameters by dotted name, without allocating them."""
    return functional.by_name(dit.abstract_params(model))


def layers_of(model: ModelConfig, leaf: str) -> list[int | None]:
    """Return the numbers of the layers that are stacked in a parameter; None where it is one."""
    return list(range(model.layers)) if leaf.startswith("blocks.") else [None]


def added_leaves(model: ModelConfig) -> list[str]:
    """Return the dotted names of our parameters that Wan has not."""
    return [leaf for leaf in abstract_leaves(model) if trainable.is_added(leaf)]


def wan_names(model: ModelConfig, layout: Layout) -> Places:
    """Return every tensor's name in `layout`, and its place."""
    names = {}
    for leaf, x in abstract_leaves(model).items():
        if trainable.is_added(leaf):
            continue
        module, _, kind = leaf.removeprefix("blocks.").rpartition(".")
        ending = {"kernel": ".weight", "scale": ".weight", "bias": ".bias"}.get(
            kind, ""
        )
        theirs = MODULES[module if ending else kind][LAYOUTS.index(layout)] + ending
        for layer in layers_of(model, leaf):
            block = "" if layer is None else f"blocks.{layer}."
            zeros = np.broadcast_to(np.float32(0), x.shape[layer is not None :])
            shape = to_wan(leaf, zeros, model.patch).shape
            names[block + theirs] = LeafPlace(leaf, layer, shape)
    return names


def from_wan(leaf: str, x: np.ndarray) -> np.ndarray:
    """Return a tensor of Wan as (one layer of) our parameter `leaf`; no value changes."""
    if leaf == "guide.patch_embedding.kernel":
        return rearrange(x, "d c 1 i j -> (i j c) d")
    if leaf.endswith("modulation"):
        return x[0]
    return x.T if leaf.endswith(".kernel") else x


def to_wan(leaf: str, x: np.ndarray, patch: int) -> np.ndarray:
    """Return (one layer of) our parameter `leaf` as Wan's tensor: the inverse of `from_wan`."""
    if leaf == "guide.patch_embedding.kernel":
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
        "guide": model.guide.clean_views == 0,
        "parametrisation": isinstance(model.parametrisation, Velocity),
        "refiner": model.refiner == 0,
        "rope_theta": model.rope_theta == 10000.0,
        "lora_rank": model.lora_rank == 0,
        "cameras": set(model.cameras) <= {"linear"},
        "text_width": model.text_width > 0,
    }
    for name, is_wan in fits.items():
        expected = "that of Wan's transformer, as in --config wan22_5b"
        require(f"model.{name}", getattr(model, name), is_wan, expected)


def diffusers_config(model: ModelConfig) -> dict[str, Any]:
    """Return the fields of diffusers' WanTransformer3DModel."""
    channels = model.strides.channels
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": [1, model.patch, model.patch],
        "num_attention_heads": model.heads,
        "attention_head_dim": model.width // model.heads,
        "in_channels": channels,
        "out_channels": channels,
        "text_dim": model.text_width,
        "freq_dim": tokens.TIME_CHANNELS,
        "ffn_dim": model.ffn,
        "num_layers": model.layers,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
        "rope_max_seq_len": 1024,
    }


def original_config(model: ModelConfig) -> dict[str, Any]:
    """Return the fields of WanModel, in the repositories of Wan 2.1 and 2.2."""
    fields = diffusers_config(model)
    del fields["attention_head_dim"], fields["rope_max_seq_len"]
    own = {
        "_class_name": "WanModel",
        "dim": model.width,
        "num_heads": fields.pop("num_attention_heads"),
        "in_dim": fields.pop("in_channels"),
        "out_dim": fields.pop("out_channels"),
        "text_len": TEXT_TOKENS,
        "qk_norm": True,
        "window_size": [-1, -1],
    }
    return fields | own


def check_config_json(model: ModelConfig, about: Path) -> None:
    """Refuse a `config.json` of another network than the model's.

    Fields that only one of the layouts has, or neither, must be null or the model's.

    Raises:
      InputError: it is no such file, or fields differ; the message names them.
    """
    do = "give the whole file and the preset of that model, such as --config wan22_5b"
    with input_errors("weights", do, about):
        published = dict(load_json(about))
        is_original = (
            "num_heads" in published or published.get("_class_name") == "WanModel"
        )
        wanted = original_config(model) if is_original else diffusers_config(model)
        needed = "num_heads" if is_original else "num_attention_heads"
        compared = {needed, *published} - IGNORED
        differs = sorted(x for x in compared if published.get(x) != wanted.get(x))
        found, expected = (
            ", ".join(f"{name} {fields.get(name)}" for name in differs)
            for fields in (published, wanted)
        )
        check_field(about, not differs, found, f"{expected} as in the config")
