"""Scores by networks whose weights cannot be shipped.

The networks come as .onnx files that a person exports once (docs/evaluation.md says how):

    CLIP       colours normalised as for CLIP, to an embedding of any length
    pointmaps  colours in [-1, 1] of two pictures, to two outputs whose names begin with `conf`
               (1 h w), how sure a network such as DUSt3R is of their points, from 1

    CLIP-F     mean cosine of the embeddings of neighbouring frames of one view, in percent
    CLIP-V     mean cosine of the embeddings of all pairs of views of one instant, in percent
    CLIP score mean cosine of the embeddings of frames and of the prompt, in percent, at least 0
    confidence mean of `conf` over the pixels of both pictures

CLIP-F and CLIP-V are as in SynCamMaster (Bai et al. 2024); they are 100 for one picture everywhere.
The CLIP score is that of Hessel et al. 2021, times 100 in place of 2.5. The prompt's embedding
comes as a file, since words need the tokenizer of their own CLIP.
"""

import math
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from full4d_jax.media.video_io import crop_resize
from full4d_jax.session import errors, fields
from full4d_jax.source.depth.onnx_network import open_file
from input_pipeline.plain_files import check_field, load_array, numbers

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SEE = "see docs/evaluation.md"
BY_FILE = {
    "clip_onnx": "CLIP-F, CLIP-V",
    "clip_text": "CLIP score",
    "pointmaps_onnx": "Confidence of DUSt3R",
}

Picture = UInt8[np.ndarray, "h w 3"]
Frames = UInt8[np.ndarray, "v t h w 3"]
Vector = Float[np.ndarray, " c"]
Embeddings = Float[np.ndarray, "v t c"]
ImageFeatures = Callable[[Picture], Vector]
Confidence = Callable[[Picture, Picture], Float[np.ndarray, "2 p q"]]


class ScoringNetworks(NamedTuple):
    """The networks that a person gave.

    Attributes:
      clip: CLIP's image encoder.
      prompt: embedding of the prompt by its text encoder.
      pointmaps: how sure DUSt3R is of the points of two pictures.
      files: the files, by option.
    """

    clip: ImageFeatures | None
    prompt: Vector | None
    pointmaps: Confidence | None
    files: Mapping[str, Path | None]

    @property
    def missing(self) -> dict[str, str]:
        """Why scores are not there, by their names."""
        names = BY_FILE.items()
        return {
            name: f"no --{flag}; {SEE}" for flag, name in names if not self.files[flag]
        }


def load_scoring_networks(files: Mapping[str, Path | None]) -> ScoringNetworks:
    """Open the networks that are given, by the options of `BY_FILE`.

    Raises:
      InputError: a file that cannot be used, or a prompt without CLIP.
    """
    clip, prompt, pointmaps = (files[flag] for flag in BY_FILE)
    fits = bool(clip) or not prompt
    fields.require_option("clip_onnx", "none", fits, "one, with --clip_text")
    features = load_clip(clip) if clip else None
    return ScoringNetworks(
        clip=features,
        prompt=load_prompt(prompt, features) if prompt and features else None,
        pointmaps=load_pointmaps(pointmaps) if pointmaps else None,
        files=files,
    )


def load_clip(path: Path) -> ImageFeatures:
    """Load CLIP's image encoder.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    expected = "a network from pictures of three float colours to vectors"
    file = open_file("CLIP", path, expected, SEE)
    network = file.network
    # A file that takes any size gets this one.
    side, _ = network.sides(224, 224)

    def see(picture: Picture) -> Vector:
        values = next(iter(network.run(planes(clip_colors(picture, side))).values()))
        vector = np.squeeze(values).astype(np.float32)
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise file.refused(f"an output {values.shape}, or NaN in it")
        return vector

    return see


def load_prompt(path: Path, clip: ImageFeatures) -> Vector:
    """Load the embedding of a prompt by the text encoder of the same CLIP.

    Raises:
      InputError: no such file, or no embedding with as many numbers as that of a picture.
    """
    length = len(clip(np.zeros((224, 224, 3), np.uint8)))
    expected = f"an embedding by CLIP's text encoder, .npy of {length} floats"
    with errors.input_errors("prompt", SEE, path):
        text = numbers(load_array(path, expected).reshape(-1), (length,), str(path))
        check_field(path, text.any(), "only 0", expected)
    return text.astype(np.float32)


def load_pointmaps(path: Path) -> Confidence:
    """Load a network of pointmaps, which sees the middle of two pictures.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    expected = "a network from two pictures to two conf (1 h w)"
    file = open_file("pointmaps", path, expected, SEE, inputs=2)
    network = file.network
    names = [name for name in file.outputs if name.startswith("conf")]
    if len(names) != 2:
        raise file.refused(file.described)

    def see(first: Picture, second: Picture) -> Float[np.ndarray, "2 p q"]:
        # A file that takes any size gets this one.
        sides = network.sides(256, 256)
        pictures = [crop_resize(x, *sides) for x in (first, second)]
        outputs = network.run(*(planes(x / np.float32(127.5) - 1) for x in pictures))
        for name in names:
            values = outputs[name]
            if values.shape != (1, *sides) or not np.isfinite(values).all():
                raise file.refused(f"an output {name} {values.shape}, or NaN in it")
        return np.concatenate([outputs[name] for name in names])

    return see


def pair_confidence(frames: Frames, pointmaps: Confidence) -> float:
    """Return the confidence of neighbouring views of one instant, each pair in both orders."""
    pairs = [pair for instant in frames.swapaxes(0, 1) for pair in pairwise(instant)]
    both = [(pointmaps(a, b).mean(), pointmaps(b, a).mean()) for a, b in pairs]
    return float(np.mean(both))


def clip_colors(frame: Picture, side: int) -> Float32[np.ndarray, "side side 3"]:
    """Prepare a picture as OpenAI's CLIP: shorter side to `side`, bicubic, middle square."""
    height, width = frame.shape[:2]
    short = min(height, width)
    size = int(width * side / short), int(height * side / short)
    large = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    top = (large.shape[0] - side) // 2
    left = (large.shape[1] - side) // 2
    square = large[top : top + side, left : left + side].astype(np.float32)
    return (square / np.float32(255) - CLIP_MEAN) / CLIP_DEVIATION


def embed(features: ImageFeatures, frames: Frames) -> Embeddings:
    """Return the features of every frame of a grid, of length 1."""
    found = np.stack([[features(frame) for frame in video] for video in frames])
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def clip_f(embeddings: Embeddings) -> float:
    """Return CLIP-F, percent; NaN for a single instant."""
    cosines = (embeddings[:, 1:] * embeddings[:, :-1]).sum(-1)
    return float(100 * cosines.mean()) if cosines.size else math.nan


def clip_v(embeddings: Embeddings) -> float:
    """Return CLIP-V, percent; NaN for a single view."""
    cosines = [(a * b).sum(-1) for a, b in combinations(embeddings, 2)]
    return float(100 * np.mean(cosines)) if cosines else math.nan


def clip_score(embeddings: Embeddings, text: Vector) -> float:
    """Return the CLIP score of frames and the prompt, percent, at least 0."""
    cosines = embeddings @ (text / np.linalg.norm(text, axis=-1, keepdims=True))
    return float(100 * max(cosines.mean(), 0))


def planes(colors: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "1 3 h w"]:
    """Return a picture as networks in .onnx files take it."""
    return np.ascontiguousarray(colors.transpose(2, 0, 1))[None]
