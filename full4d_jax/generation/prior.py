"""A trained prior as one value: opened once and passed on as an argument of compiled programs."""

from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, no_type_check

import jax
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.config import Config, ModelConfig, SamplerConfig
from full4d_jax.config.check import check_heads
from full4d_jax.config.masks import mask_file
from full4d_jax.models.codecs.codec import Codec, Weights, codec_weights, make_codec
from full4d_jax.models.conditions import Params
from full4d_jax.models.dit import init_params
from full4d_jax.models.wan.text import load_negative_text, load_text
from full4d_jax.models.weights import load_metadata, load_params, require_model
from full4d_jax.session.errors import InputError

SHIPPED = "checkpoints/prior.safetensors"


@no_type_check  # jax puts anything in the place of arrays: shapes, shardings, None
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "codec_weights", "text", "negative_text"],
    meta_fields=["model", "sampler"],
)
@dataclass(frozen=True)
class Prior:
    """A network with all that generating with it reads.

    Attributes:
      model: configuration of the network; static under jit.
      sampler: how grids are sampled; static under jit.
      params: parameters of the network.
      codec_weights: weights of its codec; None for `pixels`, which has none.
      text: embedding of the prompt; None stands for a prompt without tokens.
      negative_text: embedding of the prompt that text guidance leads away from.
    """

    model: ModelConfig
    sampler: SamplerConfig
    params: Params
    codec_weights: Weights | None = None
    text: Float[Array | np.ndarray, "n e"] | None = None
    negative_text: Float[Array | np.ndarray, "n e"] | None = None

    @property
    def codec(self) -> Codec:
        """The codec of its latents."""
        return make_codec(self.model, self.codec_weights)


def open_prior(config: Config, checkpoint: Path | None = None) -> Prior:
    """Read a checkpoint, or the one shipped in the package, and what generating reads beside it.

    Raises:
      InputError: the model cannot divide `config.data`'s frames into tokens; or a file is missing
        or unusable; or the checkpoint was trained with another `config.model`; or the device has no
        kernel for its heads.
    """
    check_size(config.model, config.data.height, config.data.width)
    return prior_with(config, load_network(config, checkpoint))


def prior_with(config: Config, params: Params) -> Prior:
    """Return the prior with these parameters; the codec and the texts are those of the config.

    Raises:
      InputError: `config.codec_weights`, `config.text` or `config.negative_text` is unusable.
    """
    texts = load_text(config), load_negative_text(config)
    return Prior(config.model, config.sampler, params, codec_weights(config), *texts)


def load_network(config: Config, checkpoint: Path | None = None) -> Params:
    """Return the parameters (float32) of a checkpoint, or of the one shipped in the package.

    Raises:
      InputError: no such file, it was trained with another `config.model`, or the device has no
        kernel for its heads.
    """
    path = prior_path(checkpoint)
    check_heads(config.model, jax.default_backend())
    like = jax.eval_shape(partial(init_params, config.model), jax.random.key(0))
    require_model(path, load_metadata(path), config.model)
    return load_params(path, like)[0]


def prior_path(checkpoint: Path | None = None) -> Path:
    """Return the given checkpoint, or the one shipped in the package."""
    return checkpoint or Path(str(files("full4d_jax") / SHIPPED))


def prior_settings(config: Config, checkpoint: Path) -> dict[str, Any]:
    """Return what a grid depends on beside what is given of it, for `stages.fingerprint`.

    Raises:
      InputError: there is no mask `config.model.mask`.
    """
    settings = {"model": config.model, "sampler": config.sampler, "seed": config.seed}
    files = {"text": config.text, "negative_text": config.negative_text}
    files |= {"codec": config.codec_weights, "mask": mask_file(config.model.mask)}
    named = {name: Path(file) for name, file in files.items() if file}
    return settings | named | {"prior": checkpoint}


def trained_range(checkpoint: Path) -> tuple[float, float]:
    """Return the largest azimuth and elevation, degrees, that a prior was trained on.

    They stand in the checkpoint's metadata; one that does not say is taken to cover everything.
    """
    metadata = load_metadata(checkpoint)
    names = ("max_azimuth_degrees", "max_elevation_degrees")
    azimuth, elevation = (float(metadata.get(name, 180)) for name in names)
    return azimuth, elevation


def check_size(model: ModelConfig, height: int, width: int) -> None:
    """Refuse frames that do not divide into tokens.

    Raises:
      InputError: they do not.
    """
    side = model.patch * model.codec_stride
    if height % side or width % side:
        expected = f"multiples of {side}"
        raise InputError("size", "height and width", f"{height}x{width}", expected, "resize")
