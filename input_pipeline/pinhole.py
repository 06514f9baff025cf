"""Cameras in numpy: OpenCV axes (x right, y down, z forward), `world_to_camera`, pixels.

A point x of the world lands at p = K (R x + t), pixel (p_x / p_z, p_y / p_z); the centre of the
upper left pixel is (0.5, 0.5), so an image of `w` columns spans 0..w. Rigid transforms are 4x4
matrices with the last row 0 0 0 1. Leading axes `...` are free everywhere.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from input_pipeline.plain_files import check_field

# Intrinsics in pixels, and world-to-camera or other rigid transforms.
Lens = Float[ndarray, "3 3"]
Lenses = Float[ndarray, "... 3 3"]
Pose = Float[ndarray, "4 4"]
Poses = Float[ndarray, "... 4 4"]
Places = Float[ndarray, "... 3"]
Place = Float[ndarray, "3"] | tuple[float, float, float]
# Of each pixel its ray, or the place that it shows.
Rays = Float[ndarray, "h w 3"]
Unchecked = Float[ndarray, "..."]
Numbers = Unchecked | float
# World units.
MAX_TRANSLATION = 1e18
# Depth that pixels are divided by, at least.
LEAST_AHEAD = 1e-6


def invert(transform: Poses) -> Poses:
    """Invert rigid transforms: camera-to-world from world-to-camera and back."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    return rigid(rotation, -(rotation @ transform[..., :3, 3:])[..., 0])


def centers(world_to_camera: Poses) -> Places:
    """Return the positions of the cameras, in world units."""
    return invert(world_to_camera)[..., :3, 3]


def look_at(center: Places, target: Places, up: Place = (0.0, -1.0, 0.0)) -> Poses:
    """Return world-to-camera for cameras at `center` with `target` in the middle and `up` up.

    Raises:
      ValueError: if a camera stands on its target or looks along `up`.
    """
    forward = np.asarray(target, np.float64) - center
    right = np.cross(forward, up)
    is_clear = (np.linalg.norm(right, axis=-1) > 1e-9).all()
    check_field("look_at", is_clear, f"a view along {up} or of length 0", "another up")
    down = np.cross(forward, right)
    axes = np.stack([right, down, forward], -2)
    rotation = axes / np.linalg.norm(axes, axis=-1, keepdims=True)
    return rigid(rotation, -(rotation @ np.asarray(center)[..., None])[..., 0])


def orbit(
    azimuth: Numbers,
    elevation: Numbers,
    distance: Numbers = 1.0,
    pivot: Place = (0.0, 0.0, 1.0),
    up: Place = (0.0, -1.0, 0.0),
) -> Poses:
    """Return world-to-camera for cameras on a sphere around `pivot`, all looking at it.

    With the default pivot, angles 0 and distance 1 are the source camera itself (the identity).
    Cameras go around an upright axis, so that what is upright in a picture stays so.

    Args:
      azimuth: degrees; positive moves the camera to its right.
      elevation: degrees in (-90, 90); positive moves it up.
      distance: world units from the pivot.
      pivot: world coordinates.
      up: unit vector without x, along the axis.
    """
    azimuth, elevation = np.broadcast_arrays(np.radians(azimuth), np.radians(elevation))
    up = np.asarray(up, np.float64)
    pivot = np.asarray(pivot)
    start = np.stack(
        [np.zeros_like(elevation), -np.sin(elevation), -np.cos(elevation)], -1
    )
    # Rodrigues' formula.
    cosine = np.cos(azimuth)[..., None]
    sine = np.sin(azimuth)[..., None]
    along = (start @ up)[..., None] * up
    offset = cosine * start + sine * np.cross(up, start) + (1 - cosine) * along
    return look_at(pivot + np.asarray(distance)[..., None] * offset, pivot, up)


def relative_to(world_to_camera: Poses, reference: Pose) -> Poses:
    """Return the cameras with `reference` (world-to-camera) as the world frame."""
    return world_to_camera @ invert(reference)


def rescale(world_to_camera: Poses, unit: float) -> Poses:
    """Return the cameras in a world whose unit is `unit` of the old one.

    Raises:
      ValueError: if the unit is not finite and positive.
    """
    check_field("world unit", 0 < unit < np.inf, unit, "a finite positive length")
    return rigid(world_to_camera[..., :3, :3], world_to_camera[..., :3, 3] / unit)


def nearest_to_axes(
    world_to_camera: Float[ndarray, "v 4 4"],
) -> Float[ndarray, "3"] | None:
    """Return the point nearest to all optical axes; None if it is not before all cameras."""
    eyes = centers(world_to_camera)
    ahead = world_to_camera[:, 2, :3]
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None, :]
    system = across.sum(0)
    if np.linalg.cond(system) > 1e4:
        return None
    middle = np.linalg.solve(system, (across @ eyes[..., None]).sum(0)[:, 0])
    return middle if (np.einsum("vi,vi->v", ahead, middle - eyes) > 0).all() else None


def pixel_centers(height: int, width: int) -> Float[ndarray, "h w 2"]:
    """Return x and y of the pixel centres."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], -1)


def pixel_rays(intrinsics: Lens, height: int, width: int) -> Rays:
    """Return the rays of the pixel centres in the camera's axes (h w 3), with z = 1."""
    centers_of_pixels = pixel_centers(height, width)
    homogeneous = np.append(centers_of_pixels, np.ones((height, width, 1)), -1)
    return homogeneous @ np.linalg.inv(intrinsics).T


def unproject(
    depth: Float[ndarray, "h w"], intrinsics: Lens, world_to_camera: Pose
) -> Rays:
    """Return the world coordinates of each pixel at z-depth `depth`."""
    camera_to_world = invert(world_to_camera)
    seen = pixel_rays(intrinsics, *depth.shape) * depth[..., None]
    return seen @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]


def project(
    points: Places, intrinsics: Lens, world_to_camera: Pose
) -> tuple[Float[ndarray, "... 2"], Float[ndarray, "..."]]:
    """Return the pixels (x, y) in which a camera sees world points, and their depth z there.

    Pixels of points that are not before the camera are far outside.
    """
    places = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    ahead = places @ intrinsics.T
    depth = ahead[..., 2]
    return ahead[..., :2] / np.maximum(depth, LEAST_AHEAD)[..., None], depth


def intrinsics_from_fov(degrees: float, height: int, width: int) -> Lens:
    """Return intrinsics with square pixels, a central principal point and this horizontal field
    of view.
    """
    focal = 0.5 * width / np.tan(np.radians(degrees) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def crop_intrinsics(intrinsics: Lenses, *, top: float, left: float) -> Lenses:
    """Return the intrinsics after `top` rows and `left` columns are cut away."""
    cut = np.array([[0, 0, left], [0, 0, top], [0, 0, 0]], intrinsics.dtype)
    return intrinsics - cut


def resize_intrinsics(intrinsics: Lenses, *, rows: float, columns: float) -> Lenses:
    """Return the intrinsics after scaling the height by `rows` and the width by `columns`.

    Pixel centres at +0.5 make this a plain scaling of the first two rows.
    """
    return np.array([columns, rows, 1.0], intrinsics.dtype)[:, None] * intrinsics


def turn(
    intrinsics: Lens, world_to_camera: Poses, quarters: int, *, height: int, width: int
) -> tuple[Lens, Poses]:
    """Return intrinsics and poses after the pictures are turned clockwise by quarters of a circle.

    Args:
      intrinsics: of the pictures as they were, pixels.
      world_to_camera: likewise.
      quarters: how often they are turned by 90 degrees; any whole number.
      height: rows of the pictures as they were.
      width: columns of the pictures as they were.
    """
    around = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for _ in range(quarters % 4):
        (fx, _, cx), (_, fy, cy), _ = intrinsics
        lens = [[fy, 0, height - cy], [0, fx, cx], [0, 0, 1]]
        intrinsics = np.array(lens, intrinsics.dtype)
        world_to_camera = (around @ world_to_camera).astype(world_to_camera.dtype)
        height, width = width, height
    return intrinsics, world_to_camera


def check_cameras(intrinsics: Unchecked, world_to_camera: Unchecked) -> None:
    """Refuse cameras that cannot be right.

    Raises:
      ValueError: naming the field, what was found and what was expected: what `check_poses`
        refuses, wrong shapes, NaN, a last row other than 0 0 1, focal lengths and centres that no
        picture has, skewed pixels, which nothing here draws.
    """
    # Pixels.
    least_focal = 1e-3
    # Pixels, of focal lengths and centres.
    most = 1e9
    # As a share of the focal length.
    most_skew = 1e-4
    field = "intrinsics"
    shape = len(world_to_camera), 3, 3
    check_field(field, intrinsics.shape == shape, intrinsics.shape, shape)
    _check_matrices(field, intrinsics, [0, 0, 1])
    check_poses(world_to_camera)
    focal = intrinsics[:, [0, 1], [0, 1]].min()
    found = f"focal length {focal}"
    check_field(field, focal >= least_focal, found, f"at least {least_focal} pixels")
    largest = np.abs(intrinsics).max()
    check_field(field, largest <= most, f"{largest:.3g} pixels", f"at most {most:g}")
    skew = np.abs(intrinsics[:, [0, 1], [1, 0]]).max()
    straight = "none: undistort and rectify the pictures"
    check_field(field, skew <= most_skew * focal, f"skew {skew}", straight)


def check_poses(world_to_camera: Unchecked) -> None:
    """Refuse poses that cannot be right.

    Raises:
      ValueError: naming what was found and what was expected: wrong shapes, NaN, a last row other
        than 0 0 0 1, rotations that are not orthonormal or that mirror, translations that single
        precision cannot square.
    """
    # How far R R^T may be from the identity: text files keep about four digits.
    tolerance = 1e-3
    field = "world_to_camera"
    shape = world_to_camera.shape
    check_field(field, shape[2:] == (4, 4), shape, "(v, t, 4, 4)")
    _check_matrices(field, world_to_camera, [0, 0, 0, 1])
    rotation = world_to_camera[..., :3, :3].astype(np.float64)
    error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max()
    found = f"an error of {error:.2g}"
    expected = f"rotations orthonormal to {tolerance}"
    check_field(field, error < tolerance, found, expected)
    upright = np.linalg.det(rotation).min() > 0
    check_field(field, upright, "mirrored axes (determinant -1)", "right-handed (+1)")
    far = np.abs(world_to_camera[..., :3, 3]).max(initial=0)
    near = f"at most {MAX_TRANSLATION:g}: use another unit"
    check_field(field, far <= MAX_TRANSLATION, f"a translation of {far:.3g}", near)


def _check_matrices(field: str, matrices: ndarray, last_row: list[int]) -> None:
    bad = np.count_nonzero(~np.isfinite(matrices))
    check_field(field, bad == 0, f"{bad} NaN or infinite values", "finite ones")
    rows = matrices[..., -1, :]
    wrong = rows[~np.isclose(rows, last_row).all(-1)]
    check_field(field, not wrong.size, f"last row {wrong[:1]}", last_row)


def rigid(rotation: Float[ndarray, "... 3 3"], translation: Places) -> Poses:
    """Return the 4x4 matrices of x -> R x + t."""
    transform = np.zeros((*translation.shape[:-1], 4, 4), rotation.dtype)
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1
    return transform
