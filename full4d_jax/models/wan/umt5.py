"""umT5 in PyTorch, through transformers (the extra `text`): it encodes prompts, once each."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from full4d_jax.models.wan.text import TEXT_TOKENS, Rows, padded, read_embedding
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import load_extra

PromptEncoder = Callable[[str], tuple[Rows, int]]


def embed_prompt(prompt: str, folder: Path) -> tuple[Float[np.ndarray, "512 e"], int]:
    """Encode one prompt as `prompt_encoder` does, with zeros behind its own tokens."""
    rows, tokens = prompt_encoder(folder)(prompt)
    return padded(rows), tokens


def prompt_encoder(folder: Path) -> PromptEncoder:
    """Load a text encoder, which then encodes prompts one by one.

    Args:
      folder: umT5 encoder and tokenizer in transformers' layout, in the subfolders `text_encoder`
        and `tokenizer` (as in the repositories that diffusers loads) or together.

    Returns:
      A function of a prompt, which it cleans of HTML entities and repeated spaces as Wan does. It
      returns float32 rows of the prompt's tokens, at most 512, and the number of all its tokens.

    Raises:
      InputError: the extra is not installed, or the folder cannot be loaded.
    """
    packages = ("torch", "transformers")
    torch, transformers = (load_extra(name, "extra", "text") for name in packages)
    tokenizer = _pretrained(transformers.AutoTokenizer, folder, "tokenizer")
    encoder = _pretrained(transformers.UMT5EncoderModel, folder, "text_encoder").eval()

    def encode(prompt):
        words = " ".join(html.unescape(html.unescape(prompt)).split())
        ids = tokenizer(words, truncation=False, verbose=False)["input_ids"]
        cut = {"truncation": True, "max_length": TEXT_TOKENS}
        inputs = tokenizer(words, **cut, return_tensors="pt")
        with torch.inference_mode():
            encoded = encoder(inputs["input_ids"], inputs["attention_mask"])
        return encoded.last_hidden_state[0].float().numpy(), len(ids)

    return encode


def prompt_embedding(
    prompt: str, width: int, encoder: PromptEncoder | None
) -> Rows | None:
    """Return the embedding of words, or of the .npz file that a prompt names.

    Of no words it is that of the empty prompt, or None where there is no encoder.

    Args:
      prompt: words, or the name of a file that `full4d embed-text` wrote.
      width: channels that the model reads.
      encoder: encodes words; see `prompt_encoder`.

    Raises:
      InputError: there are words and no encoder, or the embedding is not of that width.
    """
    if prompt.endswith(".npz"):
        return read_embedding("prompt", prompt, width)
    if encoder is None and not prompt:
        return None
    if encoder is None:
        found = "words and no --text_encoder"
        expected = "the folder of umT5, or a prompt from full4d embed-text (text.npz)"
        do = "get text_encoder and tokenizer of Wan-AI/Wan2.2-TI2V-5B-Diffusers"
        raise InputError("option", "PROMPT", found, expected, do)
    rows = encoder(prompt)[0]
    if rows.shape[1] != width:
        found = f"rows of {rows.shape[1]}"
        do = "give umT5-XXL, which Wan reads"
        expected = f"rows of {width} numbers"
        raise InputError("option", "--text_encoder", found, expected, do)
    return padded(rows)


def _pretrained(kind: Any, folder: Path, inner: str) -> Any:
    """Load a tokenizer or an encoder, from local files only."""
    where = folder / inner if (folder / inner).is_dir() else folder
    expected = "a umT5 encoder and its tokenizer as transformers saves them"
    do = "give a whole download, e.g. of Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    names = ("config.json", "tokenizer_config.json")
    if not any((where / name).is_file() for name in names):
        found = f"no {' or '.join(names)}"
        raise InputError("text encoder", where, found, expected, do)
    try:
        # Without it transformers would open a pickle where there is no other file of weights.
        return kind.from_pretrained(where, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        found = str(error).splitlines()[0]
        raise InputError("text encoder", where, found, expected, do) from None
