"""Corrections of the cameras of views: where a camera stands, against where it is said to stand.

Each view has a turn w of its camera about the camera's own centre c, a rotation vector in radians,
and a shift d of the centre, both along the world's axes. Pictures only show differences between
views, so the means over views are subtracted: the scene neither turns nor moves as a whole.

    (1) R' = R exp(-[w]),  c' = c + d
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gaussians.precision import exact_products
from gaussians.rotation import rotation_matrix
from gaussians.types import Camera


@exact_products
def correct_camera(
    camera: Camera, corrections: Float[Array, "v 2 3"], view: Int[Array, ""]
) -> Camera:
    """Return the camera of a view as its pictures show it, equation 1."""
    turn, shift = (corrections - corrections.mean(0, keepdims=True))[view]
    pose = camera.world_to_camera
    center = -pose[:3, :3].T @ pose[:3, 3]
    # The quaternion of a small turn; its error is of third order.
    turned = pose[:3, :3] @ rotation_matrix(jnp.concatenate([jnp.ones(1), -turn / 2]))
    corrected = pose.at[:3, :3].set(turned).at[:3, 3].set(-turned @ (center + shift))
    return Camera(corrected, camera.intrinsics, camera.width, camera.height)
