"""What hidden points are worth, on held-out rich scenes: a table, and one JSON line last.

    python benchmarks/seen_before.py [--first 64 --scenes 24 --angle 30 --rows 128]

Each scene is a clip of 2 s, 16 instants, with true depth, and 3 targets within the angle. With and
without hidden points (`generation.seen_before`): the share of target pixels that are holes, and the
PSNR after push-pull of all pixels, and of those that hidden points reached.
"""

import argparse
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.generation.projection_guidance import Projection, fill_holes
from full4d_jax.generation.seen_before import Hidden, seen_before, splat_both
from full4d_jax.session.progress import Progress
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene

TARGETS, INSTANTS = 3, 16
SHOWN = 4  # instants that are scored


def main() -> None:
    """Score scene after scene and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=64, help="first held-out scene")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes")
    parser.add_argument("--angle", type=float, default=30.0, help="widest azimuth, degrees")
    parser.add_argument("--rows", type=int, default=128, help="rows and columns of a frame")
    options = parser.parse_args()
    found = []
    with Progress("scenes", options.scenes) as report:
        for number in range(options.scenes):
            scene = options.first + number
            key = jax.random.fold_in(jax.random.key(1), scene)
            angles = jax.random.uniform(
                key, (TARGETS,), minval=-options.angle, maxval=options.angle
            )
            scores = measure(options.rows, HELD_OUT_START + scene, angles)
            found.append(jax.tree.map(float, scores))
            report(number + 1)
    reached = [x for x in found if x["reached"] > 0]
    means = {name: round(float(np.mean([x[name] for x in found])), 4) for name in found[0]}
    for name in ("psnr_reached_without", "psnr_reached"):
        means[name] = round(float(np.mean([x[name] for x in reached])), 3)
    for name, value in means.items():
        print(f"{name:24} {value}")
    print(json.dumps({"scenes": len(found), "scenes_reached": len(reached), **means}))


@partial(jax.jit, static_argnums=0)
def measure(rows: int, index: Array, azimuths: Float[Array, "n"]) -> dict[str, Float[Array, ""]]:
    """Return the scores of one scene."""
    clip = procedural_scene(
        index,
        views=1 + TARGETS,
        frames=INSTANTS,
        azimuths=azimuths,
        height=rows,
        width=rows,
        worlds="rich",
        orbit=True,
    )
    frames, depth, poses = 2 * clip.frames[0] - 1, clip.depth[0], clip.world_to_camera
    hidden = seen_before(frames, depth, poses[0])
    nothing = hidden._replace(depth=jnp.zeros_like(depth))
    at = jnp.linspace(0, INSTANTS - 1, SHOWN).astype(int)
    truth = clip.frames[1:, at]

    def drawn(hidden: Hidden) -> Projection:
        def one(target: Array, time: Array) -> tuple[Array, ...]:
            motion = poses[target, time] @ jnp.linalg.inv(poses[0, time])
            below = hidden.frame, hidden.depth[time]
            lenses = clip.intrinsics[0], motion, clip.intrinsics[target]
            return splat_both(frames[time], depth[time], below, *lenses)

        each = jnp.meshgrid(1 + jnp.arange(TARGETS), at, indexing="ij")
        made = jax.lax.map(lambda x: one(*x), [x.ravel() for x in each])
        return Projection(*(x.reshape(TARGETS, SHOWN, *x.shape[1:]) for x in made))

    with_hidden, without = drawn(hidden), drawn(nothing)
    reached = with_hidden.mask - without.mask
    scores = {"holes_without": 1 - without.mask.mean(), "holes": 1 - with_hidden.mask.mean()}
    scores["reached"] = reached.mean()
    for name, projection in (("_without", without), ("", with_hidden)):
        error = ((fill_holes(projection) / 2 + 0.5 - truth) ** 2).mean(-1)
        scores[f"psnr{name}"] = -10 * jnp.log10(error.mean())
        scores[f"psnr_reached{name}"] = -10 * jnp.log10(error.mean(where=reached > 0))
    return scores


if __name__ == "__main__":
    main()
