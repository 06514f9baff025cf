import jax.numpy as jnp
import numpy as np

from input_pipeline.procedural.gltf_scene import PIXEL_RAYS, cast_rays


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
