"""Where the fit to a capture starts: from depth, an outline, what the pictures share, or anywhere.

The first of these that there is decides: depth; points of the capture; the hull of a subject whose
outline is known; matched points of a still scene; a plane sweep of textured views that stand close
together; points strewn over the volume that two cameras see. Where instants are held out, what
moves starts in place of these points from pixels at random depth, which show the cameras that are
there better, and new ones worse.
"""

from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import KDTree

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.geometry.plane_sweep import sweep
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.seeds import first_scene
from gaussians import Scene, deforming, with_room
from gaussians.fitting.points import FARTHEST, NEAREST, Views, at_points, carve, seen_colors, strew
from input_pipeline.cameras import centers, invert, nearest_to_axes, resize_intrinsics
from input_pipeline.matches import (
    epipolar_distances,
    find_features,
    match_features,
    triangulate,
)
from input_pipeline.selection import evenly

FEW = 0.5  # of the capacity that points take at first; the others come where they are needed
SWEPT = 128  # rows or columns of the pictures that are swept, at most
SURE = 0.1  # share of the pixels whose depth must be sure
INSTANTS = 8  # of a clip that are carved, at most; half as many are swept
LEAST = 100  # points of a hull
MATCHED = 1000  # points that views share, at least
NEIGHBOURS = 8  # views that each is matched with
MISSED = 1.0  # pixels by which cameras may miss a match
PARALLAX = np.radians(2.0)  # angle between the rays of a match, at least


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


class Seeds(NamedTuple):
    """Points with the colours that views see at an instant, and the number of that instant."""

    positions: Float[ndarray, "n 3"]
    colors: Float[ndarray, "n 3"]
    instants: Int[ndarray, "n"]


def find_start(
    settings: LiftConfig,
    frames: Float[ndarray, "v t h w 3"],
    depth: Float[ndarray, "v t h w"] | None,
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
    hidden = np.setdiff1d(np.arange(frames.shape[1]), instants)
    if hidden.size:  # to stay out of medians over time
        frames = frames.copy()
        frames[:, hidden] = frames[:, hidden - 1]
    few = instants[evenly(len(instants), INSTANTS)]
    if depth is None and cloud is not None:
        points = np.random.default_rng(0).permutation(cloud)[: settings.capacity]
        scene = _at_points(settings, points[:, :3], points[:, 3:], None, frames.shape[1], key)
        return Start(scene, False, f"{len(points)} points of the capture")
    if depth is None and subject is not None:
        seeds = carved(frames, subject, cameras, few, settings.capacity)
        if len(seeds.positions) >= LEAST:
            note = f"{len(seeds.positions)} points of the subject's hull"
            return Start(_at_seeds(settings, seeds, frames.shape[1], key), False, note)
    if depth is None and frames.shape[1] == 1:
        seeds = match_points(frames, cameras, round(FEW * settings.capacity))
        if len(seeds.positions) >= MATCHED:
            note = f"{len(seeds.positions)} points matched between views"
            return Start(_at_seeds(settings, seeds, 1, key), True, note)
    note = "the capture's depth"
    if depth is None:
        depth, share = swept(frames, cameras, few[::2])
        note = f"a plane sweep, which is sure of {share:.0%} of the pixels"
        if share < SURE and not hidden.size:
            seeds = strewn(frames, cameras, round(FEW * settings.capacity))
            note = f"{len(seeds.positions)} points strewn over what two cameras see"
            points = seeds.positions, seeds.colors, None
            return Start(_at_points(settings, *points, frames.shape[1], key), False, note)
        if share < SURE:
            depth = random_depth(cameras)
            note = "pixels at random depth"
    depth = np.where(np.isin(np.arange(frames.shape[1]), hidden)[:, None, None], 0.0, depth)
    pixels = jnp.asarray(frames), jnp.asarray(depth, jnp.float32)
    arrays = jax.tree.map(jnp.asarray, cameras)
    return Start(first_scene(settings, *pixels, arrays, key), True, note)


def carved(
    frames: Float[ndarray, "v t h w 3"],
    subject: Bool[ndarray, "v t h w"],
    cameras: Cameras,
    chosen: Int[ndarray, "n"],
    most: int,
) -> Seeds:
    """Return at most `most` points on the hulls of the subject at the chosen instants."""
    hulls = []
    for instant in chosen.tolist():
        views, middle = _views(cameras, instant)
        wider = [cv2.dilate(x.astype(np.uint8), np.ones((3, 3))) > 0 for x in subject[:, instant]]
        points = carve(np.stack(wider), views, middle)
        hulls.append((points, np.full(len(points), instant)))
    positions, instants = (np.concatenate(x) for x in zip(*hulls, strict=True))
    few = np.random.default_rng(0).permutation(len(positions))[:most]
    return _coloured(positions[few], instants[few], frames, cameras)


def match_points(frames: Float[ndarray, "v 1 h w 3"], cameras: Cameras, most: int) -> Seeds:
    """Return at most `most` points that views share by their pictures, where cameras agree."""
    views, _ = _views(cameras, 0)
    pictures = to_uint8(frames[:, 0])
    lenses = views.intrinsics
    poses = views.world_to_camera
    features = [find_features(x, k, np.zeros(8)) for x, k in zip(pictures, lenses, strict=True)]
    shared = []
    for i, j in _neighbours(views.eyes):
        pair = [i, j]
        points = match_features(features[i], features[j])
        off = epipolar_distances(points, lenses[pair], poses[pair])
        depths, angle = triangulate(points, lenses[pair], poses[pair])
        sure = (off < MISSED) & (angle > PARALLAX) & (depths > 0).all(1)
        u, v = points[sure, 0].T
        z = depths[sure, 0]
        rays = np.stack([u, v, np.ones_like(u)], 1) @ np.linalg.inv(lenses[i]).T
        world = invert(poses[i])
        shown = frames[i, 0, v.astype(int), u.astype(int)]
        shared.append((rays * z[:, None] @ world[:3, :3].T + world[:3, 3], shown))
    positions, colors = (np.concatenate(x) for x in zip(*shared, strict=True))
    few = np.random.default_rng(0).permutation(len(positions))[:most]
    return Seeds(positions[few], colors[few], np.zeros(len(few), int))


def _neighbours(eyes: Float[ndarray, "v 3"]) -> list[tuple[int, int]]:
    """Return pairs of cameras that stand close together."""
    _, nearest = KDTree(eyes).query(eyes, min(NEIGHBOURS + 1, len(eyes)))
    near = np.asarray(nearest).tolist()
    return sorted({(min(i, j), max(i, j)) for i, row in enumerate(near) for j in row if i != j})


def strewn(frames: Float[ndarray, "v t h w 3"], cameras: Cameras, count: int) -> Seeds:
    """Return `count` points in the volume that two cameras see, coloured as what stands still."""
    positions = strew(*_views(cameras, 0), count, np.random.default_rng(0))
    still = np.median(frames, 1, keepdims=True).astype(frames.dtype)
    return _coloured(positions, np.zeros(len(positions), int), still, cameras)


def random_depth(cameras: Cameras) -> Float[ndarray, "v t h w"]:
    """Draw log-uniform depth for every pixel, around its camera's distance from the middle.

    The depth of a pixel is the same at all instants, so that what stands still starts still.
    """
    views, middle = _views(cameras, 0)
    poses = np.asarray(cameras.world_to_camera, np.float64)
    distance = np.linalg.norm(centers(poses) - middle, axis=-1)[..., None, None]
    shape = len(poses), 1, views.height, views.width
    share = np.exp(np.random.default_rng(0).uniform(np.log(NEAREST), np.log(FARTHEST), shape))
    return (distance * share).astype(np.float32)


def swept(
    frames: Float[ndarray, "v t h w 3"], cameras: Cameras, chosen: Int[ndarray, "n"]
) -> tuple[Float[ndarray, "v t h w"], float]:
    """Return depth by a plane sweep at the chosen instants, else 0, and how much of it is sure."""
    v, t, h, w, _ = frames.shape
    scale = min(1.0, SWEPT / min(h, w))
    high = round(scale * h)
    wide = round(scale * w)
    lenses = resize_intrinsics(np.asarray(cameras.intrinsics), rows=high / h, columns=wide / w)
    depth = np.zeros((v, t, h, w), np.float32)
    for instant in chosen.tolist():
        views, middle = _views(cameras, instant)
        now = frames[:, instant]
        small = [cv2.resize(x, (wide, high), interpolation=cv2.INTER_AREA) for x in now]
        unit = float(np.median(np.linalg.norm(views.eyes - middle, axis=1)))
        swept_depth = sweep(
            np.stack(small), lenses, views.world_to_camera, NEAREST * unit, FARTHEST * unit
        )
        for view in range(v):
            depth[view, instant] = cv2.resize(
                swept_depth[view], (w, h), interpolation=cv2.INTER_NEAREST
            )
        if (swept_depth > 0).mean() < SURE:
            break
    return depth, float((depth[:, chosen] > 0).mean())


def _views(cameras: Cameras, instant: int) -> tuple[Views, Float[ndarray, "3"]]:
    """Return the cameras at an instant, and the point that they look at."""
    poses = np.asarray(cameras.world_to_camera[:, instant], np.float64)
    lenses = np.asarray(cameras.intrinsics, np.float64)
    middle = nearest_to_axes(poses)
    assert middle is not None, "a capture without depth has cameras that look at one place"
    return Views(lenses, poses, cameras.height, cameras.width), middle


def _coloured(
    positions: Float[ndarray, "n 3"],
    instants: Int[ndarray, "n"],
    frames: Float[ndarray, "v t h w 3"],
    cameras: Cameras,
) -> Seeds:
    colors = np.empty_like(positions)
    for instant in np.unique(instants):
        some = instants == instant
        views, _ = _views(cameras, int(instant))
        colors[some] = seen_colors(positions[some], frames[:, instant], views)
    return Seeds(positions, colors, instants)


def _at_seeds(settings: LiftConfig, seeds: Seeds, times: int, key: jax.Array) -> Scene:
    """Return Gaussians at these points, which last until the next instant with points."""
    if settings.motion == "deformation":
        seeds = Seeds(*(x[seeds.instants == seeds.instants.min()] for x in seeds))
    moving = settings.motion == "freetime" and times > 1
    moments = seeds.instants / (times - 1) if moving else None
    return _at_points(settings, seeds.positions, seeds.colors, moments, times, key)


def _at_points(
    settings: LiftConfig,
    positions: Float[ndarray, "n 3"],
    colors: Float[ndarray, "n 3"],
    moments: Float[ndarray, "n"] | None,
    times: int,
    key: jax.Array,
) -> Scene:
    """Return Gaussians at these points, with room up to the capacity."""
    degree = settings.harmonics
    duration = 1 / min(times, INSTANTS)
    scene = at_points(positions, colors, moments=moments, duration=duration, sh_degree=degree)
    if settings.motion == "deformation":
        scene = deforming(scene.gaussians, max(3, times), key)
    return with_room(scene, settings.capacity)
