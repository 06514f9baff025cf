"""Wan's preset at toy width, and data sets that are encoded for it."""

from pathlib import Path

import jax
import pytest
from changed import changed
from toy_codec import save_toy_codec

from full4d_jax.config import Config, load_config
from full4d_jax.data.data_options import Writing
from full4d_jax.data.encode import encode_dataset

SMALL = {"width": 48, "heads": 2, "ffn": 64, "layers": 1, "precision": "float32"}
SIZE = {"views": 3, "frames": 5, "height": 16, "width": 16}


def wan_config(folder: Path, text_width: int, **data) -> Config:
    """Wan's preset but for its sizes; its codec, of random weights, lies in the folder."""
    return changed(
        load_config("configs/wan21_1_3b.py"),
        codec_weights=save_toy_codec(folder / "vae.safetensors"),
        model=SMALL | {"text_width": text_width},
        data=SIZE | data,
        training={"batch": 2, "steps": 2, "checkpoint_every": 1, "log_every": 1},
    )


def on(config: Config, folder: Path, **data) -> Config:
    """The config, for training on a data set."""
    return changed(config, data={"records": (str(folder),), **data})


def encoded_as(name: str, config: Config, dataset: Path, *captions: Path) -> Path:
    """Encode a data set into a folder beside it, on one device, since it compiles for each."""
    out = dataset.parent / name
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_device_count", lambda: 1)
        encode_dataset(config, dataset, out, "train", Writing(1, (0, 1)), *captions)
    return out
