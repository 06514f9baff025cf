"""Binary glTF (`.glb`) of one instant, with the extension `KHR_gaussian_splatting`.

Each array of a scene is one attribute of a mesh of points, in float32; programs that do not know
the extension show points in the mean colours. Axes are y up, z back.
"""

import json
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from gaussians.formats import scene_files
from gaussians.types import Gaussians

EXTENSION = "KHR_gaussian_splatting"
Attributes = dict[str, Shaped[ndarray, "g c"]]
COMPONENT_TYPES = {"u1": 5121, "f4": 5126}
SHAPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def save_glb(path: str | Path, scene: Gaussians) -> None:
    """Write a scene, in its own order.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    means, quaternions, log_scales, logits, harmonics = scene_files.arrays_to_write(
        path, scene
    )
    opacities = scene_files.sigmoid(logits)
    turned = scene_files.turn_harmonics(harmonics)
    shown = np.clip(scene_files.mean_colors(harmonics), 0, 1)
    # From sRGB, as glTF wants colours of points.
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    attributes: Attributes = {
        "POSITION": scene_files.turn_vectors(means),
        "COLOR_0": scene_files.to_levels(np.column_stack([linear, opacities])),
        f"{EXTENSION}:ROTATION": scene_files.turned_xyzw(quaternions),
        f"{EXTENSION}:SCALE": np.exp(log_scales),
        f"{EXTENSION}:OPACITY": opacities[:, None],
    }
    for i in range(harmonics.shape[1]):
        degree = int(i**0.5)
        attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{i - degree**2}"] = turned[
            :, i
        ]
    document, binary = _document(attributes)
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    Path(path).write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _document(attributes: Attributes) -> tuple[dict[str, object], bytes]:
    """Return the description of a mesh of points, and the bytes that it describes."""
    binary = b""
    views = []
    accessors = []
    for name, values in attributes.items():
        kind = "u1" if values.dtype == np.uint8 else "f4"
        content = values.astype(f"<{kind}").tobytes()
        accessor: dict[str, object] = {
            "bufferView": len(views),
            "componentType": COMPONENT_TYPES[kind],
            "count": len(values),
            "type": SHAPES[values.shape[1]],
        }
        if kind == "u1":
            accessor["normalized"] = True
        # Required of it alone.
        if name == "POSITION":
            accessor["min"] = [float(x) for x in values.min(0)]
            accessor["max"] = [float(x) for x in values.max(0)]
        accessors.append(accessor)
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(content)}
        views.append(view)
        binary += content
    primitive = {
        "attributes": {name: i for i, name in enumerate(attributes)},
        # Points.
        "mode": 0,
        "extensions": {
            EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
        },
    }
    document = {
        "asset": {"version": "2.0", "generator": "full4d_jax"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return document, binary
