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

from gaussians.rotation import rotation_rows
from gaussians.types import Camera, Gaussians, Scalar, Values, Vectors

# Added to the screen covariance, pixels^2.
SCREEN_BLUR = 0.3
# Nothing closer than this is drawn, world units.
NEAREST_DRAWN = 0.01
# Fainter contributions are skipped.
ALPHA_MIN = 1 / 255
# Of the picture's sides, by which slopes may be beyond it in J: .3 of half the field of view.
SLOPE_MARGIN = 0.15
# Of determinants, so that a square root is differentiable for Gaussians seen edge-on.
LEAST_SHARE = 1e-12
# Only degenerate input exceeds these; the width is a standard deviation.
LARGEST_LOG_SCALE = 30.0
WIDEST_PIXELS = 1e5


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


def project_gaussians(
    gaussians: Gaussians, opacities: Values, camera: Camera, *, antialiased: bool
) -> Splats:
    """Project every Gaussian, equations 1 to 3; those out of sight get `sigmas` = 0."""
    motion = camera.world_to_camera
    f_x = camera.intrinsics[0, 0]
    f_y = camera.intrinsics[1, 1]
    c_x = camera.intrinsics[0, 2]
    c_y = camera.intrinsics[1, 2]

    # t = R mu + T.
    mean_x, mean_y, mean_z = gaussians.means.T
    x, y, depths = (
        motion[i, 0] * mean_x
        + motion[i, 1] * mean_y
        + motion[i, 2] * mean_z
        + motion[i, 3]
        for i in range(3)
    )
    in_front = depths > NEAREST_DRAWN
    z = jnp.where(in_front, depths, 1.0)
    slope_x = x / z
    slope_y = y / z
    centers = jnp.stack([f_x * slope_x + c_x, f_y * slope_y + c_y], -1)

    # The rows r of J R Q S, the first two.
    slope_x = _clamped(slope_x, camera.width, f_x, c_x)
    slope_y = _clamped(slope_y, camera.height, f_y, c_y)
    widest = WIDEST_PIXELS * z / jnp.maximum(f_x, f_y)
    log_scales = jnp.clip(gaussians.log_scales, -LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
    scales = [jnp.minimum(jnp.exp(x), widest) for x in log_scales.T]
    axes = rotation_rows(gaussians.quaternions)
    across = [f_x / z * (motion[0, i] - slope_x * motion[2, i]) for i in range(3)]
    down = [f_y / z * (motion[1, i] - slope_y * motion[2, i]) for i in range(3)]
    r0 = [scales[j] * sum(across[i] * axes[i][j] for i in range(3)) for j in range(3)]
    r1 = [scales[j] * sum(down[i] * axes[i][j] for i in range(3)) for j in range(3)]

    xx = sum(a * a for a in r0)
    xy = sum(a * b for a, b in zip(r0, r1, strict=True))
    yy = sum(b * b for b in r1)
    cross = [r0[i] * r1[j] - r0[j] * r1[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    sharp_determinant = sum(a * a for a in cross)
    determinant = sharp_determinant + SCREEN_BLUR * (xx + yy) + SCREEN_BLUR**2
    conics = [
        (yy + SCREEN_BLUR) / determinant,
        -xy / determinant,
        (xx + SCREEN_BLUR) / determinant,
    ]
    if antialiased:
        share = jnp.maximum(sharp_determinant / determinant, LEAST_SHARE)
        opacities = opacities * jnp.sqrt(share)

    # Up to how many standard deviations it is visible, at most where an opaque one falls below
    # ALPHA_MIN.
    most_sigmas = 3.33
    sigmas = jnp.sqrt(2 * jnp.log(jnp.maximum(opacities / ALPHA_MIN, 1.0)))
    sigmas = jnp.minimum(sigmas, most_sigmas)
    variances = jnp.stack([xx, yy], -1) + SCREEN_BLUR
    half_sizes = jnp.ceil(sigmas[:, None] * jnp.sqrt(variances))
    size = jnp.array([[camera.width, camera.height]], jnp.float32)
    on_screen = ((centers + half_sizes > 0) & (centers - half_sizes < size)).all(-1)
    visible = in_front & on_screen & (opacities > ALPHA_MIN)
    extent = lax.stop_gradient((jnp.where(visible, sigmas, 0.0), half_sizes))
    return Splats(centers, jnp.stack(conics, -1), depths, opacities, *extent)


def _clamped(slopes: Values, pixels: int, focal: Scalar, principal: Scalar) -> Values:
    """Return slopes of rays, clamped to a little more than the field of view."""
    margin = SLOPE_MARGIN * pixels / focal
    least = -principal / focal - margin
    return jnp.clip(slopes, least, (pixels - principal) / focal + margin)
