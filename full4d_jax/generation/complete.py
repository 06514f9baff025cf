"""Completion of a grid: a prior makes its missing frames, in the way that it can.

projection, small frames    the real rows are projected into the targets   `generate`
projection, large frames    likewise, made small and enlarged              `cascade`
no projection               any real frames, without cameras               `generate`
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, Size
from full4d_jax.generation import cascade, sampling
from full4d_jax.generation.generate import fill_grid, generate_grid
from full4d_jax.generation.prior import Prior, prior_settings
from full4d_jax.grid import (
    Generation,
    Grid,
    Origin,
    around_source,
    grid_arrays,
    grid_from,
    with_missing,
)
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.session import errors, fields, files
from full4d_jax.session.stages import Stages


def generate(
    prior: Prior,
    frames: UInt8[Array | np.ndarray, "k t h w 3"],
    depth: Float[Array | np.ndarray, "k t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    upsampler: cascade.Upsampler | None = None,
) -> Grid:
    """Return the grid of all views that `cameras` has: the real ones, and others that are made.

    Args:
      prior: a model with projection; see `open_prior`.
      frames: sRGB pictures of the real views, the source first, and usually alone. Their sides are
        those that the prior was trained on, or with an upsampler larger ones.
      depth: z of their pixels, 0 where unknown. The world's unit is the median depth of the source.
      cameras: of all views, the real ones first, at the t instants; the first is the world.
      key: randomness of the initial noise.
      upsampler: enlarges what the prior makes for a grid with more rows; None for none.

    Raises:
      InputError: the arrays disagree in size, the model cannot divide the grid into tokens, or the
        prior takes no projection.
    """
    pictures, maps, cameras = jax.tree.map(np.asarray, (frames, depth, cameras))
    _check_arrays(prior, pictures, maps, cameras)
    real = around_source(pictures, maps, cameras.views(slice(len(pictures))))
    grid, _ = complete(prior, with_missing(real, cameras), key, upsampler)
    return grid


def _check_arrays(
    prior: Prior, frames: np.ndarray, depth: np.ndarray, cameras: Cameras
) -> None:
    """Refuse arrays of a caller that do not belong together.

    Raises:
      InputError: the message names the argument.
    """
    real, *clip, _ = frames.shape
    views, instants = cameras.world_to_camera.shape[:2]
    path = [instants, cameras.height, cameras.width]
    conditions = {
        "frames": (frames.dtype == np.uint8, frames.dtype, "uint8"),
        "prior": (prior.model.needs_cameras, "none with projection", "one"),
        "depth": (depth.shape == frames.shape[:4], depth.shape, frames.shape[:4]),
        "cameras": (path == clip, path, f"{clip}, as the frames"),
        "views of cameras": (views > real, views, f"more than {real}"),
    }
    for name, (fits, found, expected) in conditions.items():
        if not fits:
            do = "give arrays of the same views, instants and sides"
            raise errors.InputError("argument", name, found, expected, do)


def complete(
    prior: Prior,
    grid: Grid,
    key: PRNGKeyArray,
    upsampler: cascade.Upsampler | None = None,
) -> tuple[Grid, UInt8[np.ndarray, "n t h w 3"] | None]:
    """Return a grid whose missing frames are generated, and the projection into views 1 and on.

    Args:
      prior: a model with projection, for a grid with cameras, depth of its real rows and nothing
        else real; or one without, for any grid.
      grid: what is real, and what is missing.
      key: randomness of the initial noise.
      upsampler: enlarges what the prior makes for a grid with more rows; None for none.

    Returns:
      The grid, and the projection that guided the prior; None without projection.

    Raises:
      InputError: The model cannot divide the grid into tokens, or the mesh the tokens; or a frame
        is known that a projection would make again.
    """
    origin = np.where(grid.origin == Origin.MISSING, Origin.GENERATED, grid.origin)
    origin = origin.astype(np.uint8)
    views, instants, rows, columns = grid.frames.shape[:4]
    latent_frames = prior.model.strides.latent_frames(instants)
    projected = prior.model.needs_cameras
    calls = sampling.network_calls(
        prior.sampler, views, latent_frames, projected=projected
    )
    if not projected:
        is_real = grid.origin == Origin.REAL
        filled = to_uint8(
            to_unit(fill_grid(prior, to_model(grid.frames), is_real, key))
        )
        frames = np.where(is_real[..., None, None, None], grid.frames, filled)
        about = replace(grid.about, generation=Generation(rows, columns, calls, 1.0))
        return replace(grid, frames=frames, origin=origin, about=about), None
    real = grid.real_rows
    # A projection makes all other rows.
    for view, instant in np.argwhere(grid.origin[real:] != Origin.MISSING).tolist():
        name = Origin(grid.origin[real + view, instant]).name.lower()
        found = f"{name} at view {real + view}, instant {instant}"
        expected = f"missing frames from view {real} on"
        do = "take a model without projection"
        raise errors.InputError("grid", "origin", found, expected, do)
    shown = to_model(grid.frames[:real]), jnp.asarray(grid.known_depth[:real])
    given = *shown, grid.known_cameras, key
    enlarged = cascade.enlarges(upsampler, Size(*grid.frames.shape[:4]))
    share = 1.0
    if upsampler is not None and min(rows, columns) > upsampler.prior_rows:
        passing = None if grid.masks is None else grid.masks[0]
        completed_frames, projection = cascade.generate_large(
            prior, upsampler, *given, grid.plate, passing
        )
        small = upsampler.prior_rows
        rows, columns = cascade.small_size(prior, rows, columns, small)
        share = cascade.generated_share(projection.mask[real - 1 :])
        calls = calls if share > 0 else 0
    else:
        completed_frames, projection = generate_grid(prior, *given)
    generation = Generation(rows, columns, calls, share)
    about = replace(grid.about, enlarged=enlarged, generation=generation)
    frames = to_uint8(to_unit(completed_frames))
    completed = replace(grid, frames=frames, origin=origin, about=about)
    return completed, to_uint8(to_unit(projection.frames))


def run_grid(
    stages: Stages,
    config: Config,
    grid: Grid,
    prior: Prior,
    checkpoint: Path,
    upsampler: cascade.Upsampler | None,
) -> Grid:
    """Run the stage grid: let the prior make what is missing.

    Args:
      stages: the folder of the run.
      config: the experiment.
      grid: what is real, and what is missing.
      prior: see `complete`.
      checkpoint: its weights.
      upsampler: see `complete`.

    Raises:
      InputError: see `complete`.
    """
    settings = prior_settings(config, checkpoint) | {"cameras": grid.cameras}
    if upsampler is not None:
        settings |= {"upsampler": upsampler.path, "sampler": prior.sampler}

    def fill() -> files.Arrays:
        key = jax.random.key(config.seed)
        completed, projection = complete(prior, grid, key, upsampler)
        shown = {} if projection is None else {"projection": projection}
        return grid_arrays(completed) | shown

    return grid_from(stages.run("grid", settings, fill))


def upsampler_for(config: Config, weights: Path | None) -> cascade.Upsampler | None:
    """Return the upsampler that belongs to a prior: that of `weights`, else that in the package.

    None belongs to priors of other sizes or codecs.

    Raises:
      InputError: The weights are unusable, or do not belong to the prior.
    """
    data = config.data
    codec = config.model.codec
    if codec == "pixels":
        upsampler = cascade.load_upsampler(weights)
        if data.height == data.width == upsampler.prior_rows:
            return upsampler
    expected = f"none beside codec {codec} at {data.height} rows"
    fields.refuse({"upsampler": weights}, expected)
    return None
