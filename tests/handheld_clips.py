"""Pictures of a textured room from a camera that moves, with its true path."""

import json
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float
from textured_room import FOV, render, textures

from full4d_jax.media.video_io import write_video
from input_pipeline.pinhole import centers, intrinsics_from_fov, orbit, rigid

HEIGHT, WIDTH, FRAMES = 144, 256, 8
LENS = intrinsics_from_fov(FOV, HEIGHT, WIDTH)


def arc(frames: int = FRAMES) -> np.ndarray:
    """World-to-camera of a camera that goes to the right and up and looks at one place."""
    turn = np.linspace(0, 8, frames)
    return orbit(turn, turn / 2, 1.8, (0.0, 0.0, 0.6))


def shake() -> np.ndarray:
    """World-to-camera of a camera that turns on its place, all ways."""
    s = np.linspace(0, 1, FRAMES)[:, None]
    degrees = [3 * np.sin(5 * s), 6 * s, 2 * np.sin(4 * s)]
    angles = np.radians(np.concatenate(degrees, 1))
    return rigid(np.stack([cv2.Rodrigues(a)[0] for a in angles]), np.zeros((FRAMES, 3)))


def film(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (t h w 3) uint8 and their z-depth (t h w)."""
    walls = textures(0)
    shown = [render(LENS, pose, HEIGHT, WIDTH, walls, np.zeros(8)) for pose in poses]
    pictures, depth = zip(*shown, strict=True)
    return np.stack(pictures), np.stack(depth)


def add_person(frames: np.ndarray, share: float) -> np.ndarray:
    """A thing of six parts over `share` of the width and all rows; each part moves its own way."""
    rng, made = np.random.default_rng(1), frames.copy()
    wide, high = round(share * WIDTH / 2), HEIGHT // 3
    for part in range(6):
        noise = rng.integers(0, 255, (high // 6, wide // 6, 3), np.uint8)
        skin = cv2.resize(noise, (wide, high), interpolation=cv2.INTER_CUBIC)
        phase = rng.uniform(0, 6, 2)
        for i, frame in enumerate(made):
            left = round(30 + part % 2 * wide + 4 * i + 5 * np.sin(1.3 * i + phase[0]))
            top = round(part // 2 * high + 4 * np.sin(1.1 * i + phase[1]))
            left, top = np.clip([left, top], 0, [WIDTH - wide, HEIGHT - high])
            frame[top : top + high, left : left + wide] = skin
    return made


def pose_errors(
    estimated: Float[np.ndarray, "v 4 4"], commanded: Float[np.ndarray, "v 4 4"]
) -> tuple[float, float]:
    """Return median angle (degrees) and distance of cameras after a similarity.

    The centres of both are moved to the origin and divided by their spread; what turns them onto
    one another (orthogonal Procrustes) is found from centres and unit axes of the cameras
    together, since centres on one line would leave it open.
    """
    places = [centers(poses) for poses in (estimated, commanded)]
    spreads = [np.sqrt(((x - x.mean(0)) ** 2).sum(-1).mean()) for x in places]
    scales = [max(spread, 1e-12) for spread in spreads]
    # Rows of R are the axes of a camera in the world.
    clouds = [
        np.concatenate([(x - x.mean(0)) / scale, poses[:, :3, :3].reshape(-1, 3)])
        for x, scale, poses in zip(places, scales, (estimated, commanded), strict=True)
    ]
    u, _, vt = np.linalg.svd(clouds[1].T @ clouds[0])
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    moved = clouds[0] @ turn.T
    count = len(estimated)
    distance = np.linalg.norm(moved[:count] - clouds[1][:count], axis=-1)
    relative = commanded[:, :3, :3] @ turn @ estimated[:, :3, :3].swapaxes(-1, -2)
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return float(np.median(angle)), float(np.median(distance))


def path_error(found: np.ndarray, true: np.ndarray) -> float:
    """Median distance of places as a share of the true path's length, after a similarity."""
    places = centers(true)
    spread = np.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean())
    length = np.linalg.norm(np.diff(places, axis=0), axis=-1).sum()
    return float(pose_errors(found, true)[1] * spread / length)


def write_poses(path: Path, poses: np.ndarray) -> Path:
    """The path of a camera with this lens, in a file of ours."""
    content = {"world_to_camera": poses.tolist(), "intrinsics": LENS.tolist()}
    path.write_text(json.dumps(content | {"image_size": [WIDTH, HEIGHT]}))
    return path


def write_clip(path: Path, poses: np.ndarray) -> Path:
    """A video of 8 frames a second."""
    write_video(path, film(poses)[0], 8)
    return path
