"""How far do people and upright lines lean? Procedural ones against the truth; JSON comes last.

    python benchmarks/tilt.py [--scenes 24 --first 0 --rows 144 --videos FOLDER]

Held-out rich scenes, 4 : 3, in three instants: people of ellipsoids who walk, wave and stand, and
with `--videos` also what moves in its clips, cut out, on upright cards. The shipped network
estimates depth, and then `stand_upright` corrects it, with the true masks and with DeepLab's, and
with up as `camera_up` tells it from lines, or as it is. The tilt of a person is that of the main
axis of its visible points in the y-z plane of the camera; errors are against that of the true
points, in degrees, means and medians over people at least `--least` pixels high whose feet are
seen. With DeepLab's masks these are the points of the subject that covers most of the person, where
it covers more than half, and `covered` is the share of those people.

`lines` are segments of the first picture whose true points are upright to within `PLUMB` degrees:
the angle between up and such a line, in degrees, by the estimate and as `flatten_planes` leaves it,
without up, with up as `camera_up` tells it, and with the true one. Each scene counts alike.
"""

import argparse
import json
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax.media.pictures import to_model
from full4d_jax.source.depth.estimate import estimate_depth, load_depth
from full4d_jax.source.depth.gravity import UP, camera_up
from full4d_jax.source.depth.planes import LEAST_UPRIGHT, flatten_planes, segment_points
from full4d_jax.source.depth.straightness import sample_depth
from full4d_jax.source.depth.upright import stand_upright
from full4d_jax.source.depth.verticals import UprightLines
from full4d_jax.source.subjects import PERSON, Subjects, find_subjects, load_subject_networks
from gaussians.fitting.stillness import camera_moves
from input_pipeline.procedural.looks import NO_PHOTOS, looks_at
from input_pipeline.procedural.rich_world import INSTANCES, PEOPLE
from input_pipeline.procedural.scene import (
    HELD_OUT_START,
    ProceduralClip,
    procedural_scene,
    sample_filmed_world,
)

FRAMES = 3
SLIM = 0.9  # times as wide as high: what is wider is hidden in part
FOUND = 0.5  # of a person's pixels
PLUMB = 3.0  # degrees from up


class Clip(NamedTuple):
    """A clip with truth: frames (t h w 3) sRGB, depth and people's numbers (t h w), cameras, up."""

    frames: ndarray
    depth: ndarray
    people: ndarray
    lens: ndarray
    world_to_camera: ndarray
    up: tuple[float, float, float]


def main() -> None:
    """Measure, print a line for each scene, then the JSON line."""
    options = parser().parse_args()
    looks = looks_at(0, photos="", videos=options.videos, seed=0) if options.videos else NO_PHOTOS
    size = {"height": options.rows, "width": options.rows * 4 // 3}
    draw = partial(procedural_scene, views=1, frames=FRAMES, worlds="rich", looks=looks, **size)
    film = jax.jit(partial(sample_filmed_world, views=1, frames=FRAMES, worlds="rich", **size))
    render = jax.jit(draw)
    network = load_depth()
    subject_networks = load_subject_networks()
    errors: dict[str, list[float]] = {}
    leans: dict[str, list[float]] = {}
    people = covered = 0
    for index in range(options.first, options.first + options.scenes):
        number = jnp.uint32(HELD_OUT_START + index)
        clip = clip_of(render(number), np.asarray(film(number).camera_to_world[0, 0]))
        still = not camera_moves(clip.world_to_camera)
        estimated = np.asarray(estimate_depth(network, to_model(clip.frames), still=still))
        if still:
            score_lines(leans, clip, estimated)
        whole = whole_people(clip.people, options.least)
        true = Subjects(clip.people.astype(np.int32), (PERSON,) * int(clip.people.max()))
        seen = find_subjects(subject_networks, clip.frames, clip.lens, clip.world_to_camera)
        ups = {"lines": camera_up(clip.frames, clip.lens) or UP, "true up": clip.up}
        with_true = {"before": estimated}
        with_seen = {"DeepLab's people, before": estimated}
        for name, up in ups.items():
            with_true[f"true masks, {name}"] = stand_upright(estimated, true, clip.lens, up=up)
            with_seen[f"DeepLab's masks, {name}"] = stand_upright(estimated, seen, clip.lens, up=up)
        for t, person in whole:
            mask = clip.people[t] == person
            score(errors, with_true, clip, t, mask)
            counts = np.bincount(seen.labels[t][mask], minlength=2)
            part = mask & (seen.labels[t] == 1 + counts[1:].argmax())
            people += 1
            if part.sum() > FOUND * mask.sum():
                covered += 1
                score(errors, with_seen, clip, t, part)
        means = ", ".join(f"{name} {np.mean(x):.1f}" for name, x in errors.items())
        print(f"scene {index}: {people} people, mean error so far: {means}", flush=True)
    results = {
        name: {"mean": round(float(np.mean(x)), 2), "median": round(float(np.median(x)), 2)}
        for name, x in errors.items()
    }
    lines = {"scenes": len(leans.get("estimate", ()))}
    lines |= {name: round(float(np.mean(x)), 1) for name, x in leans.items()}
    results |= {"people": people, "covered": round(covered / max(people, 1), 3), "lines": lines}
    print(json.dumps(results))


def score_lines(leans: dict[str, list[float]], clip: Clip, estimated: ndarray) -> None:
    """Add the mean lean of the scene's upright lines, by the name of the depth; none adds none."""
    true_lines = UprightLines(clip.lens, clip.up)
    segments = segment_points(clip.frames[0], clip.depth[0], LEAST_UPRIGHT)
    plumb = [x.points for x in segments if true_lines.lean(*x) < PLUMB]
    if not plumb:
        return
    up = camera_up(clip.frames, clip.lens)
    options = {"still": True, "keep": clip.people > 0}
    depths = {
        "estimate": estimated,
        "without up": flatten_planes(estimated, clip.frames, **options),
    }
    for name, known in {"lines": up and UprightLines(clip.lens, up), "true up": true_lines}.items():
        depths[name] = flatten_planes(estimated, clip.frames, **options, upright_lines=known)
    for name, depth in depths.items():
        degrees = [true_lines.lean(points, sample_depth(depth[0], points)) for points in plumb]
        leans.setdefault(name, []).append(float(np.mean(degrees)))


def score(
    errors: dict[str, list[float]], depths: dict[str, ndarray], clip: Clip, t: int, mask: ndarray
) -> None:
    """Add the errors of the tilt of the points in a mask, by the name of the depth."""
    goal = tilt(clip.depth[t], mask, clip.lens)
    for name, depth in depths.items():
        away = abs(tilt(depth[t], mask, clip.lens) - goal)
        errors.setdefault(name, []).append(min(away, 180 - away))


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description="Scores the tilt of people's depth.")
    options.add_argument("--first", type=int, default=0, help="first held-out scene")
    options.add_argument("--scenes", type=int, default=24)
    options.add_argument("--rows", type=int, default=144)
    options.add_argument("--least", type=int, default=36, help="pixels of a person's height")
    options.add_argument("--videos", default="", help="folder of clips that people are cut out of")
    return options


def clip_of(rendered: ProceduralClip, pose: ndarray) -> Clip:
    """Return what is scored of a rendered scene: its source view, with people and cards.

    Args:
      rendered: the scene.
      pose: camera-to-world of its first frame, in a world whose y points down.
    """
    assert rendered.instances is not None
    numbers = np.asarray(rendered.instances[0])
    cards = np.where(numbers >= INSTANCES, numbers - INSTANCES + PEOPLE + 1, 0)
    return Clip(
        frames=np.asarray(jnp.round(rendered.frames[0] * 255)).astype(np.uint8),
        depth=np.asarray(rendered.depth[0], np.float64),
        people=np.where((numbers > 0) & (numbers <= PEOPLE), numbers, cards),
        lens=np.asarray(rendered.intrinsics[0], np.float64),
        world_to_camera=np.asarray(rendered.world_to_camera[0], np.float64),
        up=tuple(-pose[1, :3].astype(float)),
    )


def whole_people(people: ndarray, least: int) -> list[tuple[int, int]]:
    """Return instants and numbers of the people that are seen from head to foot."""
    whole = []
    for t, labels in enumerate(people):
        for number in np.unique(labels[labels > 0]):
            rows = np.flatnonzero((labels == number).any(1))
            columns = np.flatnonzero((labels == number).any(0))
            slim = len(columns) < SLIM * len(rows)
            inside = rows[0] > 0 and rows[-1] < labels.shape[0] - 1
            if inside and slim and len(rows) >= least:
                whole.append((t, int(number)))
    return whole


def tilt(depth: ndarray, mask: ndarray, lens: ndarray) -> float:
    """Return the angle of the main axis of points in the y-z plane, degrees; 0 along y."""
    rows, columns = np.nonzero(mask & (depth > 0))
    z = depth[rows, columns]
    y = (rows + 0.5 - lens[1, 2]) / lens[1, 1] * z
    points = np.stack([y - np.median(y), z - np.median(z)])
    _, axes = np.linalg.eigh(points @ points.T)
    main = axes[:, -1] * np.sign(axes[0, -1] or 1)
    return float(np.degrees(np.arctan2(main[1], main[0])))


if __name__ == "__main__":
    main()
