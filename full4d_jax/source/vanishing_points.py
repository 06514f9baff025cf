"""The field of view of a picture, from straight lines along three orthogonal directions.

Lines of the world that are parallel to v, a unit vector in camera axes, meet at the pixel
c + f v_xy / v_z, their vanishing point; c is the picture's centre and f the focal length. Vanishing
points p and q of orthogonal directions give f^2 = -(p - c) . (q - c), unless one is infinitely far.
Rooms and streets have three such directions, the rows of a rotation R. With e_ik the angle between
segment i and the direction from its middle to vanishing point k, a picture's log likelihood is

    l(f) = max_R sum_i log(OUTLIERS + (1 - OUTLIERS) / 3 sum_k pi N(e_ik; sigma_i))

where 0 is that of segments of any direction. A clip's is the mean over its frames, as those of a
camera at rest see the same lines: they add nothing. The f of the largest one is believed only if
every other that differs by `ALIKE` or more is less likely by `MARGIN`, which leaves out pictures
with few lines and those that look along one of the directions, as the other two vanishing points
are far then; and if it is `SUPPORT` or more for each segment, which leaves out lines of many
directions.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from full4d_jax.source.depth.straightness import long_segments

INSTANTS = 3  # of a clip that are looked at, at most
LEAST_LENGTH = 0.08  # of a segment, of the short side
BORDER = 0.02  # of the short side: segments along the edge of the picture are a frame around it
MOST_SEGMENTS = 100  # the longest ones of a frame
LEAST_SEGMENTS = 12
ENDS_OFF = 0.7  # pixels by which the ends of a segment miss the line
BENT = math.radians(0.4)  # angle by which it misses at any length: lenses bend lines
OUTLIERS = 0.4  # share of segments that are along none of the three directions
# Of half the fields of view that are tried, 22 to 125 degrees.
TANGENTS = np.geomspace(math.tan(math.radians(11)), math.tan(math.radians(62.5)), 37)
FOCAL_LENGTHS = 1 / TANGENTS  # in halves of the long side
SAMPLES = 200  # rotations that are drawn for each focal length
LARGEST_TURN = 0.1  # radians in a step
TINY = 1e-12  # keeps divisions by lengths defined
ALIKE = math.log(1.2)  # logarithm of the ratio of two focal lengths
MARGIN = 7.0  # of log likelihood: 1 : 1000
SUPPORT = 0.9  # of log likelihood, for each segment
PLAUSIBLE = 35.0, 110.0  # degrees along the long side


class Lines(NamedTuple):
    """Segments of a picture, in halves of its long side from its centre.

    Attributes:
      middle: x y of their middles.
      along: their unit vectors.
      sigma: deviation of their angles, radians.
      share: of their lengths in all lengths.
    """

    middle: Float[ndarray, "n 2"]
    along: Float[ndarray, "n 2"]
    sigma: Float[ndarray, " n"]
    share: Float[ndarray, " n"]


def field_of_view(frames: UInt8[ndarray, "t h w 3"]) -> float | None:
    """Return the field of view along the long side, degrees; None where lines do not determine it.

    Args:
      frames: of a clip whose lens keeps its focal length, with the optical axis in the centre.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, INSTANTS).round().astype(int))
    pictures = [lines_of(frames[t]) for t in chosen]
    pictures = [lines for lines in pictures if len(lines.middle) >= LEAST_SEGMENTS]
    if not pictures:
        return None
    likelihood = np.mean([log_likelihoods(lines) for lines in pictures], axis=0)
    segments = np.mean([len(lines.middle) for lines in pictures])
    return most_likely(likelihood) if likelihood.max() >= SUPPORT * segments else None


def most_likely(log_likelihood: Float[ndarray, " f"]) -> float | None:
    """Return the field of view of the most likely of `FOCAL_LENGTHS`, degrees, if it is sure."""
    logs = np.log(TANGENTS)
    best = int(log_likelihood.argmax())
    rivals = np.abs(logs - logs[best]) >= ALIKE
    is_at_end = best in (0, len(logs) - 1)
    if is_at_end or log_likelihood[best] - log_likelihood[rivals].max() < MARGIN:
        return None
    # The top of the parabola through three neighbours.
    before, top, after = log_likelihood[best - 1 : best + 2]
    offset = 0.5 * (after - before) / max(2 * top - before - after, TINY)
    tangent = math.exp(logs[best] + offset * (logs[1] - logs[0]))
    fov = math.degrees(2 * math.atan(tangent))
    return fov if PLAUSIBLE[0] <= fov <= PLAUSIBLE[1] else None


def lines_of(frame: UInt8[ndarray, "h w 3"]) -> Lines:
    """Return the longest segments of a frame that are not along its edge."""
    height, width = frame.shape[:2]
    short = min(height, width)
    ends = long_segments(frame, LEAST_LENGTH * short)
    border = BORDER * short
    at_edge = (ends < border) | (ends > np.array([width, height]) - border)
    ends = ends[~at_edge.all(1).any(1)]
    half = max(height, width) / 2
    ends = (ends - np.array([width / 2, height / 2])) / half
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    longest = np.argsort(-length)[:MOST_SEGMENTS]
    ends = ends[longest]
    length = length[longest]
    return Lines(
        middle=ends.mean(1),
        along=(ends[:, 1] - ends[:, 0]) / length[:, None],
        sigma=np.hypot(BENT, ENDS_OFF / (half * length)),
        share=length / length.sum(),
    )


def log_likelihoods(lines: Lines) -> Float[ndarray, " f"]:
    """Return the log likelihood of each of `FOCAL_LENGTHS`, by the module's equation."""
    rng = np.random.default_rng(0)
    count = len(lines.middle)
    triples = np.stack([rng.choice(count, 3, replace=False, p=lines.share) for _ in range(SAMPLES)])
    axes = np.stack([sampled_axes(lines, focal, triples) for focal in FOCAL_LENGTHS])
    axes, likelihood = refined(axes, lines, steps=6)
    # What is best for a focal length is a good start for its neighbours.
    for shift in (1, -1, 1, -1):
        from_neighbours, reached = refined(np.roll(axes, shift, axis=0), lines, steps=2)
        axes = np.where((reached > likelihood)[:, None, None], from_neighbours, axes)
        likelihood = np.maximum(reached, likelihood)
    return likelihood


def sampled_axes(
    lines: Lines, focal_length: float, triples: Int[ndarray, "s 3"]
) -> Float[ndarray, "3 3"]:
    """Return the most likely rotation of those that each three segments give.

    The first direction is where segments 0 and 1 meet; the second is orthogonal to it and along
    segment 2.
    """
    normals = plane_normals(lines, np.array([focal_length]))[0]
    first = normalised(np.cross(normals[triples[:, 0]], normals[triples[:, 1]]))
    second = normalised(np.cross(first, normals[triples[:, 2]]))
    axes = np.stack([first, second, np.cross(first, second)], 1)
    sines, _ = misses(axes, np.full(len(axes), focal_length), lines)
    return axes[log_likelihood_of(densities(sines, lines)).argmax()]


def refined(
    axes: Float[ndarray, "f 3 3"], lines: Lines, *, steps: int
) -> tuple[Float[ndarray, "f 3 3"], Float[ndarray, " f"]]:
    """Return rotations, one of each focal length, after Gauss-Newton steps, and log likelihoods.

    Each step weighs a segment's sine for a direction by how likely it belongs to that direction.
    """
    normals = plane_normals(lines, FOCAL_LENGTHS)
    best = axes
    highest = np.full(len(axes), -np.inf)
    for _ in range(steps + 1):
        sines, reach = misses(axes, FOCAL_LENGTHS, lines)
        density = densities(sines, lines)
        likelihood = log_likelihood_of(density)
        best = np.where((likelihood > highest)[:, None, None], axes, best)
        highest = np.maximum(likelihood, highest)
        weight = density / (OUTLIERS + density.sum(1, keepdims=True)) / lines.sigma**2
        # A turn by w adds (w x v) . n = w . (v x n) to v . n.
        slope = np.cross(axes[:, :, None], normals[:, None]) / reach[..., None]
        weighted = (slope * weight[..., None]).reshape(len(axes), -1, 3)
        slope = slope.reshape(len(axes), -1, 3)
        square = np.swapaxes(weighted, 1, 2) @ slope + np.eye(3)
        gradient = np.swapaxes(weighted, 1, 2) @ sines.reshape(len(axes), -1, 1)
        turn = -np.linalg.solve(square, gradient)[..., 0]
        angle = np.linalg.norm(turn, axis=1, keepdims=True)
        turn *= np.minimum(1, LARGEST_TURN / np.maximum(angle, TINY))
        axes = nearest_rotations(axes + np.cross(turn[:, None], axes))
    return best, highest


def nearest_rotations(matrices: Float[ndarray, "f 3 3"]) -> Float[ndarray, "f 3 3"]:
    """Return the rotations nearest to matrices that are nearly some."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def misses(
    axes: Float[ndarray, "f 3 3"], focal_lengths: Float[ndarray, " f"], lines: Lines
) -> tuple[Float[ndarray, "f 3 n"], Float[ndarray, "f 3 n"]]:
    """Return sines of the angles of segments to vanishing points, and what they were divided by.

    From the middle m of a segment its vanishing point lies along f v_xy - m v_z; the sine is
    v . n / |f v_xy - m v_z|, with n the normal of the plane of segment and camera.
    """
    across = axes @ np.swapaxes(plane_normals(lines, focal_lengths), 1, 2)
    far = (focal_lengths[:, None, None] * axes[..., :2])[:, :, None]
    toward = far - axes[..., 2, None, None] * lines.middle
    reach = np.maximum(np.linalg.norm(toward, axis=-1), TINY)
    return across / reach, reach


def plane_normals(lines: Lines, focal_lengths: Float[ndarray, " f"]) -> Float[ndarray, "f n 3"]:
    """Return (f u_y, -f u_x, m_y u_x - m_x u_y) of segments along u with middle m."""
    m = lines.middle
    u = lines.along
    f = focal_lengths[:, None]
    moment = np.broadcast_to(m[:, 1] * u[:, 0] - m[:, 0] * u[:, 1], (len(f), len(m)))
    return np.stack([f * u[:, 1], -f * u[:, 0], moment], -1)


def densities(sines: Float[ndarray, "f 3 n"], lines: Lines) -> Float[ndarray, "f 3 n"]:
    """Return the density of each segment along each direction, of outliers' pi."""
    peak = (1 - OUTLIERS) / 3 * math.sqrt(math.pi / 2) / lines.sigma
    return peak * np.exp(-0.5 * (sines / lines.sigma) ** 2)


def log_likelihood_of(densities: Float[ndarray, "f 3 n"]) -> Float[ndarray, " f"]:
    """Return the log likelihood of all segments."""
    return np.log(OUTLIERS + densities.sum(1)).sum(-1)


def normalised(vectors: Float[ndarray, "... 3"]) -> Float[ndarray, "... 3"]:
    """Return vectors of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), TINY)
