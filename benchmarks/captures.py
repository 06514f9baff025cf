"""Captures for `fitting.py`: pictures with cameras, some held out, and depth to start from.

The fox and the splat come with exact depth, for the photos it is found by a plane sweep. Where
nothing is known a random one stands in: seeds all over the volume that the cameras look at.
The world is centred on the point nearest to all optical axes; the unit is the median distance of
the cameras from it.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax.geometry.stereo_depth import sweep
from gaussians import Camera, Gaussians, render
from gaussians.fitting.points import FARTHEST_SHARE, NEAREST_SHARE
from input_pipeline.conventions import to_opencv
from input_pipeline.pinhole import centers, nearest_to_axes, orbit, resize_intrinsics
from input_pipeline.procedural.gltf_scene import gltf_clip

# Two of its cameras decode to this, two have eight more columns on the right.
WALKER_WIDTH = 1080
HIDDEN_AZIMUTHS = (22.5, 200.0)  # of the fox, degrees from the first camera


class Capture(NamedTuple):
    """Pictures of `v` cameras at `t` instants.

    frames: (v t h w 3) in [0, 1].
    depth: (v t h w) to start from, 0 where nothing should be seeded.
    intrinsics: (v 3 3) pixels.
    world_to_camera: (v t 4 4) OpenCV.
    train: (v t), which pictures the fit may see.
    """

    frames: ndarray
    depth: ndarray
    intrinsics: ndarray
    world_to_camera: ndarray
    train: ndarray


def photos(data: Path, height: int) -> Capture:
    """`fox_photos`, undistorted; every 8th is held out."""
    folder = data / "fox_photos"
    transforms = json.loads((folder / "transforms.json").read_text())
    lens = np.array(
        [
            [transforms["fl_x"], 0, transforms["cx"]],
            [0, transforms["fl_y"], transforms["cy"]],
            [0, 0, 1],
        ]
    )
    bent = np.array([transforms[name] for name in ("k1", "k2", "p1", "p2")])
    shots = sorted(transforms["frames"], key=lambda shot: shot["file_path"])
    pictures = [_picture(folder / shot["file_path"]) for shot in shots]
    poses = to_opencv(np.array([shot["transform_matrix"] for shot in shots]), "opengl")
    frames, lens = _shrunk(
        [cv2.undistort(p, lens, bent) for p in pictures], lens, height
    )
    v = len(shots)
    poses = _centred(poses)[:, None]
    train = np.arange(v) % 8 != 0
    lenses = np.stack([lens] * v)
    depth = np.zeros(frames.shape[:3], np.float32)
    depth[train] = sweep(
        frames[train], lenses[train], poses[train, 0], NEAREST_SHARE, FARTHEST_SHARE
    )
    return Capture(frames[:, None], depth[:, None], lenses, poses, train[:, None])


def splat(scene: Gaussians, height: int) -> Capture:
    """A finished scene from 24 cameras around it, 6 between them held out; black background."""
    means = np.asarray(scene.means)
    low, high = np.quantile(means, [0.02, 0.98], axis=0)
    middle = (low + high) / 2
    size = np.linalg.norm(high - low)
    spots = np.arange(30)
    azimuths = spots * 360 * 0.381966
    elevations = -60 + 120 * (spots + 0.5) / 30
    poses = orbit(azimuths, elevations, 1.0, pivot=(0.0, 0.0, 0.0)).astype(np.float32)
    moved = scene._replace(
        means=(scene.means - middle[None].astype(np.float32)) / np.float32(size),
        log_scales=scene.log_scales - np.float32(np.log(size)),
    )
    lens = np.array(
        [[height, 0, height / 2], [0, height, height / 2], [0, 0, 1]], np.float32
    )
    shots = [
        render(moved, Camera(jnp.asarray(pose), jnp.asarray(lens), height, height))
        for pose in poses
    ]
    frames = np.clip(np.stack([np.asarray(shot.rgb) for shot in shots]), 0, 1)[:, None]
    seen = np.stack([np.asarray(shot.alpha) > 0.5 for shot in shots])[:, None]
    depth = np.stack([np.asarray(shot.depth) for shot in shots])[:, None] * seen
    train = (spots % 5 != 2)[:, None]
    return Capture(frames, depth, np.stack([lens] * 30), poses[:, None], train)


def fox(data: Path, height: int, instants: int) -> Capture:
    """`Fox.glb` running, cast by rays at 8 cameras around it; odd instants and 2 more held out."""
    clip = gltf_clip(
        data / "gltf" / "Fox.glb",
        animation="Run",
        start=0.0,
        interval=0.7 / instants,
        source_azimuth=50.0,
        target_azimuths=(*range(45, 360, 45), *HIDDEN_AZIMUTHS),
        frames=instants,
        height=height,
        width=height,
    )
    train = np.zeros((10, instants), bool)
    train[:8, ::2] = True
    return Capture(
        frames=np.asarray(clip.frames, np.float32),
        depth=np.asarray(clip.depth, np.float32),
        intrinsics=np.asarray(clip.intrinsics, np.float32),
        world_to_camera=np.asarray(clip.world_to_camera, np.float32),
        train=train,
    )


def walker(data: Path, height: int, instants: int) -> Capture:
    """`pose2sim`, four cameras; every 2nd of its frames from number 20, odd instants held out."""
    folder = data / "pose2sim"
    table = json.loads((folder / "cameras_opencv.json").read_text())["cameras"]
    clips = []
    lenses = []
    poses = []
    for camera in table:
        lens = np.array(camera["K"])
        bent = np.array(camera["dist_k1k2p1p2_over64"])
        video = cv2.VideoCapture(str(folder / f"{camera['name']}.mp4"))
        read = [video.read()[1] for _ in range(20 + 2 * instants)]
        if read[-1] is None:
            count = sum(picture is not None for picture in read)
            most = (
                f"{(count - 20) // 2} of {instants} instants" if count > 20 else "none"
            )
            raise ValueError(f"{camera['name']}.mp4: {count} frames, which hold {most}")
        pictures = [picture[:, :WALKER_WIDTH] for picture in read[20::2]]
        frames, lens = _shrunk(
            [cv2.undistort(p, lens, bent) for p in pictures], lens, height
        )
        clips.append(frames)
        lenses.append(lens)
        poses.append(np.array(camera["w2c"]))
    frames = np.stack(clips)
    world_to_camera = np.repeat(_centred(np.array(poses))[:, None], instants, 1)
    depth = random_depth(world_to_camera, frames.shape[:4], np.zeros(3))
    train = np.zeros(frames.shape[:2], bool)
    train[:, ::2] = True
    return Capture(frames, depth, np.stack(lenses), world_to_camera, train)


def random_depth(
    world_to_camera: ndarray, shape: tuple[int, ...], middle: ndarray
) -> ndarray:
    """Draw log-uniform depth (v t h w) for every pixel, the same at all instants."""
    distance = np.linalg.norm(centers(world_to_camera) - middle, axis=-1)[
        ..., None, None
    ]
    rng = np.random.default_rng(0)
    share = np.exp(
        rng.uniform(
            np.log(NEAREST_SHARE), np.log(FARTHEST_SHARE), (shape[0], 1, *shape[2:])
        )
    )
    return (distance * share).astype(np.float32)


def _picture(path: Path) -> ndarray:
    """Rows, columns and channels, as OpenCV reads them; raises ValueError where it cannot."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path}: no picture")
    return picture


def _shrunk(
    pictures: list[ndarray], lens: ndarray, height: int
) -> tuple[ndarray, ndarray]:
    """Pictures of `height` rows as floats, and their intrinsics."""
    rows, columns = pictures[0].shape[:2]
    width = round(columns * height / rows)
    small = [
        cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures
    ]
    lens = resize_intrinsics(lens, rows=height / rows, columns=width / columns)
    return np.stack(small)[..., ::-1].astype(np.float32) / 255, lens.astype(np.float32)


def _centred(world_to_camera: ndarray) -> ndarray:
    """Return the cameras (v 4 4) in the world of this module."""
    middle = nearest_to_axes(world_to_camera)
    unit = np.median(np.linalg.norm(centers(world_to_camera) - middle, axis=1))
    moved = world_to_camera.copy()
    moved[:, :3, 3] = (moved[:, :3, 3] + moved[:, :3, :3] @ middle) / unit
    return moved.astype(np.float32)
