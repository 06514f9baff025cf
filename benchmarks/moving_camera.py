"""Scores the depth of a real camera that moves: what its other photographs show is the truth.

    python benchmarks/moving_camera.py [--rows 128]

The photographs of `fox_photos`, in order of their names, stand for a film. Every fourth is held
out; the others are a source, whose depth our network estimates and a plane sweep of the others
corrects (`stereo_depth`), or does not. A held-out view is drawn from the source's frame some places
before it, with the points that other frames saw behind (`seen_before`), and its holes are filled by
push-pull. PSNR is of all its pixels. One JSON line comes last.
"""

import argparse
import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.film.still_scene import open_photographs
from full4d_jax.generation.projection_guidance import Projection, fill_holes
from full4d_jax.generation.seen_before import seen_before, splat_both
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.geometry.fused_depth import fuse_depth
from full4d_jax.geometry.stereo_depth import stereo_depth
from full4d_jax.grid import Grid, all_real, points_in, seen_in
from full4d_jax.media.pictures import to_model
from full4d_jax.source.depth.estimate import estimate_depth, load_depth
from full4d_jax.source.handheld.path_scale import settle_scale
from input_pipeline.depth_alignment import SparseDepth

HELD_OUT = 4  # every so many
LEAST_ROWS = 64
PLACES = (1, 3, 6)  # between the source's frame and the view that is drawn from it


def main() -> None:
    """Draw the held-out views by both depths and print a row for each number of places."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=128, help="short side of the frames")
    options = parser.parse_args()
    if options.rows < LEAST_ROWS:
        raise SystemExit(f"--rows: found {options.rows}, expected at least {LEAST_ROWS}")
    film = open_photographs(shared_folder() / "data" / "fox_photos", options.rows)
    numbers = np.arange(len(film.times))
    source = taken(film, numbers[numbers % HELD_OUT != 1])
    depth_by_name = {"network": depths(source, swept=False), "swept": depths(source, swept=True)}
    print(f"{'places':8}{'views':>6}" + "".join(f"{name:>10}" for name in depth_by_name))
    results = {}
    for places in PLACES:
        scores = {
            name: score(film, source, *estimate, places) for name, estimate in depth_by_name.items()
        }
        means = {name: round(float(np.mean(x)), 2) for name, x in scores.items()}
        results[str(places)] = means
        values = "".join(f"{x:10.2f}" for x in means.values())
        print(f"{places:<8}{len(scores['swept']):>6}{values}", flush=True)
    print(json.dumps(results))


def taken(film: Grid, numbers: ndarray) -> Grid:
    """Return the source that has these frames alone."""
    assert film.cameras is not None, "photographs have cameras"
    sightings = points_in(film)
    assert sightings is not None, "and points"
    place = {number: i for i, number in enumerate(numbers.tolist())}
    inside = np.isin(sightings.instants, numbers)
    instants, pixels, depth = (values[inside] for values in sightings)
    points = SparseDepth(np.array([place[i] for i in instants.tolist()]), pixels, depth)
    poses = np.asarray(film.cameras.world_to_camera)[:, numbers]
    frames = film.frames[:, numbers]
    return replace(
        film,
        frames=frames,
        origin=all_real(frames),
        times=film.times[numbers],
        cameras=Cameras(film.cameras.intrinsics, poses, *frames.shape[2:4]),
        points=seen_in(0, points),
    )


def depths(source: Grid, *, swept: bool) -> tuple[Float[ndarray, "t h w"], float]:
    """Return depth as `measure_depth` does, with or without the sweep, and its unit."""
    assert source.cameras is not None, "photographs have cameras"
    frames = to_model(source.frames[0])
    known = np.asarray(estimate_depth(load_depth(), frames, still=False))
    depth, unit = settle_scale(source, known, estimated=True)
    lens, path = camera(source, unit)
    if swept:
        depth, share = stereo_depth(source.frames[0], depth, lens, path)
        print(f"the sweep is sure of {share:.0%}")
    depth = drop_depth_edges(jnp.asarray(depth), EDGE)
    poses = jnp.asarray(path, jnp.float32)
    return np.asarray(fuse_depth(frames, depth, jnp.asarray(lens, jnp.float32), poses)), unit


def camera(source: Grid, unit: float) -> tuple[Float[ndarray, "3 3"], Float[ndarray, "t 4 4"]]:
    """Return the lens and the path in units of `unit`."""
    assert source.cameras is not None, "photographs have cameras"
    poses = np.array(source.cameras.world_to_camera[0], np.float64)
    poses[:, :3, 3] /= unit
    return np.asarray(source.cameras.intrinsics[0], np.float64), poses


def score(
    film: Grid, source: Grid, depth: Float[ndarray, "t h w"], unit: float, places: int
) -> list[float]:
    """Return the PSNR of each held-out view that has a frame so many places before it."""
    frames = to_model(source.frames[0])
    lens, path = camera(source, unit)
    truth, poses = film.frames[0], camera(film, unit)[1]
    known = seen_before(frames, jnp.asarray(depth), lens, path)
    numbers, decibels = source.times.astype(int).tolist(), []
    lens = jnp.asarray(lens, jnp.float32)
    for number in range(1, len(truth), HELD_OUT):
        if number - places not in numbers:
            continue
        time = numbers.index(number - places)
        views = [(lens, jnp.asarray(x, jnp.float32)) for x in (path[time], poses[number])]
        drawn = splat_both(frames[time], jnp.asarray(depth[time]), known.at(time), *views)
        filled = fill_holes(Projection(*(x[None, None] for x in drawn)))[0, 0]
        error = np.asarray(filled) / 2 + 0.5 - truth[number] / 255
        decibels.append(float(-10 * np.log10((error**2).mean())))
    return decibels


if __name__ == "__main__":
    main()
