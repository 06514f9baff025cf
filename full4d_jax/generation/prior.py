"""A trained prior as one value: opened once and passed on as an argument of compiled programs."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, no_type_check

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float

from full4d_jax.config import (
    DEFAULT,
    Config,
    ModelConfig,
    SamplerConfig,
    Size,
    codecs,
    masks,
)
from full4d_jax.models.codec import Weights
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.functional import Params, name_of
from full4d_jax.models.grid_mesh import check_grid_mesh, grid_mesh, parameter_shapes
from full4d_jax.models.wan.text import load_text
from full4d_jax.models.weights import SHIPPED, load_metadata, load_params, require_model
from full4d_jax.session import errors, processes


# JAX puts anything in the place of arrays: shapes, shardings, None.
@no_type_check
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "codec_weights", "text", "negative_text"],
    meta_fields=["model", "sampler", "mesh", "attend"],
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
      mesh: over which the parameters are sharded (`grid_mesh`), static under jit; None is one
        device.
      attend: attention in place of `fused_attention`, static under jit; None is that.
    """

    model: ModelConfig
    sampler: SamplerConfig
    params: Params
    codec_weights: Weights | None = None
    text: Float[Array | np.ndarray, "n e"] | None = None
    negative_text: Float[Array | np.ndarray, "n e"] | None = None
    mesh: AbstractMesh | None = None
    attend: Attend | None = None

    @property
    def for_codec(self) -> "Prior":
        """The prior without its network, for programs of the codec, where weights are offloaded."""
        return replace(self, params={}) if self._is_offloaded else self

    @property
    def for_network(self) -> "Prior":
        """The prior without the weights of its codec, for programs of the network, likewise."""
        return replace(self, codec_weights=None) if self._is_offloaded else self

    @property
    def _is_offloaded(self) -> bool:
        return self.sampler.offload and self.mesh is None


def open_prior(
    config: Config = DEFAULT,
    checkpoint: Path | None = None,
    attend: Attend | None = None,
) -> Prior:
    """Read a checkpoint, or the one shipped in the package, and what generating reads beside it.

    With a `config.mesh` that divides grids the parameters are read shard by shard; several
    processes call this together.

    Args:
      config: the experiment.
      checkpoint: weights; None for those in the package.
      attend: the attention that they were trained with, if a function of yours.

    Raises:
      PeerError: another process cannot read it.
      InputError: the model cannot divide `config.data`'s frames into tokens; or a file is missing
        or unusable; or the checkpoint was trained with another `config.model`, or with an attention
        of its own and none is given; or the device has no kernel for its heads; or the devices do
        not fit the mesh, or are several that offload.
    """
    check_size(config.model, config.data.height, config.data.width)
    mesh = grid_mesh(config.mesh)
    check_offload(config.sampler, mesh)
    path = prior_path(config.model, checkpoint)
    trained_with = load_metadata(path).get("own_attention")
    if trained_with not in (None, name_of(attend)):
        do = "open it with open_prior(config, checkpoint, attend), in Python"
        raise errors.InputError(
            "checkpoint", f"{path}, own_attention", trained_with, "that function", do
        )
    params = load_network(config, path, mesh)
    prior = replace(prior_with(config, params, mesh), attend=attend)
    processes.agree()
    return prior


def check_shares(config: Config) -> None:
    """Refuse a mesh that would leave a grid to one device of several processes.

    Raises:
      InputError: it does.
    """
    mesh = config.mesh
    if mesh.fsdp * mesh.view * mesh.time * mesh.tensor == 1:
        expected = "a mesh that divides a grid, with several processes"
        do = "set --mesh.fsdp, or start one process alone"
        raise errors.InputError("config", "mesh", "all 1", expected, do)


def prior_with(config: Config, params: Params, mesh: Mesh | None = None) -> Prior:
    """Return the prior with these parameters; the codec and the texts are those of the config.

    Args:
      config: the experiment.
      params: of its network.
      mesh: over which they are sharded.

    Raises:
      InputError: `config.codec_weights`, `config.text` or `config.negative_text` is unusable.
    """
    texts = load_text(config), load_text(config, "negative_text")
    shape = None if mesh is None else mesh.abstract_mesh
    offload = config.sampler.offload and mesh is None
    weights = codec_weights(config, mesh, on_host=offload)
    return Prior(config.model, config.sampler, params, weights, *texts, mesh=shape)


def load_network(
    config: Config, checkpoint: Path | None = None, mesh: Mesh | None = None
) -> Params:
    """Return the parameters of a checkpoint, or of the one shipped in the package.

    They have the type in which the network computes; on a mesh each device reads its own shards,
    and with `config.sampler.offload` they are numpy arrays.

    Raises:
      InputError: no such file, it was trained with another `config.model`, or the device has no
        kernel for its heads.
    """
    path = prior_path(config.model, checkpoint)
    require_model(path, config.model)
    like = parameter_shapes(config.model, mesh)
    return load_params(path, like, on_host=config.sampler.offload and mesh is None)


def prior_path(model: ModelConfig, checkpoint: Path | None = None) -> Path:
    """Return the given checkpoint, or the one in the package that is of this kind."""
    name = "prior" if model.needs_cameras else "four_real"
    return checkpoint or SHIPPED / f"{name}.safetensors"


def prior_settings(config: Config, checkpoint: Path) -> dict[str, Any]:
    """Return what a grid depends on beside what is real of it, for `stages.fingerprint`.

    Raises:
      InputError: there is no such mask.
    """
    # Where weights lie changes no grid.
    sampler = replace(config.sampler, offload=False)
    settings = {"model": config.model, "sampler": sampler, "seed": config.seed}
    files = {"text": config.text, "negative_text": config.negative_text}
    files |= {"codec": config.codec_weights, "mask": masks.mask_file(config.model.mask)}
    named = {name: Path(file) for name, file in files.items() if file}
    return settings | named | {"prior": checkpoint}


def trained_range(checkpoint: Path) -> tuple[float, float]:
    """Return the largest azimuth and elevation, degrees, that a prior was trained on.

    They stand in the checkpoint's metadata; one that does not say is taken to cover everything.
    """
    metadata = load_metadata(checkpoint)
    azimuth = metadata.get("max_azimuth_degrees", 180)
    return float(azimuth), float(metadata.get("max_elevation_degrees", 180))


def check_size(model: ModelConfig, height: int, width: int) -> None:
    """Refuse frames that do not divide into tokens.

    Raises:
      InputError: they do not.
    """
    side = model.patch * model.codec_stride
    if height % side or width % side:
        found = f"{height}x{width}"
        expected = f"multiples of {side}"
        raise errors.InputError("size", "height and width", found, expected, "resize")


def check_offload(sampler: SamplerConfig, mesh: Mesh | AbstractMesh | None) -> None:
    """Refuse to keep weights on the host that several devices share.

    Raises:
      InputError: the mesh has several devices.
    """
    if sampler.offload and mesh is not None and mesh.size > 1:
        found = f"on {mesh.size} devices"
        do = "leave it out, or --mesh.fsdp 1 and so on"
        raise errors.InputError("config", "sampler.offload", found, "on one device", do)


def check_grid(prior: Prior, size: Size) -> None:
    """Refuse a grid that does not divide into latents and tokens, or these not over the mesh.

    Raises:
      InputError: they do not.
    """
    model = prior.model
    strides = model.strides
    check_size(model, size.height, size.width)
    codecs.check_video(model.codec, strides, *size[1:])
    if prior.mesh is None:
        return
    frames = strides.latent_frames(size.frames)
    # What the network sees at once; without poses every part has the first instant.
    views = _part(size.views, prior.sampler.group_views)
    window = prior.sampler.window_frames
    seen = min(frames, window or frames)
    frames = seen if model.needs_cameras else _part(frames, window)
    frames = 1 + (frames - 1) * strides.frames
    seen = size._replace(views=views, frames=frames)
    check_grid_mesh(prior.mesh, model, seen)


def _part(count: int, size: int) -> int:
    """Return the members of a group, number 0 among them, where at most `size` are seen at once."""
    if not 1 < size < count:
        return count
    return 1 + -(-(count - 1) // -(-(count - 1) // (size - 1)))
