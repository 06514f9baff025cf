"""glTF assets: skinned vertices by trigonometry, coverage and depth by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from skinned_arm import write_arm

from input_pipeline.procedural.gltf_mesh import (
    animation_seconds,
    load_skinned_mesh,
    skinned_positions,
)
from input_pipeline.procedural.gltf_scene import PIXEL_RAYS, cast_rays


def test_a_bent_arm_is_where_trigonometry_puts_it(tmp_path):
    mesh = load_skinned_mesh(write_arm(tmp_path / "arm.glb"))
    assert animation_seconds(mesh, "bend") == 1.0
    for time in (0.0, 0.25, 2 / 3):
        cosine, sine = np.cos(np.pi / 2 * time), np.sin(np.pi / 2 * time)
        tip = [1 + cosine, sine, 0]
        side = [1 + cosine - 0.5 * sine, sine + 0.5 * cosine, 0]
        expected = [[0, 0, 0], [1, 0, 0], tip, side]
        positions = skinned_positions(mesh, "bend", time)
        np.testing.assert_allclose(positions, expected, atol=1e-6)
    looped = skinned_positions(mesh, "bend", 1.25)
    np.testing.assert_allclose(looped, skinned_positions(mesh, "bend", 0.25), atol=1e-6)
    np.testing.assert_array_equal(mesh.triangles, [[0, 1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(mesh.texture[0, 0], [1, 0, 0])


def test_the_fox_at_rest_is_its_bind_pose(shared_data):
    """The exporter's joints, inverse binds and vertices agree only if all are read right."""
    fox = load_skinned_mesh(shared_data / "data/gltf/Fox.glb")
    np.testing.assert_allclose(skinned_positions(fox), fox.positions, atol=1e-4)
    assert set(fox.animations) == {"Survey", "Walk", "Run"}
    assert animation_seconds(fox, "Survey") == pytest.approx(3.4166667)


def nodes(*first: dict) -> dict:
    """Return the arm's nodes with other ones as its two joints."""
    return {"nodes": [*first, {"mesh": 0, "skin": 0}]}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"accessors": []}, "list index out of range"),
        (nodes({"children": [1]}, {"children": [0]}), "2 nodes .* their own ancestors"),
    ],
)
def test_unsupported_files_are_refused_by_name(tmp_path, changes, found):
    with pytest.raises(ValueError, match=found):
        load_skinned_mesh(write_arm(tmp_path / "arm.glb", **changes))


def test_a_triangle_covers_the_pixels_that_it_should():
    """A red right triangle facing the camera at depth 1.5: coverage and depth by hand."""
    corners = jnp.array([[[-0.2, 0.6, -1.0], [0.21, 0.6, -1.0], [-0.2, 1.01, -1.0]]])
    pose = jnp.diag(jnp.array([1.0, -1.0, -1.0, 1.0]))  # looks along -z, y up
    pose = pose.at[:3, 3].set(jnp.array([0.0, 0.6, 0.5]))
    intrinsics = jnp.array([[30.0, 0, 10], [0, 30.0, 10], [0, 0, 1]])
    red = jnp.broadcast_to(jnp.array([1.0, 0, 0]), (2, 2, 3))
    uvs = jnp.zeros((1, 3, 2))
    color, depth = cast_rays(corners, uvs, red, pose, intrinsics, 20, 20)
    row, column = np.mgrid[:20, :20] + 0.5
    x, y = (column - 10) / 20, 0.6 - (row - 10) / 20  # 20 pixels per unit at depth 1.5
    expected = (x > -0.2) & (y > 0.6) & (x + 0.2 + y - 0.6 < 0.41)
    np.testing.assert_array_equal(np.asarray(depth) < 1.5001, expected)
    np.testing.assert_allclose(depth[expected], 1.5, rtol=1e-5)
    interior = np.asarray(color)[8, 8]
    assert interior[0] > 0.5
    assert interior[1] == interior[2] == 0
    assert PIXEL_RAYS % 2 == 1  # or no ray would pass through the pixel centre
