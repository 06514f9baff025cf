"""Encode a prompt into the embedding that Wan's transformer reads."""

from pathlib import Path

import tyro


def embed_text(
    prompt: tyro.conf.Positional[str], *, model: Path, out: Path = Path("text.npz")
) -> None:
    """Encode PROMPT once; `--text OUT` gives it to train, sample and run.

    Needs the extra `text` (PyTorch and transformers) and umT5's weights, 11 GB; nothing is
    downloaded. The prompt may be empty ("").

    Args:
      prompt: the text; Wan expects a few sentences.
      model: folder with `text_encoder` and `tokenizer`, e.g. of Wan-AI/Wan2.2-TI2V-5B-Diffusers.
      out: the .npz file to write.
    """
    import numpy as np

    from full4d_jax.models.wan.text import TEXT_TOKENS
    from full4d_jax.models.wan.umt5 import embed_prompt
    from full4d_jax.session.errors import require_ending
    from full4d_jax.session.files import open_folder, save_arrays

    require_ending(out, ".npz")
    open_folder(out.parent)
    text, tokens = embed_prompt(prompt, model)
    save_arrays(out, {"text": text, "prompt": np.array(prompt)})
    if tokens > TEXT_TOKENS:
        print(f"warning: {tokens} tokens in the prompt, cut after {TEXT_TOKENS}")
    print(f"{out}: {min(tokens, TEXT_TOKENS)} tokens of width {text.shape[1]}")
