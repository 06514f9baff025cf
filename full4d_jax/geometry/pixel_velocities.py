"""Velocities of pixels, from where optical flow and depth lead their points.

Flow leads pixel p of instant t to pixel q of a neighbouring instant t'. If X(p, t) is the point in
the world that p shows, at the depth z(p, t), and times are in clips:

    (1)  v(p, t) = mean over t' of [X(q, t') - X(p, t)] / (t' - t)

Only those neighbours count where the flow there and back agrees, colours are alike, and depth does
not jump: the flow of something that is hidden in one of the two pictures, or that moves farther
than flow can follow, ends on something else. A pixel for which none counts moves like the pixels
around it.
"""

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from full4d_jax.geometry.optical_flow import Flows, flow_agrees, optical_flow, warp
from gaussians.fitting.initialization import Velocities


def flow_velocities(flows: Mapping[int, Flows]) -> Velocities:
    """Return equation 1 as `gaussians.initialize` asks for it.

    Args:
      flows: optical flow of the films of some views, by the view's number, where it is known.
    """

    def velocities(
        view: int,
        frames: Float[ndarray, "t h w 3"],
        depth: Float[ndarray, "t h w"],
        lens: Float[ndarray, "3 3"],
        world_to_camera: Float[ndarray, "t 4 4"],
        moving: Bool[ndarray, "t h w"],
        times: Float[ndarray, "t"],
    ) -> Float32[ndarray, "t h w 3"]:
        return pixel_velocities(
            frames, depth, lens, world_to_camera, moving, times, flows=flows.get(view)
        )

    return velocities


def pixel_velocities(
    frames: Float[ndarray, "t h w 3"],
    depth: Float[ndarray, "t h w"],
    lens: Float[ndarray, "3 3"],
    world_to_camera: Float[ndarray, "t 4 4"],
    moving: Bool[ndarray, "t h w"],
    times: Float[ndarray, "t"],
    flows: Flows | None = None,
) -> Float32[ndarray, "t h w 3"]:
    """Return equation 1 for the moving pixels of one view, world units per clip; 0 for others.

    Args:
      frames: colours in [0, 1].
      depth: z in world units, 0 where unknown; instants without any depth are passed over.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      moving: the pixels that are asked for, of known depth.
      times: of the frames, in clips.
      flows: between frames that follow each other, if they are known already.
    """
    same_colour = 0.08  # difference up to which two colours may be one point's
    # Relative difference from the depth of a still point from which q shows something else.
    depth_jump = 0.1
    pictures = np.rint(255 * np.clip(frames, 0, 1)).astype(np.uint8)
    home = np.zeros((*depth.shape[1:], 2), np.float32)
    total = np.zeros((*depth.shape, 3), np.float32)
    count = np.zeros(depth.shape, np.float32)
    for a, b in pairwise(np.flatnonzero((depth > 0).any((1, 2)))):
        if not (moving[a] | moving[b]).any():
            continue
        if flows is not None and b == a + 1:
            ahead_of_a = flows.there[a]
            back_to_a = flows.back[a]
        else:
            ahead_of_a = optical_flow(pictures[a], pictures[b])
            back_to_a = optical_flow(pictures[b], pictures[a])
        for i, j, there, back in ((a, b, ahead_of_a, back_to_a), (b, a, back_to_a, ahead_of_a)):
            ahead = warp(depth[j, ..., None], there, cv2.INTER_NEAREST)[..., 0]
            before = _points(depth[i], home, lens, world_to_camera[i])
            z = before @ world_to_camera[j, 2, :3] + world_to_camera[j, 2, 3]  # if it stood still
            near = (ahead > 0) & (np.abs(ahead - z) < depth_jump * z)
            alike = np.abs(warp(frames[j], there) - frames[i]).max(-1) < same_colour
            counts = moving[i] & near & alike & flow_agrees(there, back)
            moved = _points(ahead, there, lens, world_to_camera[j]) - before
            total[i] += np.where(counts[..., None], moved / (times[j] - times[i]), 0)
            count[i] += counts
    known = total / np.maximum(count, 1)[..., None]
    spread = [_spread(*one) for one in zip(known, count > 0, moving, strict=True)]
    return np.stack(spread)


def _points(
    z: Float[ndarray, "h w"],
    flow: Float[ndarray, "h w 2"],
    lens: Float[ndarray, "3 3"],
    pose: Float[ndarray, "4 4"],
) -> Float[ndarray, "h w 3"]:
    """Return the world positions at these depths of the pixels that the flow leads to."""
    y, x = np.mgrid[: z.shape[0], : z.shape[1]] + 0.5
    pixels = np.stack([x + flow[..., 0], y + flow[..., 1], np.ones_like(x)], -1)
    return (pixels @ np.linalg.inv(lens).T * z[..., None] - pose[:3, 3]) @ pose[:3, :3]


def _spread(
    velocities: Float[ndarray, "h w 3"],
    known: Bool[ndarray, "h w"],
    moving: Bool[ndarray, "h w"],
) -> Float[ndarray, "h w 3"]:
    """Give moving pixels of unknown velocity the mean of those around; 0 if there are too few."""
    least_known_share = 0.02  # least share of the neighbourhood whose velocity must be known
    # Standard deviation of the neighbourhood of a pixel, of the picture's shorter side.
    neighbourhood_share = 0.04
    if not (moving & ~known).any() or not known.any():
        return velocities
    sigma = neighbourhood_share * min(known.shape)
    share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    blurred = cv2.GaussianBlur(velocities.astype(np.float32), (0, 0), sigma)
    around = blurred / np.maximum(share, least_known_share)[..., None]
    unknown = moving & ~known & (share > least_known_share)
    return np.where(unknown[..., None], around, velocities)
