"""A video that Wan makes of words, or of words and a picture: a file, or what a run starts from."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from full4d_jax.config import Config, check_config, presets
from full4d_jax.generation.prior import open_prior, prior_settings
from full4d_jax.generation.video import check_model, make_video
from full4d_jax.media.video_io import crop_resize, write_video
from full4d_jax.models.wan.umt5 import prompt_embedding, prompt_encoder
from full4d_jax.session import errors, fields, files
from full4d_jax.session.stages import Stages
from full4d_jax.source.options import VideoOptions, WanOptions, WordsOptions
from input_pipeline.media_files import read_picture


@dataclass(frozen=True)
class PlannedFilm:
    """A film that is still to be made; what is quick to refuse has been looked at.

    Attributes:
      config: a preset of Wan.
      prompt: words, or the name of a file of `full4d embed-text`.
      wan: the weights, and what else decides what it shows.
      weights: the checkpoint in `wan`.
      first: the first frame, in the film's size.
    """

    config: Config
    prompt: str
    wan: WanOptions
    weights: Path
    first: UInt8[np.ndarray, "h w 3"] | None


def plan_film(config: Config, prompt: str, wan: WanOptions) -> PlannedFilm:
    """Look at what a film is made of.

    Raises:
      InputError: the config is no preset of Wan, or a file is missing or unusable.
    """
    check_config(config)
    fields.check_fields(wan)
    check_model(config.model, has_first=wan.image is not None)
    if wan.weights is None:
        do = "get Wan-AI/Wan2.2-TI2V-5B (Apache-2.0), then full4d convert wan (docs/wan.md)"
        raise errors.InputError(
            "option", "--weights", "none", "a checkpoint of Wan's", do
        )
    first = None
    if wan.image is not None:
        with errors.input_errors("image", "give a PNG or JPEG"):
            picture = read_picture(wan.image)
        first = crop_resize(picture, config.data.height, config.data.width)
    do = "write it by full4d convert wan"
    errors.require_file("weights", wan.weights, "a checkpoint of Wan's", do)
    if config.codec_weights:
        do = "write it by full4d convert codec"
        errors.require_file(
            "codec", Path(config.codec_weights), "weights of a codec", do
        )
    return PlannedFilm(config, prompt, wan, wan.weights, first)


def make_film(film: PlannedFilm) -> UInt8[np.ndarray, "t h w 3"]:
    """Make a film, sRGB, at the preset's size and rate; says what it does.

    Raises:
      InputError: there are words and no text encoder, or weights do not fit the preset.
    """
    config = film.config
    wan = film.wan
    encoder = None
    are_words = not (_is_file(film.prompt) and _is_file(wan.negative))
    if wan.text_encoder is not None and are_words:
        encoder = prompt_encoder(wan.text_encoder)
    width = config.model.text_width
    text = prompt_embedding(film.prompt, width, encoder)
    avoided = prompt_embedding(wan.negative, width, encoder)
    del encoder  # 11 GB
    prior = open_prior(config, film.weights)
    sampler = replace(prior.sampler, guidance=1.0, text_guidance=wan.guidance)
    prior = replace(prior, sampler=sampler, text=text, negative_text=avoided)

    data = config.data
    calls = sampler.steps * (1 + (wan.guidance != 1))
    shape = f"{data.frames} frames of {data.height}x{data.width}"
    print(f"making {shape} by {calls} calls of the network ...", flush=True)
    start = time.monotonic()
    size = data.height, data.width
    frames = make_video(
        prior, data.frames, size, jax.random.key(config.seed), film.first
    )
    taken = time.monotonic() - start
    print(f"{data.frames / data.fps:.1f} s of video, made in {taken:.0f} s")
    return frames


def film_in_folder(
    config: Config, source: WordsOptions, out: str | Path
) -> VideoOptions:
    """Make the film of a run, video.mp4 in its folder, unless it is there already.

    Args:
      config: the scene's experiment; the film has its seed, its mesh and its offload.
      source: what the film shows.
      out: the folder of the run, where video.npz keeps the frames.

    Returns:
      The options that open it as any other video.

    Raises:
      InputError: as `plan_film` and `make_film`.
    """
    preset = presets.load_config(source.wan)
    sampler = replace(preset.sampler, offload=config.sampler.offload)
    preset = replace(preset, seed=config.seed, mesh=config.mesh, sampler=sampler)
    preset = replace(preset, codec_weights=str(source.codec or ""))
    film = plan_film(preset, source.prompt, source.film)
    stages = Stages(files.hold_folder(out))

    arrays = stages.run(
        "video", _film_settings(film), lambda: {"frames": make_film(film)}
    )
    video = stages.folder / "video.mp4"
    write_video(video, arrays["frames"], preset.data.fps)
    same = ("start", "fov", "size", "cameras", "measured")
    return VideoOptions(video, **{name: getattr(source, name) for name in same})


def _film_settings(film: PlannedFilm) -> dict[str, Any]:
    """Return what a film depends on, for `stages.fingerprint`."""
    own = {"data": film.config.data, "guidance": film.wan.guidance, "first": film.first}
    texts = {"prompt": film.prompt, "negative": film.wan.negative}
    texts = {
        name: Path(text) if _is_file(text) else text for name, text in texts.items()
    }
    return prior_settings(film.config, film.weights) | own | texts


def _is_file(prompt: str) -> bool:
    """Return whether a prompt names a file of `full4d embed-text`."""
    return prompt.endswith(".npz")
