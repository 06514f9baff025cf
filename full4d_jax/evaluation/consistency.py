"""Scores that need no truth: whether the frames of a grid belong together.

    epipolar    SIFT points matched between views at one instant (`input_pipeline.matches`; no
                camera has a say in that), and Sampson's distance of each match from the epipolar
                line of the *commanded* cameras, pixels: median, and share below 1. All matches
                count, also wrong ones, and those with a point behind a camera as infinitely far.
    warping     Lai et al. 2018, "Learning Blind Video Temporal Consistency", equations 5 and 6: the
                next frame, moved back along optical flow (OpenCV's DIS) of the frames themselves,
                against this one, mean squared difference in [0, 1] where the flow there and back
                agrees.
    flicker     Mean absolute difference of neighbouring frames, in [0, 1] (VBench's temporal
                flickering is 1 minus that). 0 for a frozen video: read it beside the source's.
    cross_view  A view moved into the next one by depth, squared difference where both depths agree.

None of them sees quality: a grey grid is consistent. Read them beside the number of matches.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.optical_flow import flow_agrees, optical_flow, warp
from full4d_jax.media.pictures import enlarge
from input_pipeline.cameras import homogeneous_pixels, unproject
from input_pipeline.matches import Matches, epipolar_distances, find_features, match_views
from input_pipeline.selection import evenly

# So many instants of a grid, evenly spaced, have their views matched.
MATCHED_INSTANTS = 4

Frames = UInt8[np.ndarray, "v t h w 3"]
Video = UInt8[np.ndarray, "t h w 3"]
Map = Float[np.ndarray, "h w"]


def epipolar(frames: Frames, cameras: Cameras) -> dict[str, float]:
    """Match views, and measure how far the matches lie from the cameras' epipolar lines.

    Args:
      frames: sRGB.
      cameras: the commanded cameras, any unit.

    Returns:
      The mean number of `matches` of a pair of views, and of those `verified`: that agree with one
      epipolar geometry, whichever; the `median` of their distances, pixels, and the share
      `below_one`, both NaN without matches.
    """
    most_pairs = 60  # an instant
    instants = evenly(frames.shape[1], MATCHED_INSTANTS)
    pairs = [pair for t in instants for pair in matches_at(frames, cameras, t, most_pairs)]
    distances = np.concatenate([np.zeros(0), *(from_line for _, from_line in pairs)])
    verified = sum(len(match.verified) for match, _ in pairs)
    count = max(len(pairs), 1)
    return {
        "matches": len(distances) / count,
        "verified": verified / count,
        "median": float(np.median(distances)) if distances.size else math.nan,
        "below_one": _mean(distances < 1),
    }


def matches_at(
    frames: Frames, cameras: Cameras, instant: int, pairs: int
) -> Iterator[tuple[Matches, Float[np.ndarray, " n"]]]:
    """Match `pairs` of views at most; yield how far each match is from its epipolar line, too."""
    intrinsics = np.asarray(cameras.intrinsics)
    poses = np.asarray(cameras.world_to_camera)[:, instant].astype(np.float64)
    views = zip(frames[:, instant], intrinsics, strict=True)
    features = [find_features(view, lens, np.zeros(8)) for view, lens in views]
    for match in match_views(features, instant, pairs):
        pair = [match.first, match.second]
        yield match, epipolar_distances(match.points, intrinsics[pair], poses[pair])


def draw_matches(frames: Frames, cameras: Cameras) -> UInt8[np.ndarray, "H W 3"]:
    """Draw matches of the source with each other view at the first instant."""
    first = frames[:, 0]
    h, w = first.shape[1:3]
    # A picture's larger side has 384 pixels, if it is enlarged.
    scale = max(1, 384 // max(h, w))
    # Green matches are within a pixel of their line.
    green = (60, 220, 90)
    red = (235, 60, 60)
    rows = []
    for match, distances in matches_at(frames, cameras, 0, len(first) ** 2):
        if match.first:
            continue
        row = np.concatenate([enlarge(first[i], scale) for i in (0, match.second)], 1).copy()
        for (a, b), distance in zip(match.points * scale, distances, strict=True):
            start = np.round(a).astype(int).tolist()
            end = np.round(b).astype(int).tolist()
            color = green if distance < 1 else red
            cv2.line(row, start, [end[0] + w * scale, end[1]], color, 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows or [enlarge(first[0], scale)])


def warping_error(video: Video) -> float:
    """Return the squared difference of frames along their own flow; NaN for a single frame.

    It is one mean over all pixels of all pairs whose flow agrees there and back.
    """
    errors = [np.zeros(0)]
    for now, then in pairwise(video):
        there = optical_flow(now, then)
        agrees = flow_agrees(there, optical_flow(then, now))
        errors.append(_difference(now, warp(then / 255.0, there))[agrees])
    return _mean(np.concatenate(errors))


def flicker(video: Video) -> float:
    """Return the mean absolute difference of neighbouring frames in [0, 1]; NaN for one frame."""
    return _mean(np.abs(np.diff(video.astype(np.float64) / 255, axis=0)))


def cross_view(
    frames: Frames, depth: Float[np.ndarray, "v t h w"], cameras: Cameras
) -> dict[str, float]:
    """Move each view into the next by depth, and compare the two.

    Args:
      frames: sRGB.
      depth: z in the cameras' unit, 0 where unknown, such as that of rendered Gaussians.
      cameras: the commanded cameras.

    Returns:
      `cross_view`, the mean squared difference in [0, 1], NaN where no pixel counts; and
      `cross_view_seen`, the share of the pixels that count.
    """
    lenses = np.asarray(cameras.intrinsics)
    poses = np.asarray(cameras.world_to_camera)
    errors = [np.zeros(0)]
    for a, b in pairwise(range(len(frames))):
        for t in range(frames.shape[1]):
            flow, far = flow_from_depth(depth[a, t], lenses[[a, b]], poses[[a, b], t])
            there = warp(depth[b, t][..., None], flow, cv2.INTER_NEAREST)[..., 0]
            agrees = np.abs(far - there) < 0.03 * there
            seen = (depth[a, t] > 0) & (there > 0) & agrees
            errors.append(_difference(frames[a, t], warp(frames[b, t] / 255.0, flow))[seen])
    pooled = np.concatenate(errors)
    seen = pooled.size / max(depth[1:].size, 1)
    return {"cross_view": _mean(pooled), "cross_view_seen": seen}


def _difference(picture: UInt8[np.ndarray, "h w 3"], moved: Float[np.ndarray, "h w 3"]) -> Map:
    """Return the squared difference of a picture and another in [0, 1]."""
    return ((moved - picture / 255.0) ** 2).mean(-1)


def _mean(values: Shaped[np.ndarray, "..."]) -> float:
    """Return the mean, NaN of nothing."""
    return float(values.mean()) if values.size else math.nan


def flow_from_depth(
    depth: Map,
    intrinsics: Float[np.ndarray, "2 3 3"],
    world_to_camera: Float[np.ndarray, "2 4 4"],
) -> tuple[Float[np.ndarray, "h w 2"], Map]:
    """Return the flow of the first camera's pixels into the second (x, y), and their depth."""
    points = unproject(depth, intrinsics[0], world_to_camera[0])
    pose = world_to_camera[1].astype(np.float64)
    moved = points @ pose[:3, :3].T + pose[:3, 3]
    z = moved[..., 2]
    seen = (moved @ intrinsics[1].T)[..., :2] / np.where(z > 1e-6, z, np.inf)[..., None]
    return seen - homogeneous_pixels(*depth.shape)[..., :2], z
