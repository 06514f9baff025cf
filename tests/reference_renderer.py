"""The slow, obvious renderer: every Gaussian at every pixel, differentiated by JAX.

It is the oracle of the tests: `rasterizer.render` must give its values and gradients. It uses the
equations of `projection` and `compositing` with covariance matrices as in the papers, and shares
only constants, rotations and harmonics with the fast path (which have tests of their own).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gaussians import harmonics
from gaussians.precision import exact_products
from gaussians.rendering.compositing import ALPHA_MAX, LEAST_LIGHT
from gaussians.rendering.projection import ALPHA_MIN, NEAREST_DRAWN, SCREEN_BLUR
from gaussians.rotation import rotation_matrix
from gaussians.types import Camera, Gaussians, Rendering, Surfaces


@exact_products
def render_reference(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: Float[Array, "3"] | None = None,
    sh_degree: int = 0,
    antialiased: bool = False,
    features: Float[Array, "g f"] | None = None,
) -> Rendering:
    """Render as `render` does, in time and memory proportional to Gaussians times pixels."""
    x, y = jnp.meshgrid(jnp.arange(camera.width) + 0.5, jnp.arange(camera.height) + 0.5)
    pixels = jnp.stack([x, y], -1)
    eye = -camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]
    rgb = harmonics.colors(gaussians.harmonics, gaussians.means - eye[None], sh_degree)
    payload = rgb if features is None else jnp.concatenate([rgb, features], -1)
    center, covariance, depth = jax.vmap(project_one, (0, 0, 0, None))(
        gaussians.means, gaussians.quaternions, gaussians.log_scales, camera
    )

    def add(state, gaussian):
        transmittance, going, image = state
        center, covariance, depth, opacity, payload = gaussian
        blurred = covariance + SCREEN_BLUR * jnp.eye(2)
        if antialiased:
            ratio = jnp.linalg.det(covariance) / jnp.linalg.det(blurred)
            opacity = opacity * jnp.sqrt(jnp.maximum(ratio, 1e-12))
        offset = pixels - center[None, None]
        distance = jnp.einsum("hwi,ij,hwj->hw", offset, jnp.linalg.inv(blurred), offset)
        alpha = jnp.minimum(opacity * jnp.exp(-distance / 2), ALPHA_MAX)
        alpha = jnp.where((alpha >= ALPHA_MIN) & (depth > NEAREST_DRAWN), alpha, 0.0)
        after = transmittance * (1 - alpha)
        going &= after > LEAST_LIGHT
        weight = jnp.where(going, alpha * transmittance, 0.0)
        image += weight[..., None] * jnp.append(payload, depth)[None, None]
        return (jnp.where(going, after, transmittance), going, image), None

    nearest_first = jnp.argsort(depth)
    opacity = jax.nn.sigmoid(gaussians.logit_opacities)
    ordered = jax.tree.map(
        lambda f: f[nearest_first], (center, covariance, depth, opacity, payload)
    )
    blank = jnp.zeros((camera.height, camera.width))
    start = (blank + 1, blank == 0, jnp.zeros((*blank.shape, payload.shape[1] + 1)))
    (left, _, image), _ = lax.scan(add, start, ordered)

    alpha = 1 - left
    cover = jnp.where(alpha > 0, alpha, 1.0)
    expected = jnp.where(alpha > 0, image[..., -1] / cover, 0.0)
    background = jnp.zeros(3) if background is None else background
    rgb = image[..., :3] + left[..., None] * background[None, None]
    drawn = None if features is None else image[..., 3:-1]
    return Rendering(rgb, expected, alpha, jnp.int32(0), drawn)


@exact_products
def surfaces_reference(
    gaussians: Gaussians, camera: Camera, *, antialiased: bool = False
) -> Surfaces:
    """Find surfaces as `render_surfaces` does, by the weight of each Gaussian at every pixel."""
    count = gaussians.means.shape[0]
    weights = render_reference(
        gaussians, camera, antialiased=antialiased, features=jnp.eye(count)
    ).features
    assert weights is not None, "there are features"
    _, _, depth = jax.vmap(project_one, (0, 0, 0, None))(
        gaussians.means, gaussians.quaternions, gaussians.log_scales, camera
    )
    ids = jnp.where(weights.max(-1) > 0, weights.argmax(-1), -1)
    nearest_first = jnp.argsort(depth)
    covered = jnp.cumsum(weights[..., nearest_first], -1) >= 0.5
    middle = jnp.where(covered.any(-1), nearest_first[covered.argmax(-1)], -1)
    median = jnp.where(middle >= 0, depth[middle], 0.0)
    return Surfaces(ids, middle, median, jnp.int32(0))


@exact_products
def project_one(
    mean: Float[Array, "3"],
    quaternion: Float[Array, "4"],
    log_scales: Float[Array, "3"],
    camera: Camera,
) -> tuple[Float[Array, "2"], Float[Array, "2 2"], Float[Array, ""]]:
    """Return centre, screen covariance before the blur, and depth of one Gaussian."""
    view = camera.world_to_camera[:3, :3]
    point = view @ mean + camera.world_to_camera[:3, 3]
    depth = point[2]
    point = jnp.where(depth > NEAREST_DRAWN, point, jnp.ones(3))
    size = jnp.array([camera.width, camera.height])
    focal = jnp.diagonal(camera.intrinsics)[:2]
    principal = camera.intrinsics[:2, 2]

    margin = 0.3 * size / (2 * focal)
    ends = -principal / focal - margin, (size - principal) / focal + margin
    slope = jnp.clip(point[:2] / point[2], *ends)
    flat = jnp.array([[1, 0, 0], [0, 1, 0]], jnp.float32)
    jacobian = jnp.diag(focal / point[2]) @ flat
    jacobian = jacobian.at[:, 2].set(-focal * slope / point[2])
    axes = rotation_matrix(quaternion) @ jnp.diag(jnp.exp(log_scales))
    covariance = jacobian @ view @ axes @ axes.T @ view.T @ jacobian.T
    return focal * point[:2] / point[2] + principal, covariance, depth
