"""Scores camera paths and lenses that are found in films of rendered worlds; JSON comes last.

    python benchmarks/camera_paths.py [--films 24 --first 0 --rows 256]

Each film has 48 frames in two seconds, of a held-out `rich` world in which things move, with a lens
of 30 to 75 degrees that nobody tells. Its camera rests, turns on its place by 8 to 25 degrees,
travels by .2 to .6 of the first median depth, or is held in a hand. Depth is estimated by our
network. Keys, by kind: medians of `rotation` (degrees, the largest over a film), `direction`
(degrees between the true and the found way; of what travels), `lens` (of the absolute error of the
focal length, where it is known), `agree` (share of the tracks), `seconds` (of the processor; depth
and masks not counted), and how many films are `known` by their lens, and `wrong` about rest, turn
and travel, as are films in which too little that stands still is followed; these have no other
number.
"""

import argparse
import json
import time
from functools import partial
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float

from full4d_jax.geometry import camera_path
from full4d_jax.geometry.arrays import Lens, Maps, Pictures, Poses
from full4d_jax.media.pictures import to_uint8
from full4d_jax.source.depth import any_network
from full4d_jax.source.handheld import find_path
from input_pipeline import pinhole
from input_pipeline.procedural import scene

FRAMES = 48
INSTANTS = 16
SECONDS = 2.0
ASSUMED_FOV = 65.0
# Of the worlds that are held out from training.
FIRST_WORLD = 5000
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
    direction = random.normal(size=3) * [1, 0.4, 1]
    direction /= np.linalg.norm(direction)
    turn = random.normal(size=3) * [0.5, 1, 0.1]
    turn /= np.linalg.norm(turn)
    ease = share + 0.15 * np.sin(2 * np.pi * share)
    if kind == "turn":
        angles += np.radians(random.uniform(8, 25)) * ease[:, None] * turn
    if kind == "travel":
        places += random.uniform(0.2, 0.6) * ease[:, None] * direction
        angles += np.radians(random.uniform(0, 12)) * ease[:, None] * turn
    if kind == "handheld":
        walks = random.normal(size=(12, 6))
        knots = np.linspace(0, 1, 12)
        shake = np.stack([np.interp(share, knots, walk) for walk in walks.T], 1)
        shake = cv2.GaussianBlur(shake, (1, 9), 0, sigmaY=2.5)
        shake -= shake[:1]
        angles += np.radians(0.8) * shake[:, :3] * [1, 1, 0.5]
        places += 0.03 * shake[:, 3:] + 0.1 * share[:, None] * direction
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, :3] = [cv2.Rodrigues(angle)[0] for angle in angles]
    poses[:, :3, 3] = places
    return poses


@partial(jax.jit, static_argnums=(0, 1))
def draw(
    rows: int,
    columns: int,
    index: int,
    lens: Float[Array, "3 3"],
    motion: Float[Array, "t 4 4"],
) -> tuple[Float[Array, "t r q 3"], Float[Array, "t r q"]]:
    """Return pictures in [0, 1] and depth of a world, filmed along a path from its own camera."""
    filmed = scene.sample_filmed_world(
        index, 1, FRAMES, rows, columns, worlds="rich", orbit=True
    )
    start = filmed.camera_to_world[0, 0]
    poses = start @ motion.at[:, :3, 3].multiply(filmed.unit)
    filmed = filmed._replace(intrinsics=lens)
    times = filmed.timestamps[0] + jnp.linspace(0, SECONDS, FRAMES)

    def one(time_and_pose: tuple[Array, Array]) -> tuple[Array, Array]:
        colors, depth, _ = scene.picture(filmed, rows, columns, None, *time_and_pose)
        return colors, depth

    colors, depth = jax.lax.map(one, (times, poses))
    pictures = rearrange(colors, "t c (r q) -> t r q c", r=rows)
    return pictures, rearrange(depth, "t (r q) -> t r q", r=rows) / filmed.unit


def render(kind: str, number: int, rows: int) -> Film:
    """Render a film, from twice as many rows and columns."""
    random = np.random.default_rng([KINDS.index(kind), number])
    columns = round(rows * 16 / 9 / 8) * 8
    fov = random.uniform(30, 75)
    motion = camera_motion(kind, random)
    large = 2 * rows, 2 * columns
    lens = pinhole.intrinsics_from_fov(fov, *large).astype(np.float32)
    index = scene.HELD_OUT_START + FIRST_WORLD + number
    pictures, depth = draw(*large, index, lens, motion.astype(np.float32))
    small = [
        cv2.resize(x, (columns, rows), interpolation=cv2.INTER_AREA)
        for x in np.asarray(pictures)
    ]
    return Film(
        to_uint8(np.stack(small)),
        pinhole.intrinsics_from_fov(fov, rows, columns),
        np.linalg.inv(motion),
        np.asarray(depth)[:, ::2, ::2],
    )


def score(film: Film, kind: str) -> dict[str, float]:
    """Return what is found of a film, as in the module's text."""
    instants = np.arange(0, FRAMES, FRAMES // INSTANTS)
    frames = film.frames[instants]
    rows, columns = frames.shape[1:3]
    gray = np.stack([cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in film.frames])
    still = find_path.still_masks(frames)
    network = any_network.open_network(None)
    disparity = 1 / any_network.as_far(find_path.single_depth(network, frames))
    assumed = pinhole.intrinsics_from_fov(ASSUMED_FOV, rows, columns)
    start = time.process_time()
    everywhere = camera_path.track_points(gray, instants)
    motion = "rest"
    true = film.world_to_camera[instants]
    poses = np.tile(np.eye(4), (len(instants), 1, 1))
    lens = np.nan
    agree = 1.0
    tracks = camera_path.tracks_within(everywhere, still)
    rests = camera_path.rests(everywhere, columns)
    if not rests and camera_path.find_gap(tracks, len(instants), 1) is not None:
        motion = "lost"
        poses = np.full_like(poses, np.nan)
        agree = np.nan
    elif not rests:
        seen = everywhere, still, disparity, assumed
        path = find_path.estimate_path(gray, instants, *seen, known=False)
        motion = path.motion
        poses = path.world_to_camera
        agree = float(path.agree.mean())
        if np.isfinite(path.lens_error):
            lens = abs(path.lens[0, 0] / film.lens[0, 0] - 1)
    seconds = time.process_time() - start
    turns = poses[:, :3, :3] @ true[:, :3, :3].swapaxes(1, 2)
    cosines = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    angles = np.arccos(np.clip(cosines, -1, 1))
    ways = pinhole.centers(poses), pinhole.centers(true)
    farthest = np.linalg.norm(ways[1], axis=1).argmax()
    own, wanted = (x[farthest] for x in ways)
    lengths = np.linalg.norm(own) * np.linalg.norm(wanted)
    cosine = own @ wanted / lengths if lengths else np.nan
    expected = "travel" if kind == "handheld" else kind
    return {
        "rotation": float(np.degrees(angles.max())),
        "direction": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        "lens": lens,
        "agree": agree,
        "seconds": seconds,
        "wrong": float(motion != expected),
    }


def main() -> None:
    """Score all films; print a line for each, and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=24)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    results = {}
    for kind in KINDS:
        scores = []
        for number in range(options.first, options.first + options.films):
            scores.append(score(render(kind, number, options.rows), kind))
            print(kind, number, {k: round(x, 3) for k, x in scores[-1].items()})
        columns = {k: np.array([x[k] for x in scores]) for k in scores[0]}
        for name, values in columns.items():
            known = values[np.isfinite(values)]
            total = name == "wrong"
            each = known.sum() if total else np.median(known) if len(known) else None
            results[f"{kind}_{name}"] = each and round(float(each), 3)
        results[f"{kind}_known"] = int(np.isfinite(columns["lens"]).sum())
    print(json.dumps(results))


if __name__ == "__main__":
    main()
