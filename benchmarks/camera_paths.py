"""Scores camera paths and lenses that are found in films of rendered worlds; JSON comes last.

    python benchmarks/camera_paths.py [--films 24 --first 0 --rows 256]

Each film has 48 frames in two seconds, of a held-out `rich` world in which things move, with a lens
of 30 to 75 degrees that nobody tells. Its camera rests, turns on its place by 8 to 25 degrees,
travels by .2 to .6 of the first median depth, or is held in a hand. Keys, by kind: medians of
`rotation` (degrees, the largest over a film), `direction` (degrees between the true and the found
way), `lens` (ratio of focal lengths less 1, absolute; null where unknown) and `agree` (share of
tracks); and `wrong`: films whose camera rests, turns or travels when it does not.
"""

from functools import partial
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.geometry.arrays import Lens, Maps, Pictures, Poses
from full4d_jax.media.pictures import to_uint8
from input_pipeline import pinhole
from input_pipeline.procedural import scene

FRAMES = 48
SECONDS = 2.0
KINDS = ("rest", "turn", "travel", "handheld")


class Film(NamedTuple):
    """A rendered film; depth in units of the first median, poses relative to the first."""

    frames: Pictures
    lens: Lens
    world_to_camera: Poses
    depth: Maps


def camera_motion(kind: str, random: np.random.Generator) -> Poses:
    """Return camera-to-first-camera of every frame, in first median depths."""
    share = np.linspace(0, 1, FRAMES)
    angles = np.zeros((FRAMES, 3))
    places = np.zeros((FRAMES, 3))
    way = random.normal(size=3) * [1, 0.4, 1]
    way /= np.linalg.norm(way)
    turn = random.normal(size=3) * [0.5, 1, 0.1]
    turn /= np.linalg.norm(turn)
    ease = share + 0.15 * np.sin(2 * np.pi * share)
    if kind == "turn":
        angles += np.radians(random.uniform(8, 25)) * ease[:, None] * turn
    if kind == "travel":
        places += random.uniform(0.2, 0.6) * ease[:, None] * way
        angles += np.radians(random.uniform(0, 12)) * ease[:, None] * turn
    if kind == "handheld":
        walks = random.normal(size=(12, 6))
        knots = np.linspace(0, 1, 12)
        shake = np.stack([np.interp(share, knots, walk) for walk in walks.T], 1)
        shake = cv2.GaussianBlur(shake, (1, 9), 0, sigmaY=2.5)
        shake -= shake[:1]
        angles += np.radians(0.8) * shake[:, :3] * [1, 1, 0.5]
        places += 0.03 * shake[:, 3:] + 0.1 * share[:, None] * way
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, :3] = [cv2.Rodrigues(angle)[0] for angle in angles]
    poses[:, :3, 3] = places
    return poses


@partial(jax.jit, static_argnums=(0, 1))
def _draw(rows, columns, index, lens, motion):
    filmed = scene.sample_filmed_world(
        index, 1, FRAMES, rows, columns, worlds="rich", orbit=True
    )
    start = filmed.camera_to_world[0, 0]
    motion = motion.at[:, :3, 3].multiply(filmed.unit)
    filmed = filmed._replace(intrinsics=lens)
    times = filmed.timestamps[0] + jnp.linspace(0, SECONDS, FRAMES)

    def one(time_and_pose):
        colors, depth, _ = scene.picture(filmed, rows, columns, None, *time_and_pose)
        return colors, depth

    colors, depth = jax.lax.map(one, (times, start @ motion))
    pictures = colors.reshape(FRAMES, 3, rows, columns).transpose(0, 2, 3, 1)
    return pictures, depth.reshape(FRAMES, rows, columns) / filmed.unit


def render(kind: str, number: int, rows: int) -> Film:
    """Render a film, from twice as many rows and columns."""
    random = np.random.default_rng([KINDS.index(kind), number])
    columns = round(rows * 16 / 9 / 8) * 8
    fov = random.uniform(30, 75)
    motion = camera_motion(kind, random)
    lens = pinhole.intrinsics_from_fov(fov, 2 * rows, 2 * columns)
    index = scene.HELD_OUT_START + 5000 + number
    pictures, depth = _draw(
        2 * rows,
        2 * columns,
        index,
        jnp.asarray(lens, jnp.float32),
        jnp.asarray(motion, jnp.float32),
    )
    small = [
        cv2.resize(x, (columns, rows), interpolation=cv2.INTER_AREA)
        for x in np.asarray(pictures)
    ]
    lens = pinhole.intrinsics_from_fov(fov, rows, columns)
    return Film(
        to_uint8(np.stack(small)),
        lens,
        np.linalg.inv(motion),
        np.asarray(depth)[:, ::2, ::2],
    )
