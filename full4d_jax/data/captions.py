"""Captions of clips on their way into a dataset: embedded once, and stored beside their clips."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from full4d_jax.config import Config
from full4d_jax.models.wan.text import prompt_encoder
from full4d_jax.session.errors import InputError, input_errors, require_file
from input_pipeline.datasets.dataset import Records
from input_pipeline.plain_files import load_json
from input_pipeline.schema import Example

Captions = Callable[[Example], Example]  # a clip with its caption and its embedding


def caption_embedder(
    config: Config, records: Records, text_encoder: Path | None, file: Path | None
) -> tuple[str, Captions | None]:
    """Return what a dataset's card says about captions, and the function that embeds them, if any.

    Args:
      config: names the width of the model's text.
      records: the clips.
      text_encoder: folder of the encoder (`prompt_encoder`); None embeds nothing.
      file: JSON file with captions by scene, in place of the clips' own.

    Raises:
      InputError: there is no caption, the file is unusable, or the encoder is not the model's.
    """
    takes_captions = config.data.captions or file is not None
    if text_encoder is None:
        if takes_captions:
            expected = "the folder of umT5, to embed captions with"
            raise InputError("option", "--text_encoder", "none", expected, "give it (docs/wan.md)")
        return "", None
    texts = {} if file is None else _read_captions(file)
    with_caption = sum(clip["caption"] or clip["scene"] in texts for clip in records.clips)
    if not with_caption:
        expected = "some"
        do = "give them as --captions FILE"
        raise InputError("dataset", records.folder, "no clip with a caption", expected, do)
    print(f"{with_caption} of {len(records)} clips have a caption; an empty one is embedded too")
    if unknown := sorted(set(texts) - set(records.scene_ids)):
        print(f"left out: {len(unknown)} captions of scenes that are not here, as {unknown[0]!r}")
    encode = functools.lru_cache(maxsize=64)(prompt_encoder(text_encoder))
    width = encode("")[0].shape[1]
    if width != config.model.text_width:
        expected = f"{config.model.text_width}, the model's"
        raise InputError("text encoder", text_encoder, f"width {width}", expected, "give another")

    def embed(example: Example) -> Example:
        caption = texts.get(example.scene_id, example.caption)
        return example._replace(caption=caption, text=encode(caption)[0].astype(np.float16))

    digest = "" if file is None else f" of {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    return f". Captions{digest} are embedded by {text_encoder.name}", embed


def _read_captions(file: Path) -> dict[str, str]:
    """Read captions by scene.

    Raises:
      InputError: there is no such file, or it does not hold that.
    """
    do = 'write {"SCENE": "its caption", ...}'
    require_file("captions", file, "a JSON file", do)
    with input_errors("captions", do):
        texts = load_json(file)
    if not isinstance(texts, dict) or not all(isinstance(x, str) for x in texts.values()):
        raise InputError("captions", file, "something else", "a text by scene", do)
    return texts
