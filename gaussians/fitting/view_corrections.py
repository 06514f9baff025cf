"""Corrections of views: what a camera does to a picture, and where it stands.

A camera's automatic gain and white balance change its exposure: six numbers for each view, the
logarithm of a gain and an offset for every channel. An exposure is measured against the mean of its
peers, views that stand beside it: then what changes slowly around the scene, as light does from its
bright to its dark side, stays in the scene.

    (1)  seen = rgb * exp(log_gain) + offset

A camera has a turn w about its own centre c, a rotation vector in radians, and a shift d of the
centre, both along the world's axes. Pictures only show differences between views, so the means over
views are subtracted: the scene neither turns nor moves as a whole.

    (2)  R' = R exp(-[w]),  c' = c + d
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gaussians import precision, rotation
from gaussians.types import Camera, Number, Picture

# Of each view, those of its exposure or of its camera.
Corrections = Float[Array, "v 2 3"]


def exposure_change(
    exposures: Corrections, view: Number, peers: Float[Array, "v"]
) -> Float[Array, "2 3"]:
    """Return by how much a view differs from the weighted mean of its peers."""
    return exposures[view] - jnp.tensordot(peers, exposures, 1)


def expose(
    rgb: Picture, exposures: Corrections, view: Number, peers: Float[Array, "v"]
) -> Picture:
    """Return a picture as the camera of a view records it, equation 1."""
    log_gain, offset = exposure_change(exposures, view, peers)
    return rgb * jnp.exp(log_gain)[None, None] + offset[None, None]


@precision.exact_products
def correct_camera(camera: Camera, corrections: Corrections, view: Number) -> Camera:
    """Return the camera of a view as its pictures show it, equation 2."""
    turn, shift = (corrections - corrections.mean(0, keepdims=True))[view]
    pose = camera.world_to_camera
    # The quaternion of a small turn; its error is of third order.
    quaternion = jnp.concatenate([jnp.ones(1), -turn / 2])
    turned = pose[:3, :3] @ rotation.rotation_matrix(quaternion)
    corrected = (
        pose.at[:3, :3].set(turned).at[:3, 3].set(-turned @ (camera.eye + shift))
    )
    return Camera(corrected, camera.intrinsics, camera.width, camera.height)
