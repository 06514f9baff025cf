"""Completion of a grid: a prior makes its missing frames, in the way that it can.

projection, small frames    the real rows are projected into the targets   `generate`
projection, large frames    likewise, made small and enlarged              `cascade`
no projection               any real frames, without cameras               `fill`
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config
from full4d_jax.generation.cascade import Upsampler, generate_large, load_upsampler
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, prior_settings
from full4d_jax.generation.projection_guidance import Projection
from full4d_jax.grid import Grid, Origin, around_source, grid_arrays, grid_from, with_missing
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages


def generate(
    prior: Prior,
    frames: UInt8[Array | ndarray, "k t h w 3"],
    depth: Float[Array | ndarray, "k t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    upsampler: Upsampler | None = None,
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
    pictures = np.asarray(frames)
    maps = np.asarray(depth)
    cameras = jax.tree.map(np.asarray, cameras)
    _check_arrays(prior, pictures, maps, cameras)
    real = around_source(pictures, maps, cameras.views(slice(len(pictures))))
    grid, _ = complete(prior, with_missing(real, cameras), key, upsampler)
    return grid


def _check_arrays(
    prior: Prior, frames: Shaped[ndarray, "..."], depth: Shaped[ndarray, "..."], cameras: Cameras
) -> None:
    """Refuse arrays of a caller that do not belong together.

    Raises:
      InputError: the message names the argument.
    """
    do = "give arrays of the same views, instants and sides"
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
        found = f"{frames.dtype} {frames.shape}"
        raise InputError("argument", "frames", found, "uint8 (k, t, h, w, 3)", do)
    if not prior.model.needs_cameras:
        found = "one without projection, which takes no depth"
        raise InputError("argument", "prior", found, "one with projection", do)
    views, instants, *sides, _ = frames.shape
    real, times = cameras.world_to_camera.shape[:2]
    agree = {
        "depth": (depth.shape, frames.shape[:4]),
        "cameras.height, cameras.width": ([cameras.height, cameras.width], sides),
        "cameras.world_to_camera, instants": (times, instants),
    }
    for name, (found, expected) in agree.items():
        if found != expected:
            raise InputError("argument", name, found, f"{expected}, as the frames", do)
    if real <= views:
        name = "cameras.world_to_camera, views"
        raise InputError("argument", name, real, f"more than {views}", do)


def complete(
    prior: Prior, grid: Grid, key: PRNGKeyArray, upsampler: Upsampler | None = None
) -> tuple[Grid, UInt8[ndarray, "n t h w 3"] | None]:
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
    if not prior.model.needs_cameras:
        return _filled(prior, grid, key), None
    return _generated(prior, grid, key, upsampler)


def run_grid(
    stages: Stages,
    config: Config,
    grid: Grid,
    prior: Prior,
    checkpoint: Path,
    upsampler: Upsampler | None,
    *,
    enlarged: bool,
) -> Grid:
    """Run the stage grid: let the prior make what is missing.

    Args:
      stages: the folder of the run.
      config: the experiment.
      grid: what is real, and what is missing.
      prior: see `complete`.
      checkpoint: its weights.
      upsampler: see `complete`.
      enlarged: whether the result is larger than what the prior was trained on.

    Raises:
      InputError: see `complete`.
    """
    settings = prior_settings(config, checkpoint)
    if upsampler is not None:
        settings |= {"upsampler": upsampler.path, "sampler": prior.sampler}
    if grid.cameras is not None:
        settings["intrinsics"] = grid.cameras.intrinsics
        settings["world_to_camera"] = grid.cameras.world_to_camera

    def fill() -> Arrays:
        key = jax.random.key(config.seed)
        completed, projection = complete(prior, grid, key, upsampler)
        if projection is None:
            return grid_arrays(completed)
        about = replace(completed.about, enlarged=enlarged)
        return grid_arrays(replace(completed, about=about)) | {"projection": projection}

    return grid_from(stages.run("grid", settings, fill))


def _filled(prior: Prior, grid: Grid, key: PRNGKeyArray) -> Grid:
    """Return a grid filled from any real frames."""
    real = grid.origin == Origin.REAL
    generated = to_uint8(to_unit(fill_grid(prior, to_model(grid.frames), real, key)))
    frames = np.where(real[..., None, None, None], grid.frames, generated)
    return replace(grid, frames=frames, origin=_completed_origin(grid))


def _generated(
    prior: Prior, grid: Grid, key: PRNGKeyArray, upsampler: Upsampler | None
) -> tuple[Grid, UInt8[ndarray, "n t h w 3"]]:
    """Return a grid generated from its real rows, and their projection."""
    cameras = grid.cameras
    depth = grid.depth
    real = grid.real_rows
    _require_missing(grid, real)
    assert cameras is not None, "a projection needs cameras"
    assert depth is not None, "a projection needs depth"
    frames = to_model(grid.frames[:real])
    maps = jnp.asarray(depth[:real])
    about = grid.about
    projection: Projection
    if upsampler is not None and min(frames.shape[2:4]) > upsampler.prior_rows:
        frames, projection = generate_large(
            prior, upsampler, frames, maps, cameras, key, grid.plate
        )
        about = replace(about, enlarged=True)
    else:
        frames, projection = generate_grid(prior, frames, maps, cameras, key)
    completed = replace(
        grid, frames=to_uint8(to_unit(frames)), origin=_completed_origin(grid), about=about
    )
    return completed, to_uint8(to_unit(projection.frames))


def _require_missing(grid: Grid, first: int) -> None:
    """Refuse a grid with a known frame in a row from `first` on: all of these are made.

    Raises:
      InputError: The message names the view and the instant.
    """
    known = np.argwhere(grid.origin[first:] != Origin.MISSING)
    if len(known):
        view, instant = known[0].tolist()
        origin = Origin(grid.origin[first + view, instant]).name.lower()
        found = f"{origin} at view {first + view}, instant {instant}"
        expected = f"missing frames in all rows from {first} on, with a projection"
        raise InputError("grid", "origin", found, expected, "take a model without projection")


def _completed_origin(grid: Grid) -> UInt8[ndarray, "v t"]:
    """Return the origin of a grid's frames once the missing ones are generated."""
    origin = np.where(grid.origin == Origin.MISSING, Origin.GENERATED, grid.origin)
    return origin.astype(np.uint8)


def upsampler_for(config: Config, weights: Path | None) -> Upsampler | None:
    """Return the upsampler that belongs to a prior: that of `weights`, else that in the package.

    None belongs to priors of other sizes or codecs.

    Raises:
      InputError: The weights are unusable, or do not belong to the prior.
    """
    fits = config.model.codec == "pixels"
    upsampler = load_upsampler(weights) if fits or weights is not None else None
    if upsampler is not None:
        fits &= config.data.height == config.data.width == upsampler.prior_rows
    if weights is not None and not fits:
        found = f"one for pixels of {upsampler.prior_rows} rows" if upsampler else "one"
        expected = f"none beside codec {config.model.codec} at {config.data.height} rows"
        raise InputError("option", "--upsampler", found, expected, "leave it out")
    return upsampler if fits else None
