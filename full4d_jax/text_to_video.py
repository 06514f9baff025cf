"""Text to video, or text and a picture to video, by Wan: as a file, or as the source of a run."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from full4d_jax.config import Config, check_config, presets
from full4d_jax.generation.prior import open_prior, prior_settings
from full4d_jax.generation.wan_video import check_model, make_video
from full4d_jax.media.video_io import crop_resize, write_video
from full4d_jax.models.wan.umt5 import prompt_embedding, prompt_encoder
from full4d_jax.session import errors, fields, files
from full4d_jax.session.stages import Stages
from full4d_jax.source.options import VideoOptions, WanOptions, WordsOptions
from input_pipeline.media_files import read_photo


@dataclass(frozen=True)
class Plan:
    """A video that is still to be generated; all that is quick to check has been checked.

    Attributes:
      config: a preset of Wan.
      prompt: words, or the name of a file of `full4d embed-text`.
      wan: the weights, and the other options.
      weights: the checkpoint in `wan`.
      first: the first frame, in the video's size.
    """

    config: Config
    prompt: str
    wan: WanOptions
    weights: Path
    first: UInt8[np.ndarray, "h w 3"] | None


def plan_video(config: Config, prompt: str, wan: WanOptions) -> Plan:
    """Check a preset, weights and the first frame, before text encoder and weights are read.

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
            picture = read_photo(wan.image)
        first = crop_resize(picture, config.data.height, config.data.width)
    do = "write it by full4d convert wan"
    errors.require_file("weights", wan.weights, "a checkpoint of Wan's", do)
    if config.codec_weights:
        do = "write it by full4d convert codec"
        file = Path(config.codec_weights)
        errors.require_file("codec", file, "weights of a codec", do)
    return Plan(config, prompt, wan, wan.weights, first)


def generate_video(plan: Plan) -> UInt8[np.ndarray, "t h w 3"]:
    """Generate a video, sRGB, at the preset's size and rate; prints its size, calls and time.

    Raises:
      InputError: there are words and no text encoder, or weights do not fit the preset.
    """
    config = plan.config
    wan = plan.wan
    encoder = None
    are_words = not (_is_file(plan.prompt) and _is_file(wan.negative))
    if wan.text_encoder is not None and are_words:
        encoder = prompt_encoder(wan.text_encoder)
    width = config.model.text_width
    text = prompt_embedding(plan.prompt, width, encoder)
    avoided = prompt_embedding(wan.negative, width, encoder)
    del encoder  # 11 GB
    prior = open_prior(config, plan.weights)
    sampler = replace(prior.sampler, guidance=1.0, text_guidance=wan.guidance)
    prior = replace(prior, sampler=sampler, text=text, negative_text=avoided)

    size = config.data.size._replace(views=1)
    calls = sampler.steps * (1 + (wan.guidance != 1))
    shape = f"{size.frames} frames of {size.height}x{size.width}"
    print(f"generating {shape} with {calls} calls of the network ...", flush=True)
    start = time.monotonic()
    frames = make_video(prior, size, jax.random.key(config.seed), plan.first)
    taken = time.monotonic() - start
    print(f"{size.frames / config.data.fps:.1f} s of video, generated in {taken:.0f} s")
    return frames


def video_in_folder(
    config: Config, source: WordsOptions, out: str | Path
) -> VideoOptions:
    """Generate the video of a run, video.mp4 in its folder, unless it is there already.

    Args:
      config: the scene's experiment; the video has its seed, its mesh and its offload.
      source: the prompt, and a picture for the first frame.
      out: the folder of the run, where video.npz keeps the frames.

    Returns:
      The options that open it as any other video.

    Raises:
      InputError: as `plan_video` and `generate_video`.
    """
    preset = presets.load_config(source.wan)
    sampler = replace(preset.sampler, offload=config.sampler.offload)
    preset = replace(preset, seed=config.seed, mesh=config.mesh, sampler=sampler)
    preset = replace(preset, codec_weights=str(source.codec or ""))
    plan = plan_video(preset, source.prompt, source.film)
    stages = Stages(files.hold_folder(out))

    arrays = stages.run(
        "video", _settings(plan), lambda: {"frames": generate_video(plan)}
    )
    video = stages.folder / "video.mp4"
    write_video(video, arrays["frames"], preset.data.fps)
    same = ("start", "fov", "size", "cameras", "measured")
    return VideoOptions(video, **{name: getattr(source, name) for name in same})


def _settings(plan: Plan) -> dict[str, Any]:
    """Return all that decides a video, for `stages.fingerprint`."""
    own = {"data": plan.config.data, "guidance": plan.wan.guidance, "first": plan.first}
    texts = {"prompt": plan.prompt, "negative": plan.wan.negative}
    texts = {
        name: Path(text) if _is_file(text) else text for name, text in texts.items()
    }
    return prior_settings(plan.config, plan.weights) | own | texts


def _is_file(prompt: str) -> bool:
    """Return whether a prompt names a file of `full4d embed-text`."""
    return prompt.endswith(".npz")
