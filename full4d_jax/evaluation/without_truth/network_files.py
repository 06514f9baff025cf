"""The options of `full4d evaluate` that name networks whose weights cannot be shipped."""

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class NetworkFiles:
    """Networks in .onnx files, and the prompt's embedding (docs/evaluation.md)."""

    clip_onnx: Path | None = None
    """CLIP's image encoder, for CLIP-F and CLIP-V."""
    clip_text: Path | None = None
    """The prompt's embedding by CLIP's text encoder, .npy (c,), for the CLIP score."""
    matcher_onnx: Path | None = None
    """A matcher of two pictures, such as GIM's, for the number of matches."""
    pointmaps_onnx: Path | None = None
    """A network of pointmaps of two pictures, such as DUSt3R, for its confidence."""
    features_onnx: Path | None = None
    """A network of a picture's features, such as FeatUp's DINO, for MEt3R."""


NETWORK_FLAGS = tuple(field.name for field in fields(NetworkFiles))
