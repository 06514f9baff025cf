"""A skinned, animated mesh of four points as a binary glTF file."""

import io
import json
import struct

import numpy as np
from PIL import Image


def write_arm(path, **changes):
    """Two joints along x; the second, at x = 1, turns by 90 degrees about z within one second."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 0.5, 0]], "<f4")
    inverse_bind = np.stack([np.eye(4), np.eye(4)]).astype("<f4")
    inverse_bind[1, 3, 0] = -1  # columns first: the last row holds the translation
    half = np.sqrt(0.5)
    png = io.BytesIO()
    Image.new("RGB", (2, 2), (255, 0, 0)).save(png, "png")
    weights = [[255, 0, 0, 0], [128, 127, 0, 0], [0, 255, 0, 0], [0, 255, 0, 0]]
    blocks = [
        (positions, "VEC3", 5126),
        (np.zeros((4, 2), "<f4"), "VEC2", 5126),
        (np.array([[0, 1, 0, 0]] * 4, "<u1"), "VEC4", 5121),
        (np.array(weights, "<u1"), "VEC4", 5121),
        (inverse_bind, "MAT4", 5126),
        (np.array([0, 1], "<f4"), "SCALAR", 5126),
        (np.array([[0, 0, 0, 1], [0, 0, half, half]], "<f4"), "VEC4", 5126),
        (np.array([[0], [1], [2], [1], [2], [3]], "<u2"), "SCALAR", 5123),
    ]
    binary, views, accessors = b"", [], []
    for i, (values, kind, component) in enumerate(blocks):
        views.append({"byteOffset": len(binary), "byteLength": values.nbytes})
        accessor = {"bufferView": i, "componentType": component, "count": len(values)}
        accessors.append({**accessor, "type": kind})
        binary += values.tobytes() + b"\0" * (-values.nbytes % 4)
    accessors[3]["normalized"] = True
    views.append({"byteOffset": len(binary), "byteLength": len(png.getvalue())})
    binary += png.getvalue() + b"\0" * (-len(png.getvalue()) % 4)
    attributes = {"POSITION": 0, "TEXCOORD_0": 1, "JOINTS_0": 2, "WEIGHTS_0": 3}
    primitive = {"attributes": attributes, "indices": 7, "material": 0}
    joints = [{"children": [1]}, {"translation": [1, 0, 0]}]
    channel = {"sampler": 0, "target": {"node": 1, "path": "rotation"}}
    sampler = {"input": 5, "output": 6}
    document = {
        "asset": {"version": "2.0"},
        "nodes": [*joints, {"mesh": 0, "skin": 0}],
        "skins": [{"joints": [0, 1], "inverseBindMatrices": 4}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": len(views) - 1, "mimeType": "image/png"}],
        "animations": [{"name": "bend", "channels": [channel], "samplers": [sampler]}],
        "bufferViews": views,
        "accessors": accessors,
    } | changes
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path
