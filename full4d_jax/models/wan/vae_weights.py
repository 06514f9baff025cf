"""Published weights of Wan's VAEs as parameters of `vae`.

Two layouts are read: diffusers' (`vae/config.json` and `vae/diffusion_pytorch_model.safetensors`)
and that of Wan's own repositories (`Wan2.1_VAE.pth`, `Wan2.2_VAE.pth`, or the same names in a
.safetensors file). Every tensor must be there, be used once and have the expected shape.
"""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax.config.codecs import WAN21, WAN22, WanVaeConfig
from full4d_jax.models import functional, tensor_files
from full4d_jax.models.wan.vae import abstract_params
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.plain_files import check_field, load_json

# Our dotted names, part by part, in the two layouts; those of the stages follow below.
DIFFUSERS = {
    "to_moments": "quant_conv",
    "from_latents": "post_quant_conv",
    "enter": "conv_in",
    "middle.before": "mid_block.resnets.0",
    "middle.attention": "mid_block.attentions.0",
    "middle.after": "mid_block.resnets.1",
    "norm": "norm_out",
    "leave": "conv_out",
    "shortcut": "conv_shortcut",
}
ORIGINAL = {
    "to_moments": "conv1",
    "from_latents": "conv2",
    "enter": "conv1",
    "middle.before": "middle.0",
    "middle.attention": "middle.1",
    "middle.after": "middle.2",
    "norm": "head.0",
    "leave": "head.2",
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
}
SHARED = {"to_out": "proj", "space": "resample.1", "time": "time_conv"}
LEAVES = {"kernel": "weight", "scale": "gamma"}
FILES = ("diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth", "Wan2.2_VAE.pth")
UNCHANGED = "give the VAE's unchanged file"
WANTED = f"a folder with one of {', '.join(FILES)} (or vae/ with it), or such a file"


@input_errors("weights", UNCHANGED)
def convert_vae(source: Path) -> tuple[WanVaeConfig, functional.Params]:
    """Read the weights of a VAE.

    Args:
      source: a file, its folder, or a folder whose `vae` folder holds it.

    Returns:
      The kind of VAE, and its parameters, float32.

    Raises:
      InputError: there is no such file, it holds another kind of network, or tensors are missing,
        left over or of the wrong shape, which the message names.
    """
    path = find_vae(source)
    tensors = tensor_files.read_tensors(path)
    diffusers = "encoder.conv_in.weight" in tensors
    about = path.parent / "config.json"
    config = read_config(about) if diffusers else _guess_config(path, tensors)
    like = functional.by_name(abstract_params(config))
    names = {name: source_name(name, config, diffusers=diffusers) for name in like}
    tensor_files.check_names(path, tensors, names.values())
    params = {}
    for name, theirs in names.items():
        x = tensors[theirs]
        shape = like[name].shape
        if len(shape) > 1 and x.ndim > 1:
            # PyTorch's axes are (o i t h w), ours (t h w i o); those of length 1 may differ.
            x = np.moveaxis(x, (1, 0), (-2, -1))
        fits = [n for n in x.shape if n > 1] == [n for n in shape if n > 1]
        expected = f"{shape} (axes of PyTorch turned)"
        check_field(f"{path}, tensor {theirs}", fits, x.shape, expected)
        params[name] = jnp.asarray(x.reshape(shape), jnp.float32)
    return config, functional.nested(params)


def source_name(name: str, config: WanVaeConfig, *, diffusers: bool) -> str:
    """Return the name that a parameter of ours has in a published layout."""
    module, _, leaf = name.rpartition(".")
    half, *parts = module.split(".")
    table = SHARED | (DIFFUSERS if diffusers else ORIGINAL)
    match parts:
        case []:
            path = [table[half]]
        case [inner]:
            path = [half, table[inner]]
        case ["middle", block, "norm"]:
            # The norm inside attention keeps its name, that before `leave` does not.
            path = [half, table[f"middle.{block}"], "norm"]
        case ["middle", block, inner]:
            path = [half, table[f"middle.{block}"], table.get(inner, inner)]
        case ["stages", stage, *block, inner]:
            number = int(block[1]) if block[0] == "blocks" else None
            where = _stage_name(half, int(stage), number, config, diffusers)
            path = [half, where, table.get(inner, inner)]
    return ".".join([*path, LEAVES.get(leaf, leaf)])


def _stage_name(
    half: str, stage: int, block: int | None, config: WanVaeConfig, diffusers: bool
) -> str:
    """Return the name of a residual block, or of the change of resolution after them (None)."""
    direction = "down" if half == "encoder" else "up"
    last = config.blocks + (half == "decoder")
    number = last if block is None else block
    if not diffusers:
        samples = f"{direction}samples"
        inside = f"{samples}.{stage}.{samples}.{number}"
        return inside if config.residual else f"{samples}.{stage * (last + 1) + number}"
    if half == "encoder" and not config.residual:
        return f"down_blocks.{stage * (last + 1) + number}"
    if block is None:
        sampler = f"{direction}sampler" if config.residual else f"{direction}samplers.0"
        return f"{direction}_blocks.{stage}.{sampler}"
    return f"{direction}_blocks.{stage}.resnets.{number}"


def read_config(path: Path) -> WanVaeConfig:
    """Read the kind of VAE that a config.json of diffusers describes.

    Raises:
      InputError: there is no such file, or it describes another network.
    """
    with input_errors("VAE", "give Wan's VAE as it was published", path):
        published = load_json(path)
        name = published["_class_name"]
        unknown = [
            field for field in ("attn_scales", "dropout") if published.get(field)
        ]
        fits = name == "AutoencoderKLWan" and not unknown
        check_field(path, fits, [name, *unknown], "AutoencoderKLWan")
        return WanVaeConfig(
            base=published["base_dim"],
            decoder_base=published.get("decoder_base_dim") or published["base_dim"],
            mean=tuple(published["latents_mean"]),
            std=tuple(published["latents_std"]),
            residual=published.get("is_residual", False),
            patch=published.get("patch_size") or 1,
            multipliers=tuple(published["dim_mult"]),
            blocks=published["num_res_blocks"],
            temporal=tuple(published["temperal_downsample"]),
        )


def _guess_config(path: Path, tensors: dict[str, ndarray]) -> WanVaeConfig:
    """Guess the config of Wan's own layout, which has no description, from shapes."""
    names = ("encoder.conv1.weight", "decoder.head.0.gamma")
    for name in names:
        check_field(path, name in tensors, f"no tensor {name}", "a VAE of Wan")
    nested_stages = "encoder.downsamples.0.downsamples."
    residual = any(name.startswith(nested_stages) for name in tensors)
    base, decoder_base = (len(tensors[name]) for name in names)
    kind = WAN22 if residual else WAN21
    return dataclasses.replace(kind, base=base, decoder_base=decoder_base)


def find_vae(source: Path) -> Path:
    """Return the file of a VAE's weights.

    Raises:
      InputError: there is none.
    """
    if source.is_file():
        return source
    candidates = [
        folder / name for folder in (source, source / "vae") for name in FILES
    ]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise InputError("weights", source, "none of them", WANTED, "check the path")
    return path
