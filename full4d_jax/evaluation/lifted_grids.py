"""4D Gaussians fitted to a generated grid, scored at cameras *between* the generated ones.

Azimuths of the generated cameras spread over ±45° around the source; the scored ones lie half-way
between neighbours, the source included. With distillation the prior is asked about cameras
half-way between the generated ones too; nothing but the truth of the scores comes from there.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.cameras import cameras_of
from full4d_jax.config import DataConfig
from full4d_jax.evaluation.generated_grids import Judge, fill, known_candidates, shipped_row
from full4d_jax.evaluation.groups import Candidates
from full4d_jax.evaluation.known_clips import KnownClip
from full4d_jax.evaluation.table import DISTILLED, SPLATS
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene

WIDEST = 45.0


def azimuths(views: int) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
    """Return degrees of the generated target cameras and of those between; views - 1 of each."""
    even = np.linspace(-WIDEST, WIDEST, views)
    generated = np.delete(even, (views - 1) // 2)  # the source stands there or near
    stops = np.sort(np.append(generated, 0.0))
    return generated, (stops[1:] + stops[:-1]) / 2


def clips_between(data: DataConfig, scenes: Sequence[int]) -> Iterator[KnownClip]:
    """Yield held-out scenes with the source, the generated cameras, and those between."""
    angles = jnp.asarray(np.concatenate(azimuths(data.views)), jnp.float32)
    shape = {"frames": data.frames, "height": data.height, "width": data.width}
    cameras = {"views": len(angles) + 1, "azimuths": angles}
    make = jax.jit(partial(procedural_scene, worlds=data.worlds, **cameras, **shape))
    for scene in scenes:
        yield KnownClip(scene, make(HELD_OUT_START + scene))


def lift_rows(judge: Judge, clips: Iterable[KnownClip]) -> Iterator[Candidates]:
    """Make rows at the cameras between: fills, prior, and scenes fitted to the other cameras.

    Depth is true.
    """
    config = judge.config
    views = config.data.views
    shipped = shipped_row(config)
    samplers = {shipped: config.sampler}
    for known in clips:
        clip = known.clip
        depth = clip.depth[0]
        _, generated = fill(judge, _choose(known, range(views)), depth, samplers)
        asked = _choose(known, [0, *range(views, 2 * views - 1)])
        projection, rows = fill(judge, asked, depth, samplers)
        frames = to_uint8(np.concatenate([clip.frames[:1], generated[shipped]]))
        generated_cameras = cameras_of(clip).views(slice(views))
        grid = around_source(frames, np.asarray(depth)[None], generated_cameras)
        targets = cameras_of(asked.clip).views(slice(1, None))
        times = np.linspace(0, 1, frames.shape[1])
        for name, distill in {SPLATS: False, DISTILLED: True}.items():
            scene = lift_grid(
                config.lift,
                grid,
                jax.random.key(config.seed),
                prior=judge.prior if distill else None,
            )
            rows[name] = render_views(scene, targets, times) / np.float32(255)
        by_depth = {(row, "true"): pictures for row, pictures in rows.items()}
        yield known_candidates(judge, asked, depth, projection, by_depth)


def _choose(known: KnownClip, views: Sequence[int]) -> KnownClip:
    """Return the clip seen from some of its cameras."""
    arrays = {
        name: getattr(known.clip, name)[np.array(views)]
        for name in ("frames", "depth", "intrinsics", "world_to_camera")
    }
    return known._replace(clip=known.clip._replace(**arrays))
