"""Scores still points of other instants on held-out rich scenes: a table, and one JSON line last.

    python benchmarks/seen_before.py [--first 64 --scenes 24 --angle 30 --rows 128]
                                     [--travel 20 --depth_network ours]

Each scene is a clip of 2 s, 16 instants, with 3 targets within the angle. Its source stands still,
or goes on an arc of `--travel` degrees around the targets' pivot, with a known path. Depth is true,
or a network's, aligned to 200 points of every frame and fused as for a video (`path_scale`,
`fused_depth`). With and without `generation.seen_before`: the share of target pixels that are
holes, and the PSNR after push-pull of all pixels, of those that one frame's true depth does not
reach (unseen), and of those that the known points reached.
"""

import argparse
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int

from full4d_jax.generation.projection_guidance import Projection, fill_holes
from full4d_jax.generation.seen_before import Known, seen_before, splat_both
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.geometry.fused_depth import fuse_depth
from full4d_jax.geometry.stereo_depth import stereo_depth
from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.clip_depth import AnyNetwork, source_depth
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.handheld.path_scale import align_to_points
from input_pipeline.depth_alignment import SparseDepth
from input_pipeline.procedural.scene import HELD_OUT_START, picture, sample_filmed_world

TARGETS, INSTANTS = 3, 16
SHOWN = 4  # instants that are scored
POINTS = 200  # of a frame, whose depth is known


def main() -> None:
    """Score scene after scene and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=64, help="first held-out scene")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes")
    parser.add_argument("--angle", type=float, default=30.0, help="widest azimuth, degrees")
    parser.add_argument("--travel", type=float, default=0.0, help="of the source, degrees")
    parser.add_argument("--rows", type=int, default=128, help="rows and columns of a frame")
    parser.add_argument("--depth_network", help="ours or a file, instead of true depth")
    options = parser.parse_args()
    for name, low in (("first", 0), ("scenes", 1), ("rows", 8)):
        if getattr(options, name) < low:
            raise SystemExit(f"--{name}: found {getattr(options, name)}, expected at least {low}")
    try:
        network = open_network(options.depth_network) if options.depth_network else None
    except InputError as error:
        raise SystemExit(str(error)) from None
    scores = []
    with Progress("scenes", options.scenes) as report:
        for number in range(options.scenes):
            scene = options.first + number
            key = jax.random.fold_in(jax.random.key(1), scene)
            angles = jax.random.uniform(
                key, (TARGETS,), minval=-options.angle, maxval=options.angle
            )
            clip = render(options.rows, HELD_OUT_START + scene, angles, options.travel)
            scores.append(measure(network, *clip))
            report(number + 1)
    means = {name: round(float(np.nanmean([x[name] for x in scores])), 4) for name in scores[0]}
    for name, value in means.items():
        print(f"{name:24} {value}")
    print(json.dumps({"scenes": len(scores), **means}))


@partial(jax.jit, static_argnums=0)
def render(
    rows: int, index: Array, azimuths: Float[Array, "n"], travel: Array
) -> tuple[Float[Array, "n h w 3"], Float[Array, "n h w"], Array, Float[Array, "n 4 4"]]:
    """Return pictures, depth, lens and poses: the source's instants, then those of the targets.

    The source goes on an arc of `travel` degrees around the targets' pivot.
    """
    arc = travel * jnp.arange(1, INSTANTS) / (INSTANTS - 1)
    angles = jnp.concatenate([arc, azimuths])
    size = {"height": rows, "width": rows}
    settings = {"views": 1 + len(angles), "frames": INSTANTS, "orbit": True, "worlds": "rich"}
    filmed = sample_filmed_world(index, azimuths=angles, **size, **settings)
    places = filmed.camera_to_world[:, 0]
    path = jnp.where(travel > 0, places[:INSTANTS], places[:1])
    poses = jnp.concatenate([path, jnp.repeat(places[INSTANTS:], SHOWN, 0)])
    times = jnp.concatenate([jnp.arange(INSTANTS), jnp.tile(instants(), TARGETS)])

    def one(time_and_pose: tuple[Array, Array]) -> tuple[Array, Array]:
        return picture(filmed, rows, rows, None, *time_and_pose)[:2]

    colours, depth = jax.lax.map(one, (filmed.timestamps[times], poses))
    colours = rearrange(colours, "n c (h w) -> n h w c", h=rows)
    depth = rearrange(depth, "n (h w) -> n h w", h=rows) / filmed.unit
    moved = jnp.linalg.inv(poses) @ poses[:1]
    moved = moved.at[:, :3, 3].divide(filmed.unit)
    return colours, depth, filmed.intrinsics, moved


def instants() -> Int[Array, " s"]:
    """Return the instants that are scored."""
    return jnp.linspace(0, INSTANTS - 1, SHOWN).astype(int)


def measure(
    network: AnyNetwork | None,
    colours: Float[Array, "n h w 3"],
    depth: Float[Array, "n h w"],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "n 4 4"],
) -> dict[str, float]:
    """Return the scores of one scene, whose pictures `render` made."""
    frames, truth = 2 * colours[:INSTANTS] - 1, colours[INSTANTS:]
    true, path = depth[:INSTANTS], poses[:INSTANTS]
    maps = true if network is None else estimated(network, frames, true, lens, path)
    known = seen_before(frames, maps, lens, path)
    nothing = known._replace(hidden=jnp.zeros_like(known.hidden))
    inputs = frames, maps, lens, poses
    both, without = draw(known, *inputs), draw(nothing, *inputs)
    unseen = draw(nothing, frames, true, lens, poses).mask == 0
    reached = both.mask > without.mask
    error = jnp.abs(maps / true - 1).mean(where=maps > 0)
    scores = {"absrel": error, "holes_without": 1 - without.mask.mean()}
    scores |= {"holes": 1 - both.mask.mean(), "reached": reached.mean()}
    for name, projection in (("_without", without), ("", both)):
        error = ((fill_holes(projection)[0] / 2 + 0.5 - truth) ** 2).mean(-1)[None]
        for where, mask in (("", None), ("_unseen", unseen), ("_reached", reached)):
            scores[f"psnr{where}{name}"] = -10 * jnp.log10(error.mean(where=mask))
    return jax.tree.map(float, scores)


def estimated(
    network: AnyNetwork,
    frames: Float[Array, "t h w 3"],
    true: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    path: Float[Array, "t 4 4"],
) -> Float[Array, "t h w"]:
    """Return a network's depth of a source, as a video's would be with such a path."""
    still = bool((path == path[:1]).all())
    instants = np.repeat(np.arange(INSTANTS), POINTS)
    pixels = np.random.default_rng(0).uniform(0, true.shape[1], (len(instants), 2))
    column, row = pixels.astype(int).T
    points = SparseDepth(instants, pixels, np.asarray(true)[instants, row, column].astype(float))
    maps = np.asarray(source_depth(network, frames, still=still))
    maps = align_to_points(maps, points, estimated=True)
    if not still:
        shown = (np.asarray(frames) * 127.5 + 127.5).astype(np.uint8)
        maps, _ = stereo_depth(shown, maps, np.asarray(lens), np.asarray(path, np.float64))
    dropped = drop_depth_edges(jnp.asarray(maps), EDGE)
    return dropped if still else fuse_depth(frames, dropped, lens, path)


@jax.jit
def draw(
    known: Known,
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    lens: Float[Array, "3 3"],
    poses: Float[Array, "n 4 4"],
) -> Projection:
    """Return the projection into the targets, one after the other."""
    times = jnp.tile(instants(), TARGETS)

    def one(place: tuple[Array, Array]) -> tuple[Array, ...]:
        time, pose = place
        return splat_both(
            frames[time], depth[time], known.at(time), (lens, poses[time]), (lens, pose)
        )

    made = jax.lax.map(one, (times, poses[INSTANTS:]))
    return Projection(*(x[None] for x in made))


if __name__ == "__main__":
    main()
