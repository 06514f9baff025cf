"""Initial Gaussians of a fit to a capture: at pixels, at points, or anywhere.

The first of these that there is decides: pixels at the capture's depth; points of the capture,
else of the hull of a subject whose outline is known, else of a still scene those that views share;
pixels at the depth of a plane sweep, which textured views that stand close together allow; points
strewn over the volume that two cameras see.
Where instants are held out, what moves starts in place of the last from pixels at random depth,
which show the cameras that are there better, and new ones worse.
"""

from functools import partial
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import KDTree

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import LiftConfig
from full4d_jax.geometry.stereo_depth import sweep
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.seeds import first_scene
from gaussians import Scene, deforming, with_room
from gaussians.fitting.points import (
    FARTHEST_SHARE,
    NEAREST_SHARE,
    Triples,
    Views,
    at_points,
    carve,
    seen_colors,
    strew,
)
from input_pipeline.matches import (
    epipolar_distances,
    find_features,
    match_features,
    triangulate,
)
from input_pipeline.pinhole import centers, invert, nearest_to_axes
from input_pipeline.selection import evenly

Frames = Float[ndarray, "v t h w 3"]
Maps = Float[ndarray, "v t h w"]

# Most instants of a clip that are carved; half as many are swept.
CARVED_INSTANTS = 8
# Share of the pixels whose depth a plane sweep must be sure of.
SURE_SHARE = 0.1


class Start(NamedTuple):
    """A scene before the first step.

    Attributes:
      scene: with room up to the capacity.
      sharp: whether its Gaussians lie on surfaces.
      note: where they come from, for people.
    """

    scene: Scene
    sharp: bool
    note: str


def find_start(
    settings: LiftConfig,
    frames: Frames,
    depth: Maps | None,
    subject: Bool[ndarray, "v t h w"] | None,
    cameras: Cameras,
    instants: Int[ndarray, "fitted"],
    cloud: Float[ndarray, "n 6"] | None,
    key: jax.Array,
) -> Start:
    """Return the best start that a capture allows.

    Args:
      settings: of the fit, with steps and capacity.
      frames: the pictures that are fitted, [0, 1].
      depth: of these, world units, 0 where unknown; None where there is none.
      subject: their pixels that show the subject; None where the scene fills the pictures.
      cameras: of these.
      instants: numbers of the instants that may be looked at.
      cloud: positions and colours of points that stand still; None where there are none.
      key: decides what is drawn.
    """
    times = frames.shape[1]
    hidden = np.setdiff1d(np.arange(times), instants)
    # To stay out of medians over time.
    if hidden.size:
        frames = frames.copy()
        frames[:, hidden] = frames[:, hidden - 1]
    few = instants[evenly(len(instants), CARVED_INSTANTS)]
    start_at = partial(_start_at, settings, times, key)
    if depth is None and cloud is not None:
        points = np.random.default_rng(0).permutation(cloud)[: settings.capacity]
        return start_at("of the capture", points[:, :3], points[:, 3:])
    if depth is None and subject is not None:
        fewest_points = 100
        chosen = few if settings.motion == "freetime" else few[:1]
        points, colors, when = hull_points(
            frames, subject, cameras, chosen, settings.capacity
        )
        if len(points) >= fewest_points:
            moments = when / (times - 1) if times > 1 else None
            return start_at("of the subject's hull", points, colors, moments)
    if depth is None and times == 1:
        fewest_points = 1000
        points, colors = match_points(frames, cameras, round(settings.capacity / 2))
        if len(points) >= fewest_points:
            return start_at("matched between views", points, colors, sharp=True)
    note = "the capture's depth"
    if depth is None:
        depth, share = swept(frames, cameras, few[::2])
        note = f"a plane sweep, which is sure of {share:.0%} of the pixels"
        if share < SURE_SHARE and hidden.size:
            depth = random_depth(cameras)
            note = "pixels at random depth"
        elif share < SURE_SHARE:
            views, middle = _views(cameras, 0)
            # More come where they are needed.
            count = round(settings.capacity / 2)
            points = strew(views, middle, count, np.random.default_rng(0))
            medians = np.median(frames, 1).astype(frames.dtype)
            colors = seen_colors(points, medians, views)
            return start_at("strewn over what two cameras see", points, colors)
    depth = np.where(np.isin(np.arange(times), hidden)[:, None, None], 0.0, depth)
    pixels = jnp.asarray(frames), jnp.asarray(depth, jnp.float32)
    arrays = jax.tree.map(jnp.asarray, cameras)
    return Start(first_scene(settings, *pixels, arrays, key), True, note)


def hull_points(
    frames: Frames,
    subject: Bool[ndarray, "v t h w"],
    cameras: Cameras,
    chosen: Int[ndarray, "chosen"],
    most: int,
) -> tuple[Triples, Triples, Int[ndarray, "n"]]:
    """Return at most `most` points on the hulls at the chosen instants, colours and instants."""
    hulls = []
    for instant in chosen.tolist():
        wider = [
            cv2.dilate(x.astype(np.uint8), np.ones((3, 3))) > 0
            for x in subject[:, instant]
        ]
        views, middle = _views(cameras, instant)
        points = carve(np.stack(wider), views, middle)
        colors = seen_colors(points, frames[:, instant], views)
        hulls.append((points, colors, np.full(len(points), instant)))
    points, colors, instants = (np.concatenate(x) for x in zip(*hulls, strict=True))
    few = np.random.default_rng(0).permutation(len(points))[:most]
    return points[few], colors[few], instants[few]


def match_points(
    frames: Float[ndarray, "v 1 h w 3"], cameras: Cameras, most: int
) -> tuple[Triples, Triples]:
    """Return at most `most` points that neighbouring views share, and their colours."""
    # Largest distance of a match from the epipolar line of the other view, pixels.
    most_miss = 1.0
    # Smallest angle between the rays of a match.
    least_angle = np.radians(2.0)
    views, _ = _views(cameras, 0)
    lenses, poses, *_ = views
    pictures = to_uint8(frames[:, 0])
    features = [
        find_features(x, k, np.zeros(8)) for x, k in zip(pictures, lenses, strict=True)
    ]
    positions = []
    colors = []
    # Each camera is matched with the eight that stand nearest to it.
    _, nearest = KDTree(views.eyes).query(views.eyes, min(9, len(views.eyes)))
    near = np.asarray(nearest).tolist()
    pairs = {
        (min(i, j), max(i, j)) for i, row in enumerate(near) for j in row if i != j
    }
    for i, j in sorted(pairs):
        pair = [i, j]
        matches = match_features(features[i], features[j])
        miss = epipolar_distances(matches, lenses[pair], poses[pair])
        depths, angle = triangulate(matches, lenses[pair], poses[pair])
        sure = (miss < most_miss) & (angle > least_angle) & (depths > 0).all(1)
        u, v = matches[sure, 0].T
        rays = np.stack([u, v, np.ones_like(u)], 1) @ np.linalg.inv(lenses[i]).T
        world = invert(poses[i])
        positions.append(rays * depths[sure, :1] @ world[:3, :3].T + world[:3, 3])
        colors.append(frames[i, 0, v.astype(int), u.astype(int)])
    few = np.random.default_rng(0).permutation(sum(map(len, positions)))[:most]
    return np.concatenate(positions)[few], np.concatenate(colors)[few]


def random_depth(cameras: Cameras) -> Maps:
    """Draw log-uniform depth for every pixel, around its camera's distance from the middle.

    The depth of a pixel is the same at all instants, so that what stands still starts still.
    """
    views, middle = _views(cameras, 0)
    poses = np.asarray(cameras.world_to_camera, np.float64)
    distance = np.linalg.norm(centers(poses) - middle, axis=-1)[..., None, None]
    shape = len(poses), 1, views.height, views.width
    ends = np.log(NEAREST_SHARE), np.log(FARTHEST_SHARE)
    share = np.exp(np.random.default_rng(0).uniform(*ends, shape))
    return (distance * share).astype(np.float32)


def swept(
    frames: Frames, cameras: Cameras, chosen: Int[ndarray, "n"]
) -> tuple[Maps, float]:
    """Return depth by a plane sweep at the chosen instants, else 0, and how much of it is sure."""
    v, t, h, w, _ = frames.shape
    # Largest short side of the pictures that are swept.
    most_rows = 128
    high, wide = sides(h, w, min(most_rows, h, w), 1)
    lenses = np.asarray(cameras.resized(high, wide).intrinsics)
    depth = np.zeros((v, t, h, w), np.float32)
    for instant in chosen.tolist():
        views, middle = _views(cameras, instant)
        now = frames[:, instant]
        small = [cv2.resize(x, (wide, high), interpolation=cv2.INTER_AREA) for x in now]
        unit = float(np.median(np.linalg.norm(views.eyes - middle, axis=1)))
        ends = NEAREST_SHARE * unit, FARTHEST_SHARE * unit
        maps = sweep(np.stack(small), lenses, views.poses, *ends)
        size = w, h
        depth[:, instant] = [
            cv2.resize(x, size, interpolation=cv2.INTER_NEAREST) for x in maps
        ]
        if (maps > 0).mean() < SURE_SHARE:
            break
    return depth, float((depth[:, chosen] > 0).mean())


def _views(cameras: Cameras, instant: int) -> tuple[Views, Float[ndarray, "3"]]:
    """Return the cameras at an instant, and the point that they look at."""
    poses = np.asarray(cameras.world_to_camera[:, instant], np.float64)
    lenses = np.asarray(cameras.intrinsics, np.float64)
    middle = nearest_to_axes(poses)
    assert middle is not None, (
        "a capture without depth has cameras that look at one place"
    )
    return Views(lenses, poses, cameras.height, cameras.width), middle


def _start_at(
    settings: LiftConfig,
    times: int,
    key: jax.Array,
    where: str,
    positions: Triples,
    colors: Triples,
    moments: Float[ndarray, "n"] | None = None,
    sharp: bool = False,
) -> Start:
    """Return Gaussians at these points, with room up to the capacity."""
    duration = 1 / min(times, CARVED_INSTANTS)
    scene = at_points(positions, colors, moments, duration, settings.harmonics)
    if settings.motion == "deformation":
        scene = deforming(scene.gaussians, max(3, times), key)
    note = f"{len(positions)} points {where}"
    return Start(with_room(scene, settings.capacity), sharp, note)
