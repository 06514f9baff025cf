"""Generate a video from text, or from text and a first frame, with Wan's weights."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.session import errors, fields
from full4d_jax.source.options import Flat, WanOptions

SHOWN = ("seed", "codec_weights", "data.frames", "data.height", "data.width", "mesh")
SHOWN += ("sampler.steps", "sampler.shift", "sampler.offload")


def video(
    config: Annotated[Config, fields.Shown(SHOWN)],
    prompt: tyro.conf.Positional[str],
    *,
    wan: Annotated[WanOptions, Flat],
    out: Path = Path("video.mp4"),
) -> None:
    """Generate a video from PROMPT: text, or text.npz that `full4d embed-text` wrote.

    Needs --config of a preset of Wan (docs/wan.md); nothing is downloaded. Frames follow each other
    as the preset says, 24 or 16 a second. `full4d run --prompt WORDS` makes a scene of it, too.

    Args:
      config: the experiment.
      prompt: what the video shows; Wan expects a few sentences.
      wan: Wan's weights, and what else decides what the video shows.
      out: the .mp4 to write.
    """
    errors.require_ending(out, ".mp4")
    from full4d_jax.media.video_io import write_video
    from full4d_jax.session.files import open_folder
    from full4d_jax.text_to_video import generate_video, plan_video

    plan = plan_video(config, prompt, wan)
    open_folder(out.parent)
    write_video(out, generate_video(plan), config.data.fps)
    print(f"next: full4d run {out}")
