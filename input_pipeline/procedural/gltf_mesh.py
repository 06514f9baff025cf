"""One skinned mesh from a binary glTF 2.0 file (.glb), and its vertices at any time, in numpy.

Conventions are glTF's own: right-handed, y up, quaternions (x, y, z, w), texture origin top left.
Linear blend skinning, glTF 2.0 section 3.7.3.3: with G_j the global transform of joint j and B_j
its inverse bind matrix, x = sum_j w_j G_j B_j x_bind. The mesh's own node does not move it.

Libraries that read glTF here (trimesh) drop skins and animations, hence these few lines.
"""

import io
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image
from scipy.spatial.transform import Rotation

from input_pipeline.opening import read_regular
from input_pipeline.plain_files import parse_json

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Channel(NamedTuple):
    """One animated property of one node."""

    node: int
    path: str  # "translation", "rotation" or "scale"
    times: Float[np.ndarray, "k"]  # seconds, ascending
    values: Float[np.ndarray, "k c"]
    step: bool  # hold each value instead of interpolating


class Nodes(NamedTuple):
    """The node hierarchy at rest; n nodes."""

    parent: Int[np.ndarray, "n"]  # -1 for roots
    translation: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 4"]  # (x, y, z, w)
    scale: Float[np.ndarray, "n 3"]


class SkinnedMesh(NamedTuple):
    """A textured triangle mesh that follows the joints of a skeleton."""

    positions: Float[np.ndarray, "p 3"]  # bind pose
    texcoords: Float[np.ndarray, "p 2"]
    triangles: Int[np.ndarray, "f 3"]
    texture: Float[np.ndarray, "y x 3"]  # sRGB in [0, 1]
    joints: Int[np.ndarray, "p 4"]  # indices into `joint_nodes`
    weights: Float[np.ndarray, "p 4"]  # sum to 1
    joint_nodes: Int[np.ndarray, "j"]
    inverse_bind: Float[np.ndarray, "j 4 4"]
    nodes: Nodes
    animations: dict[str, list[Channel]]


class UnsupportedError(ValueError):
    """A readable glTF file without what is needed here, or with a feature that is not read."""


def load_skinned_mesh(path: str | Path) -> SkinnedMesh:
    """Read the first skinned primitive of a .glb file with all of its animations.

    Raises:
      ValueError: the file is missing, damaged or not binary glTF 2, holds no textured skinned mesh,
        or uses a feature that is not supported here (the message names it).
    """
    document, binary = _read_glb(Path(path))
    try:
        mesh = _read_mesh(document, binary)
        _check(mesh)
        return mesh
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from None
    except Exception as error:
        found = f"a damaged document ({type(error).__name__}: {error})"
        raise ValueError(f"{path}: found {found}, expected valid glTF 2") from error


def _read_mesh(document: dict, binary: bytes) -> SkinnedMesh:
    def fail(found: str, expected: str):
        return UnsupportedError(f"found {found}, expected {expected}")

    def accessor(index: int) -> np.ndarray:
        return _read_accessor(document, binary, index)

    skinned = [node for node in document.get("nodes", []) if "mesh" in node and "skin" in node]
    if not skinned:
        raise fail("no skinned mesh", "a node with both a mesh and a skin")
    primitive = document["meshes"][skinned[0]["mesh"]]["primitives"][0]
    skin = document["skins"][skinned[0]["skin"]]
    attributes = primitive["attributes"]
    missing = {"POSITION", "TEXCOORD_0", "JOINTS_0", "WEIGHTS_0"} - attributes.keys()
    if missing:
        raise fail(f"a mesh without {', '.join(sorted(missing))}", "all four attributes")
    if any("matrix" in node for node in document["nodes"]):
        raise fail("a node transform given as a matrix", "translation, rotation and scale")

    positions = accessor(attributes["POSITION"]).astype(np.float64)
    corners = np.arange(len(positions))
    if "indices" in primitive:
        corners = accessor(primitive["indices"]).astype(np.int64).ravel()
    weights = accessor(attributes["WEIGHTS_0"]).astype(np.float64)
    return SkinnedMesh(
        positions=positions,
        texcoords=accessor(attributes["TEXCOORD_0"]).astype(np.float64),
        triangles=corners.reshape(-1, 3),
        texture=_read_texture(document, binary, primitive, fail),
        joints=accessor(attributes["JOINTS_0"]).astype(np.int64),
        weights=weights / weights.sum(1, keepdims=True),
        joint_nodes=np.asarray(skin["joints"]),
        # glTF stores matrices by columns.
        inverse_bind=accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2),
        nodes=_read_nodes(document),
        animations={
            str(animation.get("name") or i): _read_animation(animation, accessor)
            for i, animation in enumerate(document.get("animations", []))
        },
    )


def _check(mesh: SkinnedMesh) -> None:
    """Refuse indices that point nowhere and numbers that cannot be rendered."""
    require_indices("vertices of triangles", mesh.triangles, len(mesh.positions))
    require_indices("joints of vertices", mesh.joints, len(mesh.joint_nodes))
    require_indices("nodes of joints", mesh.joint_nodes, len(mesh.nodes.parent))
    require_bounded("texture coordinates", mesh.texcoords)
    for channels in mesh.animations.values():
        if not channels:
            raise ValueError("an animation of no node")
        for channel in channels:
            require_indices("animated nodes", np.array([channel.node]), len(mesh.nodes.parent))
            times, values = channel.times, channel.values
            require_bounded("key frames", times)
            require_bounded("values of key frames", values)
            if not times.size or times[0] < 0 or (np.diff(times) <= 0).any() or times[-1] <= 0:
                raise ValueError("key frames whose times do not ascend")
            if values.shape != (len(times), getattr(mesh.nodes, channel.path).shape[1]):
                raise ValueError(f"{len(times)} key frames with values of shape {values.shape}")
    with np.errstate(all="ignore"):  # what is not finite makes vertices that are not
        require_bounded("vertices at rest", skinned_positions(mesh))


def animation_seconds(mesh: SkinnedMesh, animation: str) -> float:
    """Return the seconds after which the animation repeats."""
    return max(float(channel.times[-1]) for channel in mesh.animations[animation])


def skinned_positions(
    mesh: SkinnedMesh, animation: str | None = None, time: float = 0.0
) -> Float[np.ndarray, "p 3"]:
    """Vertices at `time` seconds of a looped animation, or of the rest pose without one."""
    pose = mesh.nodes._asdict()
    if animation is not None:
        time = time % animation_seconds(mesh, animation)
        for channel in mesh.animations[animation]:
            pose[channel.path] = pose[channel.path].copy()
            pose[channel.path][channel.node] = _interpolate(channel, time)
    transforms = _global_transforms(Nodes(**pose))[mesh.joint_nodes] @ mesh.inverse_bind
    blended = np.einsum("pk,pkij->pij", mesh.weights, transforms[mesh.joints])
    return np.einsum("pij,pj->pi", blended[:, :3, :3], mesh.positions) + blended[:, :3, 3]


def _global_transforms(nodes: Nodes) -> Float[np.ndarray, "n 4 4"]:
    local = np.zeros((len(nodes.parent), 4, 4))
    local[:, :3, :3] = Rotation.from_quat(nodes.rotation).as_matrix() * nodes.scale[:, None, :]
    local[:, :3, 3] = nodes.translation
    local[:, 3, 3] = 1.0

    world = local.copy()
    for node in parents_first(nodes.parent):
        if nodes.parent[node] >= 0:
            world[node] = world[nodes.parent[node]] @ local[node]
    return world


def _interpolate(channel: Channel, time: float) -> Float[np.ndarray, "c"]:
    """Interpolate at `time`: clamped at both ends, spherical for rotations (glTF appendix C)."""
    times = channel.times
    values = channel.values
    after = int(np.clip(np.searchsorted(times, time, side="right"), 1, max(len(times) - 1, 1)))
    if len(times) == 1 or channel.step:
        return values[max(int(np.searchsorted(times, time, side="right")) - 1, 0)]
    a = values[after - 1]
    b = values[after]
    share = np.clip((time - times[after - 1]) / (times[after] - times[after - 1]), 0.0, 1.0)
    if channel.path != "rotation":
        return (1 - share) * a + share * b
    cosine = a @ b
    b, cosine = (-b, -cosine) if cosine < 0 else (b, cosine)
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return a
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def _read_glb(path: Path) -> tuple[dict, bytes]:
    def fail(found: str) -> ValueError:
        return ValueError(f"{path}: found {found}, expected a binary glTF 2 file")

    data = read_regular(path)
    if len(data) < 20 or data[:4] != b"glTF" or struct.unpack_from("<I", data, 4)[0] != 2:
        raise fail(f"{len(data)} bytes that are not binary glTF 2")
    if struct.unpack_from("<I", data, 8)[0] != len(data):
        raise fail(f"a truncated file of {len(data)} bytes")
    length = struct.unpack_from("<I", data, 12)[0]
    return parse_json(data[20 : 20 + length], f"{path}, first chunk"), data[28 + length :]


def _view(document: dict, binary: bytes, index: int) -> memoryview:
    view = document["bufferViews"][index]
    start = view.get("byteOffset", 0)
    return memoryview(binary)[start : start + view["byteLength"]]


def _read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    data = _view(document, binary, accessor["bufferView"])
    dtype = np.dtype(COMPONENTS[accessor["componentType"]])
    width = WIDTHS[accessor["type"]]
    stride = document["bufferViews"][accessor["bufferView"]].get("byteStride")
    values = np.ndarray(
        (accessor["count"], width),
        dtype,
        data,
        accessor.get("byteOffset", 0),
        (stride or width * dtype.itemsize, dtype.itemsize),
    )
    return values / np.iinfo(dtype).max if accessor.get("normalized") else values


def _read_animation(animation: dict, accessor) -> list[Channel]:
    channels = []
    for channel in animation["channels"]:
        target = channel["target"]
        sampler = animation["samplers"][channel["sampler"]]
        if "node" in target and target["path"] in Nodes._fields:
            times = accessor(sampler["input"])[:, 0]
            values = accessor(sampler["output"])
            interpolation = sampler.get("interpolation", "LINEAR")
            if interpolation not in ("LINEAR", "STEP"):
                raise UnsupportedError(f"found {interpolation} animation, expected LINEAR or STEP")
            step = interpolation == "STEP"
            channels.append(Channel(target["node"], target["path"], times, values, step))
    return channels


def _read_nodes(document: dict) -> Nodes:
    nodes = document["nodes"]
    parent = np.full(len(nodes), -1)
    for i, node in enumerate(nodes):
        children = np.array(node.get("children", []), np.int64)
        if children.size:
            require_indices("children of nodes", children, len(nodes))
        parent[children] = i
    rest = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
    columns = {
        name: np.array([node.get(name, default) for node in nodes], np.float64)
        for name, default in rest.items()
    }
    return Nodes(parent=parent, **columns)


def _read_texture(document: dict, binary: bytes, primitive: dict, fail) -> np.ndarray:
    try:
        material = document["materials"][primitive["material"]]
        texture = material["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        image = document["images"][document["textures"][texture]["source"]]
        data = _view(document, binary, image["bufferView"])
    except KeyError as error:
        raise fail(f"no {error.args[0]}", "an embedded base colour texture") from error
    pixels = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(pixels, np.float32) / 255


def parents_first(parent: Int[np.ndarray, "n"]) -> list[int]:
    """Return all nodes, each after its parent (-1 for roots).

    Raises:
      ValueError: a node is its own ancestor.
    """
    children: dict[int, list[int]] = {}
    for node, above in enumerate(parent.tolist()):
        children.setdefault(above, []).append(node)
    order = list(children.get(-1, []))
    for node in order:  # grows while it is read
        order.extend(children.get(node, []))
    if len(order) < len(parent):
        raise ValueError(f"{len(parent) - len(order)} nodes that are their own ancestors")
    return order


def require_indices(name: str, values: np.ndarray, count: int) -> None:
    """Refuse indices outside [0, count).

    Raises:
      ValueError: one is, or there are none.
    """
    if not values.size:
        raise ValueError(f"no {name}")
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"{name} from {values.min()} to {values.max()} for {count} of them")


def require_bounded(name: str, values: np.ndarray, most: float = 1e6) -> None:
    """Refuse numbers that are not finite or larger than `most`.

    In float32 these still keep millimetres of a kilometre.

    Raises:
      ValueError: one is.
    """
    if not np.isfinite(values).all() or (values.size and np.abs(values).max() > most):
        raise ValueError(f"{name} that are no numbers of at most {most:g}")
