"""`.glb` files with KHR_gaussian_splatting: the structure, and another library's reading."""

import json
import struct

import fourdgs
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.formats.gltf import EXTENSION, save_glb
from gaussians.formats.scene_files import logit, mean_harmonics
from gaussians.types import Gaussians


def document_of(content: bytes) -> dict:
    magic, version, size = struct.unpack("<4sII", content[:12])
    length, kind = struct.unpack("<I4s", content[12:20])
    assert (magic, version, size, kind) == (b"glTF", 2, len(content), b"JSON")
    return json.loads(content[20 : 20 + length])


def test_the_document_names_every_array(tmp_path, make_scene):
    save_glb(tmp_path / "scene.glb", make_scene(10, 2))
    document = document_of((tmp_path / "scene.glb").read_bytes())
    assert document["extensionsUsed"] == [EXTENSION]
    (primitive,) = document["meshes"][0]["primitives"]
    assert primitive["mode"] == 0
    assert primitive["extensions"][EXTENSION]["kernel"] == "ellipse"
    names = {name.partition(":")[2] for name in primitive["attributes"]} - {""}
    harmonics = {f"SH_DEGREE_{d}_COEF_{i}" for d in range(3) for i in range(2 * d + 1)}
    assert names == {"ROTATION", "SCALE", "OPACITY"} | harmonics
    place = document["accessors"][primitive["attributes"]["POSITION"]]
    assert place["count"] == 10
    assert len(place["min"]) == len(place["max"]) == 3


@pytest.mark.parametrize("degree", [0, 1])
def test_another_library_sees_the_same_picture(tmp_path, moving, picture, psnr, degree):
    scene = moving(degree).at(0.5)
    save_glb(tmp_path / "scene.glb", scene)
    theirs = fourdgs.from_gltf(str(tmp_path / "scene.glb")).gaussians
    harmonics = mean_harmonics(theirs.colors[:, None, :3])
    if theirs.sh is not None:
        levels = theirs.sh.reshape(theirs.count, 3, -1).swapaxes(1, 2)
        rest = (levels / 255 * 8 - 4) * np.array([-1, -1, 1])[:, None]
        harmonics = np.concatenate([harmonics, rest], 1)
    arrays = (
        theirs.positions * [1, -1, -1],
        np.roll(theirs.rotations, 1, axis=1) * [1, 1, -1, -1],
        np.log(theirs.scales),
        logit(np.clip(theirs.colors[:, 3], 1e-6, 1 - 1e-6)),
        harmonics,
    )
    read = Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))
    ours = picture(scene)
    assert ours.std() > 0.05
    assert psnr(picture(read), ours) > 45
