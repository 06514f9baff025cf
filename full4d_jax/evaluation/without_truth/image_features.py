"""Scores by networks whose weights cannot be shipped: those of CLIP, FID's features, matches.

The networks come as .onnx files that a person exports once (docs/evaluation.md says how):

    CLIP       colours normalised as for CLIP, to an embedding of any length
    Inception  colours in [-1, 1], to the 2,048 numbers of the last pooling
    matcher    colours in [0, 1] of two pictures, such as GIM's, to the confidence of each match

    CLIP-F     mean cosine of the embeddings of neighbouring frames of one view, in percent
    CLIP-V     mean cosine of the embeddings of all pairs of views of one instant, in percent
    CLIP score mean cosine of the embeddings of frames and of the prompt, in percent, at least 0
    matched    mean number of matches of a pair of views of one instant whose confidence is above
               `CONFIDENT`

CLIP-F, CLIP-V and matches are as in SynCamMaster (Bai et al. 2024), which does not say its
threshold; the first two are 100 for one picture everywhere. The CLIP score is that of Hessel et al.
2021, times 100 in place of 2.5. The prompt's embedding comes as a file, since words need the
tokenizer of their own CLIP.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from full4d_jax.session.errors import InputError, input_errors, require_file
from full4d_jax.source.depth.onnx_network import as_network, open_file
from input_pipeline.plain_files import load_array

# Pixels, where a file takes any size.
CLIP_SIDE = 224
INCEPTION_SIDE = 299
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
CONFIDENT = 0.5
EXPECTED = "a network from pictures of three float colours to vectors"
PROMPT = "an embedding by CLIP's text encoder, .npy of floats"
PAIRS = "a network from two pictures of three float colours to confidences"
SEE = "see docs/evaluation.md"

Picture = UInt8[np.ndarray, "h w 3"]
ImageFeatures = Callable[[Picture], Float32[np.ndarray, " c"]]
Matcher = Callable[[Picture, Picture], int]
Colors = Callable[[Picture, int], Float32[np.ndarray, "side side 3"]]


def load_clip(path: Path) -> ImageFeatures:
    """Load CLIP's image encoder.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    return _load("CLIP", path, CLIP_SIDE, clip_colors)


def load_prompt(path: Path, clip: ImageFeatures) -> Float[np.ndarray, " c"]:
    """Load the embedding of a prompt by the text encoder of the same CLIP.

    Raises:
      InputError: no such file, or no embedding with as many numbers as that of a picture.
    """
    require_file("prompt", path, PROMPT, SEE)
    with input_errors("prompt", SEE):
        values = load_array(path, PROMPT)
    length = len(clip(np.zeros((CLIP_SIDE, CLIP_SIDE, 3), np.uint8)))
    text = values.reshape(-1) if values.dtype.kind == "f" else np.zeros(0)
    if text.shape != (length,) or not np.isfinite(text).all() or not text.any():
        description = f"{values.dtype} of shape {values.shape}, or NaN or only 0 in it"
        raise InputError("prompt", path, description, f"{PROMPT}, with {length} numbers", SEE)
    return text.astype(np.float32)


def load_inception(path: Path) -> ImageFeatures:
    """Load FID's network.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    return _load("Inception", path, INCEPTION_SIDE, inception_colors)


def _load(what: str, path: Path, side: int, colors: Colors) -> ImageFeatures:
    """Load a network that sees pictures by `colors`, with sides of its own or else `side`."""
    network = as_network(open_file(what, path, EXPECTED, SEE))
    own, _ = network.sides(side, side)

    def see(picture: Picture) -> Float32[np.ndarray, " c"]:
        values = network.first(planes(colors(picture, own)))
        vector = np.squeeze(values).astype(np.float32)
        if vector.ndim != 1 or not np.isfinite(vector).all():
            found = f"an output {values.shape}"
            if vector.ndim == 1:
                found += ", NaN or infinite in some places"
            raise InputError("image network", path, found, EXPECTED, SEE)
        return vector

    return see


def load_matcher(path: Path) -> Matcher:
    """Load a matcher, which returns the number of confident matches of two pictures.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    file = open_file("matcher", path, PAIRS, SEE)
    network = as_network(file, inputs=2)

    def count(first: Picture, second: Picture) -> int:
        sides = network.sides(*first.shape[:2])[::-1]
        pair = [cv2.resize(x, sides, interpolation=cv2.INTER_AREA) for x in (first, second)]
        confidence = network.first(*(planes(x / np.float32(255)) for x in pair))
        if confidence.dtype.kind != "f" or np.isnan(confidence).any():
            found = f"an output {confidence.dtype} {confidence.shape}, NaN in some places"
            raise file.refused(found)
        return int((confidence > CONFIDENT).sum())

    return count


def matched(matcher: Matcher, frames: UInt8[np.ndarray, "v t h w 3"]) -> float:
    """Return the mean number of matches of two views of one instant; NaN for a single view."""
    pairs = combinations(range(len(frames)), 2)
    counts = [matcher(*frames[list(pair), t]) for pair in pairs for t in range(frames.shape[1])]
    return float(np.mean(counts)) if counts else float("nan")


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


def inception_colors(frame: Picture, side: int) -> Float32[np.ndarray, "side side 3"]:
    """Prepare a picture as pytorch-fid: the whole picture to a square, bilinear."""
    colors = frame.astype(np.float32) / np.float32(127.5) - 1
    return cv2.resize(colors, (side, side), interpolation=cv2.INTER_LINEAR)


def clip_f(embeddings: Float[np.ndarray, "v t c"]) -> float:
    """Return CLIP-F, percent; NaN for a single instant."""
    unit = _unit(embeddings)
    cosines = (unit[:, 1:] * unit[:, :-1]).sum(-1)
    return float(100 * cosines.mean()) if cosines.size else float("nan")


def clip_v(embeddings: Float[np.ndarray, "v t c"]) -> float:
    """Return CLIP-V, percent; NaN for a single view."""
    unit = _unit(embeddings)
    cosines = [(unit[a] * unit[b]).sum(-1) for a, b in combinations(range(len(unit)), 2)]
    return float(100 * np.mean(cosines)) if cosines else float("nan")


def clip_score(embeddings: Float[np.ndarray, "v t c"], text: Float[np.ndarray, " c"]) -> float:
    """Return the CLIP score of frames and the prompt, percent, at least 0."""
    cosines = _unit(embeddings) @ _unit(text)
    return float(100 * max(cosines.mean(), 0))


def embed(
    features: ImageFeatures, frames: UInt8[np.ndarray, "v t h w 3"]
) -> Float32[np.ndarray, "v t c"]:
    """Return the features of every frame of a grid."""
    return np.stack([[features(frame) for frame in video] for video in frames])


def _unit(embeddings: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n c"]:
    return embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)


def planes(colors: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "1 3 h w"]:
    """Return a picture as networks in .onnx files take it."""
    return np.ascontiguousarray(colors.transpose(2, 0, 1))[None]
