"""From Gaussians in the world to ellipses on the screen: the EWA approximation.

With t = R mu + T the centre in the camera, J the Jacobian of (f_x x/z, f_y y/z) at t, and
Sigma = Q S S^T Q^T the covariance in the world:

    (1)  screen covariance    C = J R Sigma R^T J^T + 0.3 I        (0.3: at least a pixel wide)
    (2)  falloff at offset d  exp(-(A d_x^2 + 2 B d_x d_y + C d_y^2) / 2),   [A B; B C] = C^-1
    (3)  antialiasing         opacity *= sqrt(det(C - 0.3 I) / det C)

Constants are gsplat's. J is taken at t with x/z and y/z clamped to 1.3 times the field of view.
Determinants are taken as |r0 x r1|^2 of the rows r of J R Q S, which cannot cancel: needles and
huge Gaussians stay finite in values and gradients.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gaussians.precision import exact_products, turn_all
from gaussians.rotation import rotation_matrix
from gaussians.types import Camera, Gaussians, Values, Vectors

# Added to the screen covariance, pixels^2.
SCREEN_BLUR = 0.3
# Nothing closer than this is drawn, world units.
NEAREST_DRAWN = 0.01
# Fainter contributions are skipped.
ALPHA_MIN = 1 / 255


class Splats(NamedTuple):
    """Ellipses on the screen, one per Gaussian.

    Attributes:
      centers: position in pixels.
      conics: upper triangle (A, B, C) of the inverse screen covariance, 1 / pixels^2.
      depths: z of the centre, world units.
      opacities: peak opacity in [0, 1], with `antialiased` compensated for the blur.
      sigmas: number of standard deviations that are visible; 0 if not drawn. No gradient.
      half_sizes: half width and height of that ellipse's bounding box, pixels. No gradient.
    """

    centers: Float[Array, "g 2"]
    conics: Vectors
    depths: Values
    opacities: Values
    sigmas: Values
    half_sizes: Float[Array, "g 2"]


@exact_products
def project_gaussians(
    gaussians: Gaussians, opacities: Values, camera: Camera, *, antialiased: bool
) -> Splats:
    """Project every Gaussian, equations 1 to 3; those out of sight get `sigmas` = 0."""
    rotation = camera.world_to_camera[:3, :3]
    translation = camera.world_to_camera[None, :3, 3]
    focal = jnp.stack([camera.intrinsics[0, 0], camera.intrinsics[1, 1]])[None]
    principal = camera.intrinsics[None, :2, 2]
    size = jnp.array([[camera.width, camera.height]], jnp.float32)

    in_camera = jnp.einsum("ij,gj->gi", rotation, gaussians.means) + translation
    depths = in_camera[:, 2]
    in_front = depths > NEAREST_DRAWN
    z = jnp.where(in_front, depths, 1.0)[:, None]
    slopes = in_camera[:, :2] / z
    centers = focal * slopes + principal

    # 0.3 of half the field of view.
    margin = 0.15 * size / focal
    farthest = (size - principal) / focal + margin
    clamped = jnp.clip(slopes, -principal / focal - margin, farthest)
    # Standard deviation in pixels; only degenerate input exceeds it.
    widest = 1e5
    scales = jnp.exp(jnp.clip(gaussians.log_scales, -30.0, 30.0))
    scales = jnp.minimum(scales, widest * z / focal.max())
    axes = turn_all(rotation, rotation_matrix(gaussians.quaternions))
    axes = axes * scales[:, None, :]
    rows = (axes[:, :2] - clamped[:, :, None] * axes[:, 2:]) * (focal / z)[:, :, None]
    r0 = rows[:, 0]
    r1 = rows[:, 1]

    xx = (r0 * r0).sum(-1)
    xy = (r0 * r1).sum(-1)
    yy = (r1 * r1).sum(-1)
    sharp_determinant = (jnp.cross(r0, r1) ** 2).sum(-1)
    determinant = sharp_determinant + SCREEN_BLUR * (xx + yy) + SCREEN_BLUR**2
    conics = (
        jnp.stack([yy + SCREEN_BLUR, -xy, xx + SCREEN_BLUR], -1) / determinant[:, None]
    )
    if antialiased:
        # The floor keeps the square root differentiable for Gaussians seen edge-on.
        share = jnp.maximum(sharp_determinant / determinant, 1e-12)
        opacities = opacities * jnp.sqrt(share)

    # Up to how many standard deviations it is visible, at most where an opaque one falls below
    # ALPHA_MIN.
    most_sigmas = 3.33
    variances = jnp.stack([xx, yy], -1) + SCREEN_BLUR
    sigmas = jnp.sqrt(2 * jnp.log(jnp.maximum(opacities / ALPHA_MIN, 1.0)))
    sigmas = jnp.minimum(sigmas, most_sigmas)
    half_sizes = jnp.ceil(sigmas[:, None] * jnp.sqrt(variances))
    on_screen = ((centers + half_sizes > 0) & (centers - half_sizes < size)).all(-1)
    visible = in_front & on_screen & (opacities > ALPHA_MIN)
    extent = lax.stop_gradient((jnp.where(visible, sigmas, 0.0), half_sizes))
    return Splats(centers, conics, depths, opacities, *extent)
