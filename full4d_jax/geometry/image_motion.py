"""Motion in pictures: moving pixels, optical flow (OpenCV's DIS), and backward warps by it.

A pixel has the colour of what rests there at most instants, so that its median over time is that
colour. How large a difference is motion depends on what the answer is for: callers have thresholds
of their own, in the unit of their pictures, levels of 255 or shares of the range.

Flow leads pixel p of instant t to pixel q of a neighbouring instant t'. If X(p, t) is the point in
the world that p shows, at the depth z(p, t), and times are in clips:

    (1)  v(p, t) = mean over t' of [X(q, t') - X(p, t)] / (t' - t)

Only those neighbours count where the flow there and back agrees, colours are alike, and depth does
not jump: the flow of something that is hidden in one of the two pictures, or that moves farther
than flow can follow, ends on something else. A pixel for which none counts moves like the pixels
around it.

Motion of a grid's hidden frames is carried over from its first row without cameras. Of a grid with
pictures I_vt the first row I_0t and the first column I_v0 are real. With optical flow `a -> b` from
pixels of a to where b shows the same,

    back_t(q) = I_0t -> I_00, 0 where the row did not change
    to_0_v(p) = I_v0 -> I_00, by steps from each view to the one before
    w_vt(p)   = back_t(p + to_0_v(p))

so that view v at instant t shows at p about what it showed at p + w_vt(p) at instant 0. View v
moves like the first one, which is so where both look at the same thing from about the same side.
It also shows about what I_0t shows at p + to_0_v(p). The view's own frame knows the side from which
v looks, the row's what came into sight since instant 0, and gets a share where the row changed.
"""

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Num, UInt8
from numpy import ndarray

from full4d_jax.geometry import arrays

# Pixels of a side that DIS needs, also where it halves pictures once more.
SMALLEST_SIDE = 16
# Shorter side in pixels to which small pictures are enlarged for their flow.
FINE_SIDE_PIXELS = 192
# Logit of the row's share where it changed: .31 after `models.dit.moved_base.RARE_LOGIT`.
ROW_SHARE_LOGIT = 4.2


class Flows(NamedTuple):
    """Optical flow between the pictures of a video that follow each other, pixels, x then y.

    Attributes:
      there: from each picture but the last to the next.
      back: from that to the picture.
    """

    there: Float32[ndarray, "t-1 h w 2"]
    back: Float32[ndarray, "t-1 h w 2"]


Video = Float[ndarray, "t h w 3"]
Frames = UInt8[ndarray, "v t h w 3"]
Motion = Float32[ndarray, "v t h w 2"]
Flow = Float[ndarray, "h w 2"]


def moving_pixels(
    frames: Num[ndarray, "*v t h w 3"], threshold: float
) -> Bool[ndarray, "*v t h w"]:
    """Return the pixels that differ from their median over time.

    Args:
      frames: pictures of cameras at rest.
      threshold: largest difference of a pixel that rests, in the unit of the frames.
    """
    return differs(frames, resting_picture(frames), threshold)


def resting_picture(frames: Num[ndarray, "*v t h w 3"]) -> Float[ndarray, "*v 1 h w 3"]:
    """Return the median over time, in the precision of the frames but single at least."""
    precision = np.result_type(frames.dtype, np.float32)
    return np.median(frames, axis=-4, keepdims=True).astype(precision)


def differs(
    frames: Num[ndarray, "*n h w 3"],
    resting: Num[ndarray, "*m h w 3"],
    threshold: float,
) -> Bool[ndarray, "*n h w"]:
    """Return the pixels whose difference from a resting picture is above a threshold."""
    return np.abs(frames - resting).max(-1) > threshold


def video_flows(pictures: arrays.Pictures) -> Flows:
    """Return the optical flow between two or more pictures that follow each other."""
    there = [optical_flow(now, then) for now, then in pairwise(pictures)]
    back = [optical_flow(then, now) for now, then in pairwise(pictures)]
    return Flows(np.stack(there), np.stack(back))


def optical_flow(now: arrays.Picture, then: arrays.Picture, finest: int = 0) -> Flow:
    """Return the flow from `now` to `then`, as `gray_flow` does."""
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (now, then)]
    return gray_flow(gray[0], gray[1], finest)


def gray_flow(
    now: UInt8[ndarray, "h w"], then: UInt8[ndarray, "h w"], finest: int = 0
) -> Flow:
    """Return the flow from `now` to `then`: pixels, x then y; 0 for sides below `SMALLEST_SIDE`.

    Args:
      now: a picture; small ones have no scales to spare.
      then: the other.
      finest: how often the pictures of the last scale are halved, 0 or 1.
    """
    if min(now.shape) < SMALLEST_SIDE:
        return np.zeros((*now.shape, 2), np.float32)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest)
    return method.calc(now, then, None)  # type: ignore[call-overload]


def warp(
    image: Float[ndarray, "h w c"],
    flow: Flow,
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_CONSTANT,
) -> Float32[ndarray, "h w c"]:
    """Return the backward warp of an image by a flow; OpenCV's `border` fills the outside."""
    ends = _ends(flow)
    warped = cv2.remap(
        image.astype(np.float32), *ends, interpolation, borderMode=border
    )
    return warped.reshape(*flow.shape[:2], -1)


def _ends(flow: Flow) -> tuple[arrays.Map, arrays.Map]:
    """Return the columns and the rows that the flow leads to, as OpenCV counts pixels."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return (x + flow[..., 0]).astype(np.float32), (y + flow[..., 1]).astype(np.float32)


def flow_agrees(there: Flow, back: Flow) -> arrays.Mask:
    """Return the pixels whose forward and backward flow agree, inside the picture."""
    # Of squared flow, and pixels: Sundaram et al. 2010, as in Lai et al.
    share, allowance = 0.01, 0.5
    h, w = there.shape[:2]
    x, y = _ends(there)
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    returned = warp(back, there)
    length = (there**2).sum(-1) + (returned**2).sum(-1)
    misfit = ((there + returned) ** 2).sum(-1)
    return inside & (misfit < share * length + allowance)


def pixel_velocities(
    frames: Video,
    depth: arrays.Maps,
    lens: arrays.Lens,
    poses: arrays.Poses,
    moving: arrays.Masks,
    times: Float[ndarray, "t"],
    view: int = 0,
    flows: Flows | None = None,
) -> Video:
    """Return the velocity (equation 1) of one view's moving pixels, world units per clip; else 0.

    `gaussians.initialize` takes it in this form.

    Args:
      frames: colours in [0, 1].
      depth: z in world units, 0 where unknown; instants without any depth are passed over.
      lens: intrinsics, pixels.
      poses: world to camera, of each frame.
      moving: the pixels whose velocity is wanted, of known depth.
      times: of the frames, in clips.
      view: number of the view.
      flows: of view 0, if already known.
    """
    # Difference up to which two colours may be one point's.
    same_colour = 0.08
    # Relative difference from the depth of a still point from which q shows something else.
    depth_jump = 0.1
    pictures = np.rint(255 * np.clip(frames, 0, 1)).astype(np.uint8)
    here = np.zeros((*depth.shape[1:], 2), np.float32)
    total = np.zeros((*depth.shape, 3), np.float32)
    count = np.zeros(depth.shape, np.float32)
    for a, b in pairwise(np.flatnonzero((depth > 0).any((1, 2)))):
        if not (moving[a] | moving[b]).any():
            continue
        if flows is None or view > 0 or b > a + 1:
            (there,), (back,) = video_flows(pictures[[a, b]])
        else:
            there, back = (x[a] for x in flows)
        for i, j, ahead, home in ((a, b, there, back), (b, a, back, there)):
            then = warp(depth[j, ..., None], ahead, cv2.INTER_NEAREST)[..., 0]
            before = _points(depth[i], here, lens, poses[i])
            # Its z there if it stood still.
            z = before @ poses[j, 2, :3] + poses[j, 2, 3]
            near = (then > 0) & (np.abs(then - z) < depth_jump * z)
            alike = np.abs(warp(frames[j], ahead) - frames[i]).max(-1) < same_colour
            counts = moving[i] & near & alike & flow_agrees(ahead, home)
            shift = _points(then, ahead, lens, poses[j]) - before
            total[i] += np.where(counts[..., None], shift / (times[j] - times[i]), 0)
            count[i] += counts
    known = total / np.maximum(count, 1)[..., None]
    return np.stack([*map(_spread, known, count > 0, moving)])


def _points(
    z: arrays.Map, flow: Flow, lens: arrays.Lens, pose: Float[ndarray, "4 4"]
) -> Float[ndarray, "h w 3"]:
    """Return the world positions at these depths of the pixels that the flow leads to."""
    y, x = np.mgrid[: z.shape[0], : z.shape[1]] + 0.5
    pixels = np.stack([x + flow[..., 0], y + flow[..., 1], np.ones_like(x)], -1)
    return (pixels @ np.linalg.inv(lens).T * z[..., None] - pose[:3, 3]) @ pose[:3, :3]


def _spread(
    velocities: Float[ndarray, "h w 3"], known: arrays.Mask, moving: arrays.Mask
) -> Float[ndarray, "h w 3"]:
    """Give moving pixels of unknown velocity the mean of those around; 0 if there are too few."""
    # Least share of the neighbourhood whose velocity must be known.
    least_known_share = 0.02
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


def carried_motion(frames: Frames) -> Float32[ndarray, "v t h w 5"]:
    """Return w and to_0_v of all frames, pixels, x then y, and the logit of the row's share.

    All are 0 in the first row and the first column. `models.dit.moved_base.mixture` applies them.

    Args:
      frames: of which the first row and the first column alone are read.
    """
    first = frames[0, 0]
    row = [_changed_flow(picture, first) for picture in frames[0, 1:]]
    motion = np.zeros((*frames.shape[:4], 2 + 2 + 1), np.float32)
    to_first = np.zeros((*first.shape[:2], 2), np.float32)
    for view, (before, picture) in enumerate(pairwise(frames[:, 0]), 1):
        step = fine_flow(picture, before)
        to_first = step + warp_inside(to_first, step)
        for instant, (back, changed) in enumerate(row, 1):
            own = warp_inside(back, to_first)
            share = warp_inside(ROW_SHARE_LOGIT * changed, to_first)
            motion[view, instant] = np.concatenate([own, to_first, share], -1)
    return motion


def motion_from_first(frames: Frames) -> tuple[Motion, Bool[ndarray, "v t h w"]]:
    """Return the true w by flow of the true pictures, and where it leads to the same colour."""
    # Levels of 255 by which a picture warped along its flow may miss the other.
    trusted_levels = 25.5
    motion = np.zeros((*frames.shape[:4], 2), np.float32)
    trusted = np.zeros(frames.shape[:4], bool)
    for view, pictures in enumerate(frames):
        for instant, picture in enumerate(pictures[1:], 1):
            flow = fine_flow(picture, pictures[0])
            warped = warp_inside(pictures[0].astype(np.float32), flow)
            motion[view, instant] = flow
            trusted[view, instant] = ~differs(warped, picture, trusted_levels)
    return motion, trusted


def fine_flow(now: arrays.Picture, then: arrays.Picture) -> Flow:
    """Return the optical flow of pictures, enlarged to `FINE_SIDE_PIXELS` if smaller."""
    height, width = now.shape[:2]
    scale = -(-FINE_SIDE_PIXELS // min(height, width))
    if scale == 1:
        return optical_flow(now, then)
    size = (scale * width, scale * height)
    large = [cv2.resize(x, size, interpolation=cv2.INTER_CUBIC) for x in (now, then)]
    flow = optical_flow(large[0], large[1], finest=1)
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / scale


def warp_inside(
    image: Float32[ndarray, "h w c"], flow: Flow
) -> Float32[ndarray, "h w c"]:
    """Return the backward warp of an image by a flow; outside, the nearest pixel inside."""
    return warp(image, flow, border=cv2.BORDER_REPLICATE)


def _changed_flow(
    now: arrays.Picture, first: arrays.Picture
) -> tuple[Flow, Float32[ndarray, "h w 1"]]:
    """Return the flow from a picture of the row to its first, and 1; 0 where nothing changed."""
    # Levels of 255 by which a colour differs from instant 0 where something moves.
    changed_levels = 15.0
    changed = differs(now.astype(np.float32), first.astype(np.float32), changed_levels)
    around = cv2.dilate(changed.astype(np.float32), np.ones((3, 3), np.uint8))[
        ..., None
    ]
    return fine_flow(now, first) * around, around
