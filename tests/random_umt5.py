"""A text encoder as Wan has it, umT5, of random weights and few words."""

from pathlib import Path

WORDS = ["a", "an", "the", "man", "walks", "&", "sees", "two", "dogs"]
WIDTH = 24


def save_umt5(folder: Path) -> Path:
    """Write encoder and tokenizer in transformers' layout; return the folder."""
    import tokenizers
    import torch
    import transformers

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    by_word = tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
    model = tokenizers.Tokenizer(by_word)
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=model, **special)
    fast.save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = transformers.UMT5Config(
        vocab_size=len(vocabulary),
        d_model=WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=3,
    )
    transformers.UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder
