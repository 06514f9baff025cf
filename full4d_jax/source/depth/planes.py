"""Depth whose planes are planes, and on which straight lines are straight and upright ones upright.

Disparity, 1/z, is linear in the pixel on a plane, and along a straight line in space. With d the
disparity on a grid of one node in `NODE_STEP_PIXELS` pixels, we seek the x near it that is
piecewise linear and linear along every line segment of the picture (`lines`):

      sum_i  TRUST_WEIGHT ((x_i - d_i) / d_i)^2           it stays near the estimate
    + sum_j  smooth_weight u_j (D_j x / d_j)^2            it is piecewise linear
    + sum_j  warp_weight w_j (D_j (x / d))^2              relief is kept: corrections are smooth
    + sum_sk LINE_WEIGHT ((x(q_sk) - a_s - b_s k) / d_s)^2    segments s, their points q_sk

D are second differences along x, y and across. They do not count over edges: u = (1 + (D x / d /
tau)^2)^-2 is found from the x of the round before, for falling tau, and w = (1 + (D d / d /
warp_tau)^2)^-2 from d. (a_s, b_s) are unknowns too, so that each round is one sparse linear system.
Where up is known, upright segments have c_s p_k in the place of a_s + b_s k (`lines`).
All but the first term are smaller where disparity is, so each round ends with the x' = p x + q u +
r v + s nearest to d, at column u and row v: a projective map of space, which keeps planes. Upright
segments count there, too, as such maps tilt them.
Segments at an occluding edge count on the nearer side, others on both.

What is found at the nodes is read between them where disparity is smooth; at edges the pixels keep
the estimate, times the correction of the nodes on their side.

A camera at rest has one resting scene: the medians of frames and depth, which are flattened once;
every instant gets the correction where it shows that scene. Other clips are flattened frame by
frame.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.sparse.linalg import splu

from full4d_jax.geometry import arrays
from full4d_jax.grid import Grid
from full4d_jax.source.depth.lines import SegmentPoints, UprightLines, segment_points
from gaussians.fitting.stillness import median_where

# Pixels between nodes.
NODE_STEP_PIXELS = 3
TRUST_WEIGHT = 0.1
LINE_WEIGHT = 1000.0
# Difference of log depths of a pixel and a node on one surface.
ALIKE_LOG_DEPTH = 0.08

Nodes = Float[ndarray, "r c"]
Rows = Float[ndarray, " r"]
Columns = Float[ndarray, " c"]


def flatten_planes(
    source: Grid,
    upright: UprightLines | None = None,
    *,
    still: bool,
    keep: arrays.Masks,
) -> arrays.Maps:
    """Return depth with flat planes and straight segments, by the module's equation.

    Args:
      source: of one camera, with depth in any unit, 0 where unknown, which stays.
      upright: finds upright segments; None where the direction up is unknown.
      still: whether the camera rests.
      keep: pixels whose depth is not touched and does not count, such as people.
    """
    # Difference of log depths of an instant and the resting scene.
    same_scene_log = 0.1
    frames, depth = source.frames[0], source.known_depth[0]
    usable = (depth > 0) & ~keep
    if not still:
        clip = zip(depth, frames, usable, strict=True)
        flat = [_flatten(*frame, upright) for frame in clip]
        return np.where(usable, np.stack(flat), depth).astype(depth.dtype)
    median = median_where(depth, usable)
    is_known = np.isfinite(median)
    rest = np.where(is_known, median, 1).astype(np.float64)
    picture = np.median(frames, 0).astype(np.uint8)
    correction = np.log(_flatten(rest, picture, is_known, upright) / rest)
    off = np.log(np.where(usable, depth, 1) / rest)
    shows_rest = np.exp(-((off / same_scene_log) ** 4)) * (usable & is_known)
    return (depth * np.exp(shows_rest * correction)).astype(depth.dtype)


def _flatten(
    depth: arrays.Map,
    frame: arrays.Picture,
    usable: arrays.Mask,
    upright: UprightLines | None,
) -> arrays.Map:
    """Return the depth of one picture, flattened; 1 where it is not usable."""
    # Relative second differences from which pixels keep the estimate's shape.
    bent_range = (0.03, 0.08)
    # Of an upright segment, of the short side.
    least_upright = 0.06
    # Of any other.
    least_length = 0.12
    if not usable.any():
        return np.ones(depth.shape)
    height, width = depth.shape
    known = np.where(usable, depth, 0)
    disparity = 1 / _fill(known.astype(np.float64))
    rows, columns = (
        np.linspace(0.5, n - 0.5, max(3, round(n / NODE_STEP_PIXELS)))
        for n in depth.shape
    )
    estimate = _at_nodes(disparity, rows, columns)
    grid = _Grid(rows, columns, np.log(estimate))

    segments = segment_points(frame, known, least_upright)
    lines = [
        _line(grid, x, np.vander(np.linspace(-1, 1, len(x.depth)), 2, increasing=True))
        for x in segments
        if x.is_longer(least_length * min(depth.shape))
    ]
    if upright is not None:
        standing = filter(upright.include, segments)
        lines += [_line(grid, x, upright.profile(x.points)[:, None]) for x in standing]
    nodes = np.ix_(rows.astype(int), columns.astype(int))
    solved = _solve(estimate, usable[nodes], lines)

    # Between nodes disparity is theirs; at edges it keeps the shape of the estimate.
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([x.ravel(), y.ravel()], 1)
    between = grid.interpolation(pixels, np.log(disparity).ravel())
    smooth = (between @ solved.ravel()).reshape(height, width)
    ratio = between @ np.log(solved / estimate).ravel()
    shaped = disparity * np.exp(ratio).reshape(height, width)
    bend = cv2.resize(_bends(estimate).astype(np.float32), (width, height))
    share = np.clip((bend - bent_range[0]) / (bent_range[1] - bent_range[0]), 0, 1)
    return np.where(usable, 1 / (share * shaped + (1 - share) * smooth), 1.0)


def _at_nodes(disparity: arrays.Map, rows: Rows, columns: Columns) -> Nodes:
    """Return disparity at nodes, linear between pixels but for edges, where it is the nearest's."""
    x, y = np.meshgrid(columns - 0.5, rows - 0.5)
    places = (x.astype(np.float32), y.astype(np.float32))
    linear = cv2.remap(
        disparity, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    nearest = disparity[np.ix_(rows.astype(int), columns.astype(int))]
    are_alike = np.abs(np.log(linear / nearest)) < ALIKE_LOG_DEPTH / 4
    return np.where(are_alike, linear, nearest)


class _Grid(NamedTuple):
    """Nodes at y of `rows` and x of `columns`, pixels, and the log disparity of the estimate."""

    rows: Rows
    columns: Columns
    log: Nodes

    def interpolation(
        self, points: arrays.Points, log: arrays.Values
    ) -> sparse.csr_matrix:
        """Return the matrix that reads values of nodes at points x y of the given log disparity.

        It is bilinear among the nodes whose depth is alike, and leaves out those of other surfaces.
        """
        corners = []
        weights = []
        x, y = (
            np.clip((p - nodes[0]) / (nodes[1] - nodes[0]), 0, len(nodes) - 1)
            for p, nodes in zip(points.T, (self.columns, self.rows), strict=True)
        )
        left = np.minimum(x.astype(int), len(self.columns) - 2)
        top = np.minimum(y.astype(int), len(self.rows) - 2)
        for i, j in np.ndindex(2, 2):
            bilinear = (1 - np.abs(y - top - i)) * (1 - np.abs(x - left - j))
            off = (self.log[top + i, left + j] - log) / ALIKE_LOG_DEPTH
            # The small terms choose the nearest of nodes that are all unlike, or far away.
            weights.append((bilinear + 1e-4) * (np.exp(-(off**4)) + 1e-6))
            corners.append((top + i) * len(self.columns) + left + j)
        weight = np.stack(weights, 1)
        weight /= weight.sum(1, keepdims=True)
        starts = np.arange(0, weight.size + 1, 4)
        shape = len(points), self.log.size
        content = weight.ravel(), np.stack(corners, 1).ravel(), starts
        return sparse.csr_matrix(content, shape)


class LineEquation(NamedTuple):
    """A segment in the equation, over its mean disparity.

    Attributes:
      read: matrix that reads disparity at its points from that of the nodes.
      shape: what disparity may be there: multiples of 1 and k, or of p of an upright line.
    """

    read: sparse.csr_matrix
    shape: Float[ndarray, "n k"]


def _line(
    grid: _Grid, segment: SegmentPoints, shape: Float[ndarray, "n k"]
) -> LineEquation:
    """Return a segment's part in the equation."""
    read = grid.interpolation(segment.points, -np.log(segment.depth))
    scale = np.median(segment.depth)
    return LineEquation(sparse.csr_matrix(scale * read), scale * shape)


def _solve(
    estimate: Nodes, known: Bool[ndarray, "r c"], lines: Sequence[LineEquation]
) -> Nodes:
    """Return the disparity x of the nodes, by the module's equation."""
    # These are four times as fast as the defaults of SuperLU.
    symmetric_solver = {
        "permc_spec": "MMD_AT_PLUS_A",
        "diag_pivot_thresh": 0.0,
        "options": {"SymmetricMode": True},
    }
    warp_tau = 0.03
    # Relative second differences beyond which an edge is, in each round.
    edge_taus = (0.02, 0.01)
    warp_weight = 1000.0
    smooth_weight = 200.0
    # Of the weight of known nodes: it settles those that edges cut off.
    unknown_weight = 1e-3
    d = estimate.ravel()
    second = second_differences(*estimate.shape)
    local = (abs(second) @ d) / np.asarray(abs(second).sum(1)).ravel()

    def joined(x: arrays.Values, tau: float) -> Float[ndarray, " j"]:
        """Return how little each second difference of x looks like an edge."""
        return (1 + (second @ x / local / tau) ** 2) ** -2.0

    trust = TRUST_WEIGHT * np.where(known, 1, unknown_weight).ravel()
    warp = second @ sparse.diags(1 / d)
    bent = warp_weight * (warp.T @ sparse.diags(joined(d, warp_tau)) @ warp)
    fixed = sparse.diags(trust / d**2) + bent

    # Each segment adds its own unknowns: x(q_k) - a - b k = 0, or x(q_k) - c p_k = 0.
    reads = sparse.vstack(
        [sparse.csr_matrix((0, d.size)), *(line.read for line in lines)]
    )
    own = sparse.block_diag(
        [sparse.csr_matrix((0, 0)), *(-line.shape for line in lines)]
    )
    rows = sparse.hstack([reads, own])
    straight = LINE_WEIGHT * (rows.T @ rows)
    extra = sum(line.shape.shape[1] for line in lines)
    pad = sparse.csr_matrix((extra, extra))

    x = d
    for tau in edge_taus:
        flat = sparse.diags(joined(x, tau) / local**2)
        smooth = smooth_weight * (second.T @ flat @ second)
        system = sparse.block_diag([fixed + smooth, pad]) + straight
        factors = splu(system.tocsc(), **symmetric_solver)
        solution = factors.solve(np.pad(trust / d, (0, extra)))[: d.size]
        nodes = solution.reshape(estimate.shape)
        x = np.maximum(nearest_projective(nodes, estimate, known, lines).ravel(), d / 5)
    return x.reshape(estimate.shape)


def nearest_projective(
    disparity: Nodes,
    target: Nodes,
    known: Bool[ndarray, "r c"],
    lines: Sequence[LineEquation],
) -> Nodes:
    """Return p x + q u + r v + s nearest to `target` in least squares of relative differences.

    Here x is disparity and u v are column and row; such maps keep planes and straight lines.
    Upright lines count as in the equation.
    """
    rows, columns = (np.linspace(-1, 1, n) for n in disparity.shape)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([disparity, u, v, np.ones_like(u)], -1)
    relative = terms[known] / target[known][:, None]
    bends = [np.zeros((0, 4))]
    for read, shape in (line for line in lines if line.shape.shape[1] == 1):
        at_line = read @ terms.reshape(-1, 4)
        bends.append(at_line - shape @ np.linalg.lstsq(shape, at_line)[0])
    weight = np.sqrt(LINE_WEIGHT / TRUST_WEIGHT)
    system = np.concatenate([relative, weight * np.concatenate(bends)])
    goal = np.repeat([1.0, 0.0], [len(relative), len(system) - len(relative)])
    return terms @ np.linalg.lstsq(system, goal)[0]


def second_differences(rows: int, columns: int) -> sparse.csr_matrix:
    """Return the matrix of second differences of a grid: along x, along y, and sqrt(2) across."""
    along_x = sparse.kron(sparse.eye(rows), _differences(columns, 2))
    along_y = sparse.kron(_differences(rows, 2), sparse.eye(columns))
    across = np.sqrt(2) * sparse.kron(_differences(rows, 1), _differences(columns, 1))
    return sparse.csr_matrix(sparse.vstack([along_x, along_y, across]))


def _differences(n: int, order: int) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.diff(np.eye(n), order, axis=0))


def _bends(disparity: Nodes) -> Nodes:
    """Return the largest relative second difference around each node."""
    padded = np.pad(disparity, 1, "reflect", reflect_type="odd")
    down = np.abs(np.diff(padded[:, 1:-1], 2, axis=0))
    across = np.abs(np.diff(padded[1:-1], 2, axis=1))
    return cv2.dilate(np.maximum(down, across) / disparity, np.ones((3, 3)))


def _fill(depth: arrays.Map) -> arrays.Map:
    """Give unknown pixels, 0, the depth of the nearest known one."""
    unknown = (depth <= 0).astype(np.uint8)
    kind = cv2.DIST_LABEL_PIXEL
    nearest = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=kind)
    labels = nearest[1].astype(np.int64)
    values = np.zeros(labels.max() + 1)
    values[labels[unknown == 0]] = depth[unknown == 0]
    return values[labels]
