import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.procedural.gltf_scene import PIXEL_RAYS, cast_rays, gltf_clip


@pytest.fixture(scope="module")
def clip(shared_data):
    return gltf_clip(
        shared_data / "data/gltf/Fox.glb",
        animation="Walk",
        start=0.1,
        interval=0.1,
        source_azimuth=50.0,
        target_azimuths=(-30.0, 25.0),
        frames=2,
        height=48,
        width=48,
    )


def unproject(clip, view, time):
    """World points of all pixels of one frame."""
    depth = np.asarray(clip.depth[view, time])
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(clip.intrinsics[view]).T
    to_world = np.linalg.inv(clip.world_to_camera[view, time])
    return (rays * depth[..., None]) @ to_world[:3, :3].T + to_world[:3, 3]


def test_clip_follows_the_conventions(clip):
    assert clip.frames.shape == (3, 2, 48, 48, 3)
    assert 0 <= clip.frames.min() < 0.3 < 0.6 < clip.frames.max() <= 1
    np.testing.assert_allclose(np.median(clip.depth[0, 0]), 1.0, rtol=1e-5)
    np.testing.assert_allclose(clip.world_to_camera[0, 0], np.eye(4), atol=1e-6)
    rotation = np.asarray(clip.world_to_camera[..., :3, :3])
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
    angles = np.rad2deg(np.arccos(np.clip(rotation[1:, 0, 2, 2], -1, 1)))
    assert np.all(np.abs(angles - [30, 25]) < 3)  # the orbit is raised by 14 degrees


def test_depth_of_one_view_lands_on_the_surfaces_of_another(clip):
    """A visible point, carried to another camera, has that camera's depth or lies behind it."""
    points = unproject(clip, 0, 1)
    pose, intrinsics = np.asarray(clip.world_to_camera[2, 1]), np.asarray(clip.intrinsics[2])
    local = points @ pose[:3, :3].T + pose[:3, 3]
    column, row = np.moveaxis(local @ intrinsics.T, -1, 0)[:2] / local[..., 2]
    inside = (column > 1) & (column < 47) & (row > 1) & (row < 47) & (local[..., 2] > 0)
    seen = np.asarray(clip.depth[2, 1])[row[inside].astype(int), column[inside].astype(int)]
    ratio = local[..., 2][inside] / seen
    assert np.mean(np.abs(ratio - 1) < 0.03) > 0.8
    assert np.mean(ratio < 0.95) < 0.02  # nothing may hover in front of what the camera sees


def test_a_triangle_covers_the_pixels_that_it_should():
    """A red right triangle facing the camera at depth 1.5: coverage and depth by hand."""
    corners = jnp.array([[[-0.2, 0.6, -1.0], [0.21, 0.6, -1.0], [-0.2, 1.01, -1.0]]])
    pose = jnp.diag(jnp.array([1.0, -1.0, -1.0, 1.0]))  # looks along -z, y up
    pose = pose.at[:3, 3].set(jnp.array([0.0, 0.6, 0.5]))
    intrinsics = jnp.array([[30.0, 0, 10], [0, 30.0, 10], [0, 0, 1]])
    red = jnp.broadcast_to(jnp.array([1.0, 0, 0]), (2, 2, 3))
    color, depth = cast_rays(corners, jnp.zeros((1, 3, 2)), red, pose, intrinsics, 20, 20)
    row, column = np.mgrid[:20, :20] + 0.5
    x, y = (column - 10) / 20, 0.6 - (row - 10) / 20  # 20 pixels per unit at depth 1.5
    expected = (x > -0.2) & (y > 0.6) & (x + 0.2 + y - 0.6 < 0.41)
    np.testing.assert_array_equal(np.asarray(depth) < 1.5001, expected)
    np.testing.assert_allclose(depth[expected], 1.5, rtol=1e-5)
    interior = np.asarray(color)[8, 8]
    assert interior[0] > 0.5
    assert interior[1] == interior[2] == 0
    assert PIXEL_RAYS % 2 == 1  # or no ray would pass through the pixel centre
