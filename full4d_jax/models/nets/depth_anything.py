"""Depth Anything V2: the relative disparity of one picture, by weights that others published.

    picture - patches of 14 - DINOv2, in four stages --> four maps of tokens
                                                          |  |  |  |   reassemble
                                        sides of patches x 4  2  1 1/2
                                                          |  |  |  |   fuse, the smallest first
    disparity <---- 3 convolutions, at the picture's size <-----------'

Yang et al. 2024 (arXiv 2406.09414): a vision transformer (DINOv2, arXiv 2304.07193) and the head of
DPT (arXiv 2103.13413), as `DepthAnythingForDepthEstimation` of transformers computes them. Maps are
resized in float32 with the positions that PyTorch takes: corners on corners inside the head, cubic
(a = -3/4) without, for the position embeddings.

Files are the `model.safetensors` of depth-anything/Depth-Anything-V2-*-hf. Their shapes give all
sizes; what shapes do not give is `STAGES` and `HEAD_WIDTH`, which Small, Base and Large have.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int
from numpy import ndarray

from full4d_jax.models.functional import Params, nested
from full4d_jax.models.nets.mobile_layers import (
    Maps,
    Pictures,
    Plane,
    convolve,
    pointwise,
)
from full4d_jax.models.tensor_files import read_tensors
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.plain_files import check_field

Tokens = Float[Array, "b n c"]
Row = Float32[ndarray, " n"]
# Indices of samples, and their weights.
Taps = tuple[Int[ndarray, "k n"], Float32[ndarray, "k n"]]
# Pixels of a side; those of a picture are multiples.
PATCH_PIXELS = 14
# Channels of one head of attention.
HEAD_WIDTH = 64
# PyTorch's parameter of cubic interpolation.
CUBIC_PARAMETER = -0.75
# Layers after which the head takes the tokens, by the number of all layers. Depth Anything V1 has
# files of the same shapes, but takes the last four.
STAGES = {12: (3, 6, 9, 12), 24: (5, 12, 18, 24)}
# Factors by which the first two maps of tokens are larger than the patches.
RAISED = (4, 2)
MAP_COUNT = 4
# The map of the size of the patches.
EVEN_MAP = 2
WHAT = "depth network"
EXPECTED = "Depth Anything V2 Small, Base or Large as transformers has them"
DO = "get model.safetensors of depth-anything/Depth-Anything-V2-Small-hf again"
# Of names that no other network here has.
PREFIXES = ("backbone.", "neck.")
LAYER = "backbone.encoder.layer"
EMBEDDINGS = "backbone.embeddings"
# Names of a block's layers in a file, and ours; the first four are square.
BLOCK_LAYERS = {
    "attention.attention.query": "q",
    "attention.attention.key": "k",
    "attention.attention.value": "v",
    "attention.output.dense": "out",
    "mlp.fc1": "widen",
    "mlp.fc2": "narrow",
    "norm1": "norm_1",
    "norm2": "norm_2",
}
# Our names of the layers that fuse two maps, and those in a file.
FUSION = {
    "project": "projection",
    "before.first": "residual_layer1.convolution1",
    "before.second": "residual_layer1.convolution2",
    "after.first": "residual_layer2.convolution1",
    "after.second": "residual_layer2.convolution2",
}


def depth_anything(params: Params, pictures: Pictures) -> Plane:
    """Return relative disparity, 0 or more, up to a scale and a shift for each picture.

    Args:
      params: as `load_depth_anything` reads them.
      pictures: with ImageNet's mean and deviation taken off; sides are multiples of 14.
    """
    rows = pictures.shape[1] // PATCH_PIXELS
    columns = pictures.shape[2] // PATCH_PIXELS
    maps = []
    for number, tokens in enumerate(backbone_features(params, pictures)):
        grid = tokens[:, 1:].reshape(len(tokens), rows, columns, -1)
        maps.append(_reassemble(params[f"map_{number}"], grid, number))
    x = maps[-1]
    for number in reversed(range(MAP_COUNT)):
        layers = params[f"fuse_{number}"]
        if number < MAP_COUNT - 1:
            x = x + _residual(layers["before"], maps[number])
        larger = (
            maps[number - 1].shape[1:3] if number else (2 * x.shape[1], 2 * x.shape[2])
        )
        x = resize(_residual(layers["after"], x), *larger, linear_taps)
        x = pointwise(layers["project"], x)
    x = convolve(params["head_1"], x)
    height, width = pictures.shape[1:3]
    x = resize(x, height, width, linear_taps)
    x = jax.nn.relu(convolve(params["head_2"], x))
    return jax.nn.relu(pointwise(params["head_3"], x))[..., 0]


def backbone_features(params: Params, pictures: Pictures) -> list[Tokens]:
    """Return the normalised tokens after each stage, that of the class first; arguments as above.

    After it come the patches, row after row.
    """
    b, h, w, _ = pictures.shape
    assert h % PATCH_PIXELS == w % PATCH_PIXELS == 0, pictures.shape
    sides = (h // PATCH_PIXELS, w // PATCH_PIXELS)
    positions = resize(params["positions"], *sides, cubic_taps)
    patches = (
        convolve(params["patches"], pictures, PATCH_PIXELS, reach=0) + positions[None]
    )
    width = patches.shape[-1]
    first = jnp.broadcast_to(params["class"][None, None], (b, 1, width))
    x = jnp.concatenate([first, patches.reshape(b, -1, width)], 1)
    features = []
    for number in range(MAP_COUNT):
        blocks = params[f"stage_{number}"]
        x, _ = jax.lax.scan(lambda x, block: (_block(block, x), None), x, blocks)
        features.append(_normalise(params["norm"], x))
    return features


def _block(block: Params, x: Tokens) -> Tokens:
    """Apply one layer of the transformer."""
    seen = _normalise(block["norm_1"], x)
    heads = (*x.shape[:2], x.shape[2] // HEAD_WIDTH, HEAD_WIDTH)
    q, k, v = (_linear(block[name], seen).reshape(heads) for name in ("q", "k", "v"))
    mixed = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
    x = x + block["scale_1"][None, None] * _linear(block["out"], mixed)
    wide = _linear(block["widen"], _normalise(block["norm_2"], x))
    narrow = _linear(block["narrow"], jax.nn.gelu(wide, approximate=False))
    return x + block["scale_2"][None, None] * narrow


def _linear(layer: Params, x: Float[Array, "b n i"]) -> Float[Array, "b n o"]:
    return x @ layer["kernel"] + layer["bias"][None, None]


def _normalise(layer: Params, x: Tokens) -> Tokens:
    """Apply a layer norm."""
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    unit = centred * jax.lax.rsqrt(variance + 1e-6)
    return unit * layer["scale"][None, None] + layer["bias"][None, None]


def _reassemble(layers: Params, x: Maps, number: int) -> Maps:
    """Bring the patches of one stage to the size and the channels of its map."""
    x = pointwise(layers["project"], x)
    if number < len(RAISED):
        # A transposed convolution, whose inputs are last, and whose kernel is its stride: each
        # patch becomes a square.
        kernel = layers["resize"]["kernel"]
        b, h, w, _ = x.shape
        squares = jnp.einsum("bhwc,ijdc->bhiwjd", x, kernel)
        x = squares.reshape(b, h * kernel.shape[0], w * kernel.shape[1], -1)
        x = x + layers["resize"]["bias"][None, None, None]
    elif number == MAP_COUNT - 1:
        x = convolve(layers["resize"], x, stride=2)
    return convolve(layers["even"], x)


def _residual(layers: Params, x: Maps) -> Maps:
    hidden = convolve(layers["first"], jax.nn.relu(x))
    return x + convolve(layers["second"], jax.nn.relu(hidden))


def resize(
    x: Float[Array, "*b h w c"],
    height: int,
    width: int,
    taps: Callable[[int, int], Taps],
) -> Float[Array, "*b r q c"]:
    """Resize maps by the samples and weights that `taps` gives for sides before and after.

    Samples beyond a border are the outermost.
    """
    for axis, size in ((-3, height), (-2, width)):
        before = x.shape[axis]
        indices, weights = taps(before, size)
        shape = [1] * x.ndim
        shape[axis] = -1
        y = jnp.zeros((), x.dtype)
        for index, weight in zip(np.clip(indices, 0, before - 1), weights, strict=True):
            y = y + jnp.take(x, index, axis) * weight.reshape(shape)
        x = y
    return x


def linear_taps(before: int, size: int) -> Taps:
    """Place corners on corners, as PyTorch does with `align_corners=True`."""
    step = np.float32(before - 1) / np.float32(max(1, size - 1))
    at = step * np.arange(size, dtype=np.float32)
    low = at.astype(np.int32)
    part = (at - low).astype(np.float32)
    return np.stack([low, low + 1]), np.stack([1 - part, part])


def cubic_taps(before: int, size: int) -> Taps:
    """Weigh four samples as PyTorch does bicubically, without aligned corners or smoothing."""
    step = np.float32(before) / np.float32(size)
    at = step * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    low = np.floor(at).astype(np.int32)
    part = (at - low).astype(np.float32)
    weights = [_far(part + 1), _near(part), _near(1 - part), _far(2 - part)]
    return low + np.arange(-1, 3)[:, None], np.stack(weights)


def _near(distance: Row) -> Row:
    """Return the cubic weight of samples up to 1 away."""
    return ((CUBIC_PARAMETER + 2) * distance - (CUBIC_PARAMETER + 3)) * distance**2 + 1


def _far(distance: Row) -> Row:
    """Return the cubic weight of samples 1 to 2 away."""
    a = CUBIC_PARAMETER
    return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a


def is_depth_anything(names: Iterable[str]) -> bool:
    """Return whether a file with tensors of these names is, or was to be, such a network."""
    return any(name.startswith(PREFIXES) for name in names)


def stages_of(params: Params) -> tuple[int, ...]:
    """Return the layers after which the head takes the tokens."""
    stages = (params[f"stage_{number}"] for number in range(MAP_COUNT))
    return tuple(accumulate(len(blocks["scale_1"]) for blocks in stages))


def load_depth_anything(path: Path) -> Params:
    """Read the parameters, float32, from a file that transformers wrote.

    Raises:
      InputError: there is no such file, a tensor is missing, additional or of another shape, or the
        layers are none of Small, Base and Large; the message names the tensor.
    """
    tensors = {name: x.astype(np.float32) for name, x in read_tensors(path).items()}
    numbers = {x.split(".")[3] for x in tensors if x.startswith(f"{LAYER}.")}
    layers = len(numbers)
    side = 2 * PATCH_PIXELS
    with input_errors(WHAT, DO, path):
        expected = f"{' or '.join(map(str, STAGES))} layers"
        where = f"{path}, tensors {LAYER}.*"
        check_field(where, layers in STAGES, f"{layers} layers", expected)
        try:
            params = _tree(tensors, STAGES[layers])
        except KeyError as error:
            where = f"{path}, tensor {error.args[0]}"
            raise InputError(WHAT, where, "no such tensor", EXPECTED, DO) from None
        jax.eval_shape(depth_anything, params, np.zeros((1, side, side, 3), np.float32))
        left = min(tensors, default="none")
        check_field(f"{path}, tensor {left}", not tensors, "a tensor", "no such tensor")
    return jax.device_put(params)


def _tree(tensors: dict[str, ndarray], stages: tuple[int, ...]) -> Params:
    """Take the tensors of a file as parameters; the blocks of a stage are stacked."""
    # The mask is read by its training only.
    tensors.pop(f"{EMBEDDINGS}.mask_token")
    positions = tensors.pop(f"{EMBEDDINGS}.position_embeddings")[0]
    side = round((len(positions) - 1) ** 0.5)
    names = {f"head_{number}": f"head.conv{number}" for number in (1, 2, 3)}
    names["patches"] = f"{EMBEDDINGS}.patch_embeddings.projection"
    names["norm"] = "backbone.layernorm"
    for number in range(MAP_COUNT):
        stage = f"neck.reassemble_stage.layers.{number}"
        names[f"map_{number}.project"] = f"{stage}.projection"
        if number != EVEN_MAP:
            names[f"map_{number}.resize"] = f"{stage}.resize"
        names[f"map_{number}.even"] = even = f"neck.convs.{number}"
        # It has none there.
        no_bias = np.zeros(len(tensors[f"{even}.weight"]), np.float32)
        tensors.setdefault(f"{even}.bias", no_bias)
        # The layers of a file begin with the smallest map.
        fusion = f"neck.fusion_stage.layers.{MAP_COUNT - 1 - number}"
        names |= {
            f"fuse_{number}.{ours}": f"{fusion}.{x}" for ours, x in FUSION.items()
        }
    params = nested({ours: _layer(tensors, name) for ours, name in names.items()})
    params["class"] = tensors.pop(f"{EMBEDDINGS}.cls_token")[0, 0] + positions[0]
    params["positions"] = positions[1:].reshape(side, side, -1)
    starts = (0, *stages[:-1])
    for number in range(MAP_COUNT):
        blocks = [
            _block_of(tensors, f"{LAYER}.{i}")
            for i in range(starts[number], stages[number])
        ]
        params[f"stage_{number}"] = jax.tree.map(
            lambda *layers: np.stack(layers), *blocks
        )
    return params


def _block_of(tensors: dict[str, ndarray], layer: str) -> Params:
    """Return the parameters of one layer of the transformer."""
    names = BLOCK_LAYERS.items()
    block: Params = {
        ours: _layer(tensors, f"{layer}.{theirs}") for theirs, ours in names
    }
    for number in (1, 2):
        block[f"scale_{number}"] = tensors.pop(f"{layer}.layer_scale{number}.lambda1")
    return block


def _layer(tensors: dict[str, ndarray], name: str) -> Params:
    """Return a norm, a linear layer or, its first two axes last, a convolution."""
    weight = tensors.pop(f"{name}.weight")
    leaf = "scale" if weight.ndim == 1 else "kernel"
    weight = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
    return {leaf: weight, "bias": tensors.pop(f"{name}.bias")}
