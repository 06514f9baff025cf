"""Prompts as Wan reads them: 512 rows of umT5's last layer, zeros after the prompt's own tokens.

The encoder (`umt5`) runs once; a prompt's embedding is a small file that training and sampling
take. None is shipped: an empty prompt too has one token (</s>), whose row only the real encoder can
give. Without an embedding a model with text attends to zeros, what Wan has after </s>.
"""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from full4d_jax.config import Config
from full4d_jax.session.errors import InputError, input_errors, require_file
from input_pipeline.plain_files import load_arrays, numbers

TEXT_TOKENS = 512

Rows = Float[np.ndarray, "n e"]


def padded(rows: Rows) -> Float[np.ndarray, "512 e"]:
    """Put zeros behind the rows of a prompt."""
    return np.pad(rows, ((0, TEXT_TOKENS - len(rows)), (0, 0)))


def load_text(
    config: Config, field: Literal["text", "negative_text"] = "text"
) -> Rows | None:
    """Return the embedding that a field of the config names; None where it names none.

    Raises:
      InputError: there is no such file, `full4d embed-text` did not write it, its width is not the
        model's, or the model takes no text.
    """
    path = getattr(config, field)
    return read_embedding(field, path, config.model.text_width) if path else None


def load_training_texts(config: Config) -> tuple[Rows | None, Rows | None]:
    """Return what clips are trained with, and what the share `config.data.drop_text` gets instead.

    The guidance of a teacher (`config.flow.teacher_guidance`) leads away from the second.
    With `config.data.captions` the first is None: each clip has a text of its own.

    Raises:
      InputError: as in `load_text`, or the two have different numbers of tokens.
    """
    has_captions = config.data.captions
    blank = np.zeros((TEXT_TOKENS, config.model.text_width), np.float32)
    text = blank if has_captions else load_text(config)
    if not config.data.drop_text and config.flow.teacher_guidance == 1:
        return None if has_captions else text, None
    negative = load_text(config, "negative_text")
    known = negative if text is None else text
    text, negative = (
        np.zeros_like(known) if x is None else x for x in (text, negative)
    )
    if text.shape != negative.shape:
        found = f"{len(negative)} tokens"
        expected = f"{len(text)}, as many as text has"
        do = "embed both alike"
        raise InputError("embedding", config.negative_text, found, expected, do)
    return None if has_captions else text, negative


@functools.lru_cache(maxsize=2)
def read_embedding(field: str, path: str, width: int) -> Rows:
    """Read an embedding, refuse one that the model cannot take, and keep it for the next call."""
    do = "make one with full4d embed-text and that model's text encoder"
    if not width:
        found = "a model without text (model.text_width 0)"
        raise InputError("config", field, found, "one with text", f"omit --{field}")
    require_file("embedding", path, "an .npz file", do)
    with input_errors("embedding", do):
        text = load_arrays(Path(path), ("text",)).get("text", np.zeros(0))
        return numbers(text, (len(text), width), path).astype(np.float32)
