"""The gradient of `projection.project_gaussians` on CPUs: one loop, which Numba compiles.

XLA makes some eighty loops over all Gaussians of it. Names are those of the projection; what begins
with `d_` is the derivative of the loss by it.
"""

from math import exp, sqrt
from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gaussians.numba_calls import (
    ARGUMENTS_WORD,
    RESULTS_WORD,
    call_numba,
    compiled,
    floats,
    is_query,
)
from gaussians.rendering import projection
from gaussians.rendering.projection import Splats
from gaussians.types import Gaussians, Values

# Constants of the projection as float32: in Numba numbers of Python are of float64.
ONE = np.float32(1)
TWO = np.float32(2)
ZERO = np.float32(0)
NEAREST_DRAWN = np.float32(projection.NEAREST_DRAWN)
SCREEN_BLUR = np.float32(projection.SCREEN_BLUR)
SLOPE_MARGIN = np.float32(projection.SLOPE_MARGIN)
LEAST_SHARE = np.float32(projection.LEAST_SHARE)
LARGEST_LOG_SCALE = np.float32(projection.LARGEST_LOG_SCALE)
WIDEST_PIXELS = np.float32(projection.WIDEST_PIXELS)
LEAST_SQUARED_LENGTH = np.float32(1e-24)


def pull_back(
    gaussians: Gaussians,
    opacities: Values,
    pose: Float[Array, "4 4"],
    lens: Float[Array, "3 3"],
    cotangent: Splats,
    *,
    size: tuple[int, int],
    antialiased: bool,
) -> tuple[Gaussians, Values, Float[Array, "4 4"], Float[Array, "3 3"]]:
    """Return the gradient in the Gaussians, their opacities, the camera's pose and its lens.

    Args:
      gaussians: as they were projected.
      opacities: likewise.
      pose: world to camera.
      lens: intrinsics, pixels.
      cotangent: of the splats.
      size: width and height of the picture, pixels.
      antialiased: as in the projection.
    """
    means, quaternions, log_scales, logits, colors = gaussians
    arrays = means, quaternions, log_scales, opacities, pose, lens
    shapes = [jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in arrays]
    c = cotangent
    style = np.array([*size, antialiased], np.float32)
    cotangents = c.centers, c.conics, c.depths, c.opacities
    d_means, d_quaternions, d_scales, d_opacities, d_pose, d_lens = call_numba(
        _pull_back_projection, shapes, *arrays, *cotangents, style
    )
    no_logits = jnp.zeros_like(logits)
    no_colors = jnp.zeros_like(colors)
    scene = Gaussians(d_means, d_quaternions, d_scales, no_logits, no_colors)
    return scene, d_opacities, d_pose, d_lens


@no_type_check
def _pull_back_projection(frame):
    if is_query(frame):
        return 0
    opacities = floats(frame, ARGUMENTS_WORD, 3)[0]
    g = len(opacities)
    _pull_back_all(
        floats(frame, ARGUMENTS_WORD, 0)[0].reshape((g, 3)),
        floats(frame, ARGUMENTS_WORD, 1)[0].reshape((g, 4)),
        floats(frame, ARGUMENTS_WORD, 2)[0].reshape((g, 3)),
        opacities,
        floats(frame, ARGUMENTS_WORD, 4)[0].reshape((4, 4)),
        floats(frame, ARGUMENTS_WORD, 5)[0].reshape((3, 3)),
        floats(frame, ARGUMENTS_WORD, 6)[0].reshape((g, 2)),
        floats(frame, ARGUMENTS_WORD, 7)[0].reshape((g, 3)),
        floats(frame, ARGUMENTS_WORD, 8)[0],
        floats(frame, ARGUMENTS_WORD, 9)[0],
        floats(frame, ARGUMENTS_WORD, 10)[0],
        floats(frame, RESULTS_WORD, 0)[0].reshape((g, 3)),
        floats(frame, RESULTS_WORD, 1)[0].reshape((g, 4)),
        floats(frame, RESULTS_WORD, 2)[0].reshape((g, 3)),
        floats(frame, RESULTS_WORD, 3)[0],
        floats(frame, RESULTS_WORD, 4)[0].reshape((4, 4)),
        floats(frame, RESULTS_WORD, 5)[0].reshape((3, 3)),
    )
    return 0


@compiled
@no_type_check
def _cross(a, b):
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


@compiled
@no_type_check
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
@no_type_check
def _clamp(slope, pixels, focal, principal):
    """Return a slope within the limits of J, and its derivatives by slope, focal and principal."""
    margin = SLOPE_MARGIN * pixels
    low = (-principal - margin) / focal
    high = (pixels - principal + margin) / focal
    if slope < low:
        return low, ZERO, -low / focal, -ONE / focal
    if slope > high:
        return high, ZERO, -high / focal, -ONE / focal
    return slope, ONE, ZERO, ZERO


@compiled
@no_type_check
def _scale(log_scale, widest):
    """Return a standard deviation in world units."""
    clipped = min(max(log_scale, -LARGEST_LOG_SCALE), LARGEST_LOG_SCALE)
    return min(np.float32(exp(clipped)), widest)


@compiled
@no_type_check
def _sum(a, x, b, y):
    """Return a x + b y."""
    return a * x[0] + b * y[0], a * x[1] + b * y[1], a * x[2] + b * y[2]


@compiled
@no_type_check
def _pull_back_all(
    means,
    quaternions,
    log_scales,
    opacities,
    pose,
    lens,
    d_centers,
    d_conics,
    d_depths,
    d_opacities,
    style,
    d_means,
    d_quaternions,
    d_log_scales,
    d_raw_opacities,
    d_pose,
    d_lens,
):
    f_x = lens[0, 0]
    f_y = lens[1, 1]
    c_x = lens[0, 2]
    c_y = lens[1, 2]
    width, height, antialiased = style
    rotation = (
        (pose[0, 0], pose[0, 1], pose[0, 2]),
        (pose[1, 0], pose[1, 1], pose[1, 2]),
        (pose[2, 0], pose[2, 1], pose[2, 2]),
    )
    d_means[:] = ZERO
    d_quaternions[:] = ZERO
    d_log_scales[:] = ZERO
    d_raw_opacities[:] = ZERO
    # Sums over all Gaussians, in double precision.
    d_rows = np.zeros((3, 4))
    d_focal = np.zeros(2)
    d_principal = np.zeros(2)
    for n in range(len(opacities)):
        d_u, d_v = d_centers[n]
        d_a, d_b, d_c = d_conics[n]
        d_depth = d_depths[n]
        d_opacity = d_opacities[n]
        # Not drawn, as most are.
        if d_u == d_v == d_a == d_b == d_c == d_depth == d_opacity == ZERO:
            continue
        mean = means[n, 0], means[n, 1], means[n, 2]
        x = _dot(rotation[0], mean) + pose[0, 3]
        y = _dot(rotation[1], mean) + pose[1, 3]
        depth = _dot(rotation[2], mean) + pose[2, 3]
        in_front = depth > NEAREST_DRAWN
        z = depth if in_front else ONE
        slope_x = x / z
        slope_y = y / z
        t_x, pass_x, t_x_by_f, t_x_by_c = _clamp(slope_x, width, f_x, c_x)
        t_y, pass_y, t_y_by_f, t_y_by_c = _clamp(slope_y, height, f_y, c_y)
        # The rotation of the Gaussian; its quaternion with length 1.
        w = quaternions[n, 0]
        i = quaternions[n, 1]
        j = quaternions[n, 2]
        k = quaternions[n, 3]
        squared_length = w * w + i * i + j * j + k * k
        unit = ONE / sqrt(max(squared_length, LEAST_SQUARED_LENGTH))
        w *= unit
        i *= unit
        j *= unit
        k *= unit
        axes = (
            (ONE - TWO * (j * j + k * k), TWO * (i * j - w * k), TWO * (i * k + w * j)),
            (TWO * (i * j + w * k), ONE - TWO * (i * i + k * k), TWO * (j * k - w * i)),
            (TWO * (i * k - w * j), TWO * (j * k + w * i), ONE - TWO * (i * i + j * j)),
        )
        columns = (
            (axes[0][0], axes[1][0], axes[2][0]),
            (axes[0][1], axes[1][1], axes[2][1]),
            (axes[0][2], axes[1][2], axes[2][2]),
        )
        # The rows r0 and r1 of J R Q S.
        zoom_x = f_x / z
        zoom_y = f_y / z
        bent_x = (
            rotation[0][0] - t_x * rotation[2][0],
            rotation[0][1] - t_x * rotation[2][1],
            rotation[0][2] - t_x * rotation[2][2],
        )
        bent_y = (
            rotation[1][0] - t_y * rotation[2][0],
            rotation[1][1] - t_y * rotation[2][1],
            rotation[1][2] - t_y * rotation[2][2],
        )
        along_x = (
            zoom_x * _dot(bent_x, columns[0]),
            zoom_x * _dot(bent_x, columns[1]),
            zoom_x * _dot(bent_x, columns[2]),
        )
        along_y = (
            zoom_y * _dot(bent_y, columns[0]),
            zoom_y * _dot(bent_y, columns[1]),
            zoom_y * _dot(bent_y, columns[2]),
        )
        widest = WIDEST_PIXELS * z / max(f_x, f_y)
        scale = (
            _scale(log_scales[n, 0], widest),
            _scale(log_scales[n, 1], widest),
            _scale(log_scales[n, 2], widest),
        )
        r0 = scale[0] * along_x[0], scale[1] * along_x[1], scale[2] * along_x[2]
        r1 = scale[0] * along_y[0], scale[1] * along_y[1], scale[2] * along_y[2]
        xx = _dot(r0, r0)
        xy = _dot(r0, r1)
        yy = _dot(r1, r1)
        normal = _cross(r0, r1)
        sharp = _dot(normal, normal)
        determinant = sharp + SCREEN_BLUR * (xx + yy) + SCREEN_BLUR * SCREEN_BLUR

        # From opacity and conic to the determinants and the covariance.
        d_share = ZERO
        share = sharp / determinant
        if antialiased > ZERO:
            root = sqrt(max(share, LEAST_SHARE))
            d_raw_opacities[n] = d_opacity * root
            if share > LEAST_SHARE:
                d_share = d_opacity * opacities[n] / (TWO * root)
        else:
            d_raw_opacities[n] = d_opacity
        a = (yy + SCREEN_BLUR) / determinant
        b = -xy / determinant
        c = (xx + SCREEN_BLUR) / determinant
        d_determinant = -(d_a * a + d_b * b + d_c * c + d_share * share) / determinant
        d_sharp = d_share / determinant + d_determinant
        d_yy = d_a / determinant + SCREEN_BLUR * d_determinant
        d_xy = -d_b / determinant
        d_xx = d_c / determinant + SCREEN_BLUR * d_determinant

        # To the rows, their scales, and the rotation.
        d_normal = (
            TWO * d_sharp * normal[0],
            TWO * d_sharp * normal[1],
            TWO * d_sharp * normal[2],
        )
        turned_0 = _cross(r1, d_normal)
        turned_1 = _cross(d_normal, r0)
        d_along_x = (
            scale[0] * (turned_0[0] + TWO * d_xx * r0[0] + d_xy * r1[0]),
            scale[1] * (turned_0[1] + TWO * d_xx * r0[1] + d_xy * r1[1]),
            scale[2] * (turned_0[2] + TWO * d_xx * r0[2] + d_xy * r1[2]),
        )
        d_along_y = (
            scale[0] * (turned_1[0] + TWO * d_yy * r1[0] + d_xy * r0[0]),
            scale[1] * (turned_1[1] + TWO * d_yy * r1[1] + d_xy * r0[1]),
            scale[2] * (turned_1[2] + TWO * d_yy * r1[2] + d_xy * r0[2]),
        )
        d_widest = ZERO
        for axis in range(3):
            d_log = d_along_x[axis] * along_x[axis] + d_along_y[axis] * along_y[axis]
            if scale[axis] == widest:
                d_widest += d_log / widest
            elif abs(log_scales[n, axis]) < LARGEST_LOG_SCALE:
                d_log_scales[n, axis] = d_log
        # By the bent rows of R, without their zoom.
        d_bent_x = (
            _dot(axes[0], d_along_x),
            _dot(axes[1], d_along_x),
            _dot(axes[2], d_along_x),
        )
        d_bent_y = (
            _dot(axes[0], d_along_y),
            _dot(axes[1], d_along_y),
            _dot(axes[2], d_along_y),
        )
        d_zoom_x = _dot(bent_x, d_bent_x)
        d_zoom_y = _dot(bent_y, d_bent_y)

        # By the elements of the rotation matrix, then by the quaternion of length 1, then by it.
        d_0 = _sum(zoom_x * bent_x[0], d_along_x, zoom_y * bent_y[0], d_along_y)
        d_1 = _sum(zoom_x * bent_x[1], d_along_x, zoom_y * bent_y[1], d_along_y)
        d_2 = _sum(zoom_x * bent_x[2], d_along_x, zoom_y * bent_y[2], d_along_y)
        across = d_2[1] - d_1[2], d_0[2] - d_2[0], d_1[0] - d_0[1]
        both = d_2[1] + d_1[2], d_0[2] + d_2[0], d_1[0] + d_0[1]
        d_w = TWO * (i * across[0] + j * across[1] + k * across[2])
        d_i = TWO * (w * across[0] + k * both[1] + j * both[2])
        d_i -= TWO * TWO * i * (d_1[1] + d_2[2])
        d_j = TWO * (w * across[1] + k * both[0] + i * both[2])
        d_j -= TWO * TWO * j * (d_0[0] + d_2[2])
        d_k = TWO * (w * across[2] + j * both[0] + i * both[1])
        d_k -= TWO * TWO * k * (d_0[0] + d_1[1])
        radial = ZERO
        if squared_length > LEAST_SQUARED_LENGTH:
            radial = w * d_w + i * d_i + j * d_j + k * d_k
        d_quaternions[n, 0] = unit * (d_w - w * radial)
        d_quaternions[n, 1] = unit * (d_i - i * radial)
        d_quaternions[n, 2] = unit * (d_j - j * radial)
        d_quaternions[n, 3] = unit * (d_k - k * radial)

        # By the slopes, and by the centre in the camera.
        d_t_x = -zoom_x * _dot(rotation[2], d_bent_x)
        d_t_y = -zoom_y * _dot(rotation[2], d_bent_y)
        d_slope_x = f_x * d_u + pass_x * d_t_x
        d_slope_y = f_y * d_v + pass_y * d_t_y
        d_x = d_slope_x / z
        d_y = d_slope_y / z
        d_z = -(d_slope_x * slope_x + d_slope_y * slope_y) / z
        d_z -= (d_zoom_x * zoom_x + d_zoom_y * zoom_y) / z
        d_z += d_widest * widest / z
        if in_front:
            d_depth += d_z
        d_t = d_x, d_y, d_depth
        for axis in range(3):
            row = rotation[0][axis], rotation[1][axis], rotation[2][axis]
            d_means[n, axis] = _dot(row, d_t)

        # By the camera.
        for axis in range(3):
            d_rows[0, axis] += d_x * mean[axis] + zoom_x * d_bent_x[axis]
            d_rows[1, axis] += d_y * mean[axis] + zoom_y * d_bent_y[axis]
            bend = zoom_x * t_x * d_bent_x[axis] + zoom_y * t_y * d_bent_y[axis]
            d_rows[2, axis] += d_depth * mean[axis] - bend
            d_rows[axis, 3] += d_t[axis]
        d_focal[0] += slope_x * d_u + d_zoom_x / z + t_x_by_f * d_t_x
        d_focal[1] += slope_y * d_v + d_zoom_y / z + t_y_by_f * d_t_y
        d_principal[0] += d_u + t_x_by_c * d_t_x
        d_principal[1] += d_v + t_y_by_c * d_t_y
        longest = 0 if f_x > f_y else 1
        d_focal[longest] -= d_widest * widest / max(f_x, f_y)
    d_pose[:] = ZERO
    d_lens[:] = ZERO
    for row in range(3):
        for column in range(4):
            d_pose[row, column] = d_rows[row, column]
    d_lens[0, 0] = d_focal[0]
    d_lens[1, 1] = d_focal[1]
    d_lens[0, 2] = d_principal[0]
    d_lens[1, 2] = d_principal[1]
