"""The `config.json` of Wan's network beside its weights, in both layouts.

The layouts name the same numbers differently. Some decide what the weights mean and show in no
tensor's shape: heads, the norms and their epsilon.
"""

from pathlib import Path
from typing import Any, cast

import jax
from flax.traverse_util import flatten_dict

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit import abstract_params
from full4d_jax.models.wan.text import TEXT_TOKENS
from full4d_jax.session.errors import InputError
from input_pipeline.plain_files import load_json

IGNORED = {"rope_max_seq_len", "_diffusers_version", "_name_or_path"}  # change no number


def abstract_leaves(model: ModelConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of all parameters by dotted name, without allocating them."""
    return cast(dict[str, jax.ShapeDtypeStruct], flatten_dict(abstract_params(model), sep="."))


def diffusers_config(model: ModelConfig) -> dict[str, Any]:
    """Return the fields of diffusers' WanTransformer3DModel."""
    leaves = abstract_leaves(model)
    channels = leaves["patch_embedding.kernel"].shape[0] // model.patch**2
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": [1, model.patch, model.patch],
        "num_attention_heads": model.heads,
        "attention_head_dim": model.width // model.heads,
        "in_channels": channels,
        "out_channels": channels,
        "text_dim": model.text_width,
        "freq_dim": leaves["time_in.kernel"].shape[0],
        "ffn_dim": model.ffn,
        "num_layers": model.layers,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
        "rope_max_seq_len": 1024,
    }


def original_config(model: ModelConfig) -> dict[str, Any]:
    """Return the fields of WanModel, in the repositories of Wan 2.1 and 2.2."""
    ours = diffusers_config(model)
    same = ("patch_size", "text_dim", "freq_dim", "ffn_dim", "num_layers", "cross_attn_norm", "eps")
    return {name: ours[name] for name in same} | {
        "_class_name": "WanModel",
        "dim": model.width,
        "num_heads": model.heads,
        "in_dim": ours["in_channels"],
        "out_dim": ours["out_channels"],
        "text_len": TEXT_TOKENS,
        "qk_norm": True,
        "window_size": [-1, -1],
    }


def check_config_json(model: ModelConfig, about: Path) -> None:
    """Refuse a `config.json` of another network than the model's.

    Fields that only one of the layouts has, or neither, must be null or the model's.

    Raises:
      InputError: it is no such file, or fields differ; the message names them.
    """
    try:
        published = dict(load_json(about))
    except (OSError, ValueError, TypeError) as error:
        do = "download it again or move it away"
        raise InputError("weights", about, repr(error), "the transformer's config", do) from None
    is_original = "num_heads" in published or published.get("_class_name") == "WanModel"
    wanted = original_config(model) if is_original else diffusers_config(model)
    needed = "num_heads" if is_original else "num_attention_heads"
    compared = {needed: published.get(needed)} | {
        name: value for name, value in published.items() if name not in IGNORED
    }
    if is_original and compared.get("model_type") in ("t2v", "ti2v"):
        del compared["model_type"]
    differs = [name for name, value in compared.items() if value != wanted.get(name)]
    if differs:
        raise InputError(
            "weights",
            about,
            ", ".join(f"{name} {compared[name]}" for name in differs),
            ", ".join(f"{name} {wanted.get(name)}" for name in differs) + " as in the config",
            "give the preset of that model, such as --config wan22_5b",
        )
