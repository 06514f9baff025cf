"""Make a video from words, or from words and its first picture, with Wan's weights."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.session.errors import InputError, require_ending, require_file
from full4d_jax.session.fields import require
from full4d_jax.session.help_text import Shown

SHOWN = (
    "seed",
    "codec_weights",
    "data.frames",
    "data.height",
    "data.width",
    "sampler.steps",
    "sampler.shift",
    "sampler.offload",
    "mesh",
)


def video(
    config: Annotated[Config, tyro.conf.arg(name=""), Shown(SHOWN)],
    prompt: tyro.conf.Positional[str],
    *,
    weights: Path | None = None,
    text_encoder: Path | None = None,
    negative: str = "",
    guidance: float = 5.0,
    image: Path | None = None,
    out: Path = Path("video.mp4"),
) -> None:
    """Make a video of what PROMPT says: words, or text.npz that `full4d embed-text` wrote.

    Needs --config of a preset of Wan (docs/wan.md); nothing is downloaded. Frames follow each other
    as the preset says, 24 or 16 a second. `full4d run OUT` makes a scene of it.

    Args:
      config: the experiment.
      prompt: what the video shows; Wan expects a few sentences.
      weights: a checkpoint of the preset, as `full4d convert wan` writes it.
      text_encoder: folder of umT5, for words; see full4d embed-text --help.
      negative: what it shall not show: words or .npz; left out, the empty prompt, or without an
        encoder Wan's padding.
      guidance: how strongly the words lead; 1 is off and takes half the time.
      image: the first frame; it is cut and resized. For wan22_5b.
      out: the .mp4 to write.
    """
    check_config(config)
    require_ending(out, ".mp4")
    require("guidance", guidance, guidance >= 0, "a number of at least 0")
    from full4d_jax.generation.video import check_model

    check_model(config.model, has_first=image is not None)
    if weights is None:
        do = "get Wan-AI/Wan2.2-TI2V-5B (Apache-2.0), then full4d convert wan (docs/wan.md)"
        raise InputError("option", "--weights", "none", "a checkpoint of Wan's", do)
    import jax

    from full4d_jax.generation.prior import open_prior
    from full4d_jax.generation.video import make_video
    from full4d_jax.media.video import crop_resize, write_video
    from full4d_jax.models.wan.text import prompt_encoder, text_of
    from full4d_jax.session.errors import input_errors
    from full4d_jax.session.files import open_folder
    from input_pipeline.footage import read_picture

    # What is quick to refuse comes before what is long to load.
    first = None
    size = (config.data.height, config.data.width)
    if image is not None:
        with input_errors("image", "give a PNG or JPEG"):
            first = crop_resize(read_picture(image), size[0], size[1])
    require_file("weights", weights, "a checkpoint of Wan's", "write it by full4d convert wan")
    if config.codec_weights:
        do = "write it by full4d convert codec"
        require_file("codec", Path(config.codec_weights), "weights of a codec", do)
    open_folder(out.parent)
    encoder = None
    if text_encoder is not None and not (prompt.endswith(".npz") and negative.endswith(".npz")):
        encoder = prompt_encoder(text_encoder)
    width = config.model.text_width
    text = text_of(prompt, width, encoder)
    avoided = text_of(negative, width, encoder)
    del encoder  # 11 GB
    prior = open_prior(config, weights)
    sampler = replace(prior.sampler, guidance=1.0, text_guidance=guidance)
    prior = replace(prior, sampler=sampler, text=text, negative_text=avoided)

    calls = sampler.steps * (1 if guidance == 1 else 2)
    shape = f"{config.data.frames} frames of {size[0]}x{size[1]}"
    print(f"making {shape} by {calls} calls of the network ...", flush=True)
    start = time.monotonic()
    key = jax.random.key(config.seed)
    frames = make_video(prior, config.data.frames, size, key, first)
    write_video(out, frames, config.data.fps)
    print(f"{out}: {len(frames) / config.data.fps:.1f} s, made in {time.monotonic() - start:.0f} s")
    print(f"next: full4d run {out}")
