"""One skinned mesh from a binary glTF 2.0 file (.glb), and its vertices at any time, in numpy.

Conventions are glTF's own: right-handed, y up, quaternions (x, y, z, w), texture origin top left.
Linear blend skinning, glTF 2.0 section 3.7.3.3: with G_j the global transform of joint j and B_j
its inverse bind matrix, x = sum_j w_j G_j B_j x_bind. The mesh's own node does not move it.

Libraries that read glTF here (trimesh) drop skins and animations, hence these few lines.
"""

import io
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt32
from numpy import ndarray
from PIL import Image
from scipy.spatial.transform import Rotation

from input_pipeline.pinhole import rigid
from input_pipeline.plain_files import check_field, damage_of, parse_json, read_regular

COMPONENTS = {
    5120: "<i1",
    5121: "<u1",
    5122: "<i2",
    5123: "<u2",
    5125: "<u4",
    5126: "<f4",
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
REST = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
# Of what files point to: negative numbers become large ones, which numpy refuses.
INDEX = np.uint32
# In float32 numbers up to here keep millimetres of a kilometre.
LARGEST_NUMBER = 1e6


class Channel(NamedTuple):
    """One animated property of one node."""

    node: np.uint32
    # In `REST`.
    path: str
    # Seconds, ascending.
    times: Float[ndarray, "k"]
    values: Float[ndarray, "k c"]
    # Hold each value instead of interpolating.
    step: bool


class SkinnedMesh(NamedTuple):
    """A textured triangle mesh that follows the joints of a skeleton."""

    # Bind pose.
    positions: Float[ndarray, "p 3"]
    texcoords: Float[ndarray, "p 2"]
    triangles: UInt32[ndarray, "f 3"]
    # sRGB in [0, 1].
    texture: Float[ndarray, "y x 3"]
    # Indices into `joint_nodes`.
    joints: UInt32[ndarray, "p 4"]
    # Sum to 1.
    weights: Float[ndarray, "p 4"]
    joint_nodes: UInt32[ndarray, "j"]
    inverse_bind: Float[ndarray, "j 4 4"]
    # Of the node above, of n; -1 for roots.
    parent: Int[ndarray, "n"]
    # At rest, of each node, by the names in `REST`.
    rest: dict[str, Float[ndarray, "n _"]]
    animations: dict[str, list[Channel]]


def load_skinned_mesh(path: str | Path) -> SkinnedMesh:
    """Read the first skinned primitive of a .glb file with all of its animations.

    Raises:
      ValueError: the file is missing, damaged or not binary glTF 2, holds no textured skinned mesh,
        or uses a feature that is not supported here (the message names it).
    """
    expected = "binary glTF 2 with a skinned mesh and an embedded base colour texture"
    with damage_of(Path(path), expected):
        mesh = _read_mesh(_Glb(Path(path)), f"{path}")
        _check(mesh)
        return mesh


class _Glb:
    """The document of a binary file, and the arrays that it describes."""

    def __init__(self, path: Path):
        data = read_regular(path)
        start = data[:16].ljust(16, b"\0")
        magic, version, size, length = struct.unpack("<4sIII", start)
        whole = (magic, version, size) == (b"glTF", 2, len(data))
        check_field(path, whole, f"{len(data)} bytes", "a whole binary glTF 2 file")
        text = data[20 : 20 + length]
        self.document: dict[str, Any] = parse_json(text, f"{path}, first chunk")
        self.binary = data[28 + length :]

    def view(self, index: int) -> memoryview:
        view = self.document["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return memoryview(self.binary)[start : start + view["byteLength"]]

    def array(self, index: int) -> ndarray:
        accessor = self.document["accessors"][index]
        view = accessor["bufferView"]
        dtype = np.dtype(COMPONENTS[accessor["componentType"]])
        width = WIDTHS[accessor["type"]]
        size = dtype.itemsize
        stride = self.document["bufferViews"][view].get("byteStride") or width * size
        shape = (accessor["count"], width)
        start = accessor.get("byteOffset", 0)
        values = np.ndarray(shape, dtype, self.view(view), start, (stride, size))
        return values / np.iinfo(dtype).max if accessor.get("normalized") else values


def _read_mesh(glb: _Glb, where: str) -> SkinnedMesh:
    document = glb.document
    nodes = document.get("nodes", [])
    node = next(node for node in nodes if {"mesh", "skin"} <= node.keys())
    primitive = document["meshes"][node["mesh"]]["primitives"][0]
    skin = document["skins"][node["skin"]]
    attributes = primitive["attributes"]
    is_split = not any("matrix" in node for node in nodes)
    expected = "translation, rotation and scale"
    check_field(where, is_split, "a node transform given as a matrix", expected)
    material = document["materials"][primitive["material"]]
    texture = material["pbrMetallicRoughness"]["baseColorTexture"]["index"]
    image = document["images"][document["textures"][texture]["source"]]["bufferView"]
    picture = Image.open(io.BytesIO(glb.view(image))).convert("RGB")

    positions = glb.array(attributes["POSITION"]).astype(np.float64)
    corners = np.arange(len(positions), dtype=INDEX)
    if "indices" in primitive:
        corners = glb.array(primitive["indices"]).astype(INDEX)
    weights = glb.array(attributes["WEIGHTS_0"]).astype(np.float64)
    bind = glb.array(skin["inverseBindMatrices"])
    parent = np.full(len(nodes), -1)
    for i, node in enumerate(nodes):
        parent[np.array(node.get("children", []), INDEX)] = i
    rest = {
        name: np.array([node.get(name, default) for node in nodes], np.float64)
        for name, default in REST.items()
    }
    return SkinnedMesh(
        positions=positions,
        texcoords=glb.array(attributes["TEXCOORD_0"]).astype(np.float64),
        triangles=corners.reshape(-1, 3),
        texture=np.asarray(picture, np.float32) / 255,
        joints=glb.array(attributes["JOINTS_0"]).astype(INDEX),
        weights=weights / weights.sum(1, keepdims=True),
        joint_nodes=np.array(skin["joints"], INDEX),
        # glTF stores matrices by columns.
        inverse_bind=bind.reshape(-1, 4, 4).swapaxes(1, 2),
        parent=parent,
        rest=rest,
        animations={
            str(animation.get("name") or i): _read_animation(glb, animation)
            for i, animation in enumerate(document.get("animations", []))
        },
    )


def _read_animation(glb: _Glb, animation: dict[str, Any]) -> list[Channel]:
    channels = []
    for channel in animation["channels"]:
        target = channel["target"]
        sampler = animation["samplers"][channel["sampler"]]
        if "node" in target and target["path"] in REST:
            times = glb.array(sampler["input"])[:, 0]
            values = glb.array(sampler["output"])
            step = sampler.get("interpolation") == "STEP"
            node = INDEX(target["node"])
            channels.append(Channel(node, target["path"], times, values, step))
    return channels


def _check(mesh: SkinnedMesh) -> None:
    """Refuse numbers that cannot be rendered; numpy refuses indices that point nowhere."""
    _check_bounded("corners", mesh.positions[mesh.triangles])
    _check_bounded("texture coordinates", mesh.texcoords[mesh.triangles])
    for name, channels in mesh.animations.items():
        for channel in channels:
            times = channel.times
            shape = channel.values.shape
            _check_bounded("times of key frames", times)
            _check_bounded("values of key frames", channel.values)
            rest = mesh.rest[channel.path][channel.node]
            ascends = times[0] >= 0 and (np.diff(times) > 0).all() and times[-1] > 0
            if not ascends or shape != (len(times), len(rest)):
                found = f"{len(times)} key frames, values of shape {shape}"
                text = f"animation {name}: {found}, or times that do not ascend"
                raise ValueError(text)
        if not channels:
            raise ValueError(f"animation {name} of no node")
    # What is not finite makes vertices that are not.
    with np.errstate(all="ignore"):
        _check_bounded("vertices at rest", skinned_positions(mesh))


def _check_bounded(name: str, values: ndarray) -> None:
    if not values.size or not (np.abs(values) <= LARGEST_NUMBER).all():
        raise ValueError(f"{name} that are no numbers of at most {LARGEST_NUMBER:g}")


def animation_seconds(mesh: SkinnedMesh, animation: str) -> float:
    """Return the seconds after which the animation repeats."""
    return max(float(channel.times[-1]) for channel in mesh.animations[animation])


def skinned_positions(
    mesh: SkinnedMesh, animation: str | None = None, time: float = 0.0
) -> Float[ndarray, "p 3"]:
    """Return vertices at `time` seconds of a looped animation, or those of the rest pose."""
    pose = dict(mesh.rest)
    if animation is not None:
        time = time % animation_seconds(mesh, animation)
        for channel in mesh.animations[animation]:
            pose[channel.path] = pose[channel.path].copy()
            pose[channel.path][channel.node] = _interpolate(channel, time)
    transforms = (
        _global_transforms(mesh.parent, pose)[mesh.joint_nodes] @ mesh.inverse_bind
    )
    blended = np.einsum("pk,pkij->pij", mesh.weights, transforms[mesh.joints])
    return (
        np.einsum("pij,pj->pi", blended[:, :3, :3], mesh.positions) + blended[:, :3, 3]
    )


def _global_transforms(
    parent: Int[ndarray, "n"], pose: dict[str, Float[ndarray, "n _"]]
) -> Float[ndarray, "n 4 4"]:
    turned = (
        Rotation.from_quat(pose["rotation"]).as_matrix() * pose["scale"][:, None, :]
    )
    world = rigid(turned, pose["translation"])
    order = np.flatnonzero(parent < 0).tolist()
    # Grows while it is read, so that each node comes after its parent.
    for node in order:
        for child in np.flatnonzero(parent == node).tolist():
            world[child] = world[node] @ world[child]
            order.append(child)
    if len(order) < len(world):
        text = f"{len(world) - len(order)} nodes that are their own ancestors"
        raise ValueError(text)
    return world


def _interpolate(channel: Channel, time: float) -> Float[ndarray, "c"]:
    """Interpolate at `time`: clamped at both ends, spherical for rotations (glTF appendix C)."""
    times = channel.times
    values = channel.values
    after = int(np.searchsorted(times, time, side="right"))
    if len(times) == 1 or channel.step:
        return values[max(after - 1, 0)]
    after = min(max(after, 1), len(times) - 1)
    a = values[after - 1]
    b = values[after]
    passed = (time - times[after - 1]) / (times[after] - times[after - 1])
    share = np.clip(passed, 0.0, 1.0)
    if channel.path != "rotation":
        return (1 - share) * a + share * b
    cosine = a @ b
    b, cosine = (-b, -cosine) if cosine < 0 else (b, cosine)
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return a
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
