"""Small .onnx files with the inputs and outputs of published networks.

Each of those of depth sees a floor that comes nearer from the top to the bottom of the picture, and
a little of the colours that it is given, so that these can be told from the values:

    near = 0.25 + 2 (r + 1) / h + 0.05 mean of the colours,   row r of h

disparity is `near`, depth and metres are 1 / `near`. The lens of those that tell one has `FOCAL`
widths. MoGe's points lie on the floor, with their z less by `SHIFT` and all divided by `SCALE`; its
mask leaves out the top. DUSt3R's pointmaps are of a wall, with the names of those who export it
(ibaiGorordo/dust3r-pytorch-inference-minimal).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

FOCAL = 0.8
SHIFT = 0.3
SCALE = 1.5
UNSEEN = 0.25  # of the rows, at the top, outside MoGe's mask

# Of colours x (n 3 h w): near and far (n h w).
FLOOR = """
    m = ReduceMean <axes=[1], keepdims=0> (x)
    nought = Constant <value_float=0.0> ()
    one = Constant <value_float=1.0> ()
    two = Constant <value_float=2.0> ()
    half = Constant <value_float=0.5> ()
    quarter = Constant <value_float=0.25> ()
    tint = Constant <value_float=0.05> ()
    down = Constant <value_int=1> ()
    right = Constant <value_int=2> ()
    first = Constant <value_ints=[0]> ()
    zeros = Mul (m, nought)
    ones = Add (zeros, one)
    rows = CumSum (ones, down)
    height = ReduceMax <axes=[1, 2], keepdims=1> (rows)
    ramp = Div (rows, height)
    twice = Mul (ramp, two)
    plain = Add (twice, quarter)
    tinted = Mul (m, tint)
    near = Add (plain, tinted)
    far = Reciprocal (near)
"""
RAYS = f"""
    focal = Constant <value_float={FOCAL}> ()
    columns = CumSum (ones, right)
    width = ReduceMax <axes=[1, 2], keepdims=1> (columns)
    half_width = Mul (width, half)
    half_height = Mul (height, half)
    column = Sub (columns, half)
    row = Sub (rows, half)
    u = Sub (column, half_width)
    v = Sub (row, half_height)
    pixels = Mul (width, focal)
    last = Constant <value_ints=[3]> ()
"""
MOGE = f"""
    {RAYS}
    shift = Constant <value_float={SHIFT}> ()
    per_scale = Constant <value_float={1 / SCALE}> ()
    z = Mul (far, per_scale)
    per_pixel = Div (z, pixels)
    px = Mul (u, per_pixel)
    py = Mul (v, per_pixel)
    pz = Sub (z, shift)
    px4 = Unsqueeze (px, last)
    py4 = Unsqueeze (py, last)
    pz4 = Unsqueeze (pz, last)
    points = Concat <axis=3> (px4, py4, pz4)
    normal = Identity (points)
    mask = HardSigmoid <alpha=100.0, beta={-100 * UNSEEN}> (ramp)
    metric = Constant <value_floats=[{SCALE}]> ()
"""
# A wall in front of both cameras, that is surer where the pictures are brighter.
DUST3R = f"""
    {RAYS}
    z = Mul (ones, two)
    per_pixel = Div (z, pixels)
    px = Mul (u, per_pixel)
    py = Mul (v, per_pixel)
    px4 = Unsqueeze (px, last)
    py4 = Unsqueeze (py, last)
    pz4 = Unsqueeze (z, last)
    pts3d1 = Concat <axis=3> (px4, py4, pz4)
    pts3d2 = Identity (pts3d1)
    conf1 = Add (m, two)
    m2 = ReduceMean <axes=[1], keepdims=0> (img2)
    conf2 = Add (m2, two)
"""


def near(height: int, width: int, colors: float) -> Float[ndarray, "h w"]:
    """Return the disparity of the floor, of colours with this mean."""
    rows = (np.arange(height) + 1) / height
    return np.broadcast_to((0.25 + 2 * rows + 0.05 * colors)[:, None], (height, width))


class Graph(NamedTuple):
    """A network in ONNX's own text.

    Attributes:
      inputs: as `float[b,3,h,w] image`.
      outputs: likewise.
      body: from the inputs to the outputs; FLOOR stands in the place of `---`.
    """

    inputs: str
    outputs: str
    body: str


def write(path: Path, graph: Graph, metadata: dict[str, str] | None = None) -> Path:
    """Write a graph, and metadata beside it, in a file; return its path."""
    from onnx import checker, helper, parser, save

    nodes = graph.body.replace("---", FLOOR)
    text = f"graph ({graph.inputs}) => ({graph.outputs}) {{ {nodes} }}"
    parsed = parser.parse_graph(text)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(parsed, opset_imports=[opset], ir_version=9)
    helper.set_model_props(model, metadata or {})
    checker.check_model(model)
    save(model, path)
    return path


ALONE = "x = Identity (image) ---"
TOGETHER = """
    begin = Constant <value_ints=[0]> ()
    x = Squeeze (image, begin)
    ---
"""


def lens(output: str, width: int, shape: str) -> str:
    """Return nodes of intrinsics of this shape, in pixels of a picture with this width."""
    focal, middle = width * FOCAL, width / 2
    numbers = [focal, 0.0, middle, 0.0, focal, middle, 0.0, 0.0, 1.0]
    return f"""
    k = Constant <value_floats={numbers}> ()
    shape = Constant <value_ints={shape}> ()
    {output} = Reshape (k, shape)
"""


GRAPHS = {
    "da2": Graph(
        "float[b,3,h,w] pixel_values",
        "float[b,h,w] predicted_depth",
        ALONE.replace("image", "pixel_values") + "predicted_depth = Identity (near)",
    ),
    "da2-half": Graph(
        "float16[b,3,h,w] image",
        "float16[b,h,w] predicted_depth",
        "x = Cast <to=1> (image) --- predicted_depth = Cast <to=10> (near)",
    ),
    "da3-rank-5": Graph(
        "float[b,n,3,h,w] pixel_values",
        "float[b,n,h,w] predicted_depth",
        TOGETHER.replace("image", "pixel_values")
        + "predicted_depth = Unsqueeze (far, first)",
    ),
    "da3-conf-first": Graph(
        "float[b,3,h,w] image",
        "float[b,h,w] depth_conf, float[b,h,w] depth",
        ALONE + "depth_conf = Identity (ones)\n depth = Identity (far)",
    ),
    "da3-lens": Graph(
        "float[1,3,504,504] image",
        (
            "float[1,1,504,504] depth, float[1,1,504,504] depth_conf, float[1,1,3,3] extrinsics, "
            "float[1,1,3,3] intrinsics"
        ),
        ALONE
        + lens("intrinsics", 504, "[1, 1, 3, 3]")
        + "extrinsics = Identity (intrinsics)\n"
        + "depth = Unsqueeze (far, first)\n depth_conf = Unsqueeze (ones, first)",
    ),
    "moge2": Graph(
        "float[b,3,h,w] image, int64 num_tokens",
        "float[b,h,w,3] points, float[b,h,w,3] normal, float[b,h,w] mask, float[1] metric_scale",
        ALONE + MOGE + "metric_scale = Identity (metric)",
    ),
    "moge2-static": Graph(
        "float[1,3,518,518] image",
        (
            "float[1,518,518,3] points, float[1,518,518,3] normal, float[1,518,518] mask, "
            "float[1] scale"
        ),
        ALONE + MOGE + "scale = Identity (metric)",
    ),
    "depth-pro": Graph(
        "float[1,3,1536,1536] pixel_values",
        "float[1,1536,1536] predicted_depth, float[1] focallength_px",
        ALONE.replace("image", "pixel_values") + f"predicted_depth = Identity (far)\n"
        f"focallength_px = Constant <value_floats=[{1536 * FOCAL}]> ()",
    ),
}
# Networks that score pictures.
SCORING = {
    "dust3r": Graph(
        "float[1,3,48,64] img1, float[1,3,48,64] img2",
        (
            "float[1,48,64,3] pts3d1, float[1,48,64] conf1, float[1,48,64,3] pts3d2, "
            "float[1,48,64] conf2"
        ),
        ALONE.replace("image", "img1") + DUST3R,
    )
}


def published(folder: Path, name: str, metadata: dict[str, str] | None = None) -> Path:
    """Write one of `GRAPHS` or `SCORING`, under its name."""
    return write(folder / f"{name}.onnx", (GRAPHS | SCORING)[name], metadata)
