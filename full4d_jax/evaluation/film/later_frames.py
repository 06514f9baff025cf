"""Scores of what is made of a clip's first frame against its later frames.

Frames in one range of angles from the source are a group of `groups.evaluate_groups`. The
candidates are the source copied, its projection filled by push-pull, the cascade, which is what
`full4d sample` makes of a video of this one frame at these cameras, and if asked for the scene that
is fitted to the cascade's frames, rendered there.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.baselines import copy_source
from full4d_jax.evaluation.fidelity import Regions
from full4d_jax.evaluation.film.still_scene import EDGES, WIDEST, StillFilm, open_film, ranges
from full4d_jax.evaluation.generated_grids import Judge, identity
from full4d_jax.evaluation.groups import Candidates, Frames, Group, evaluate_groups
from full4d_jax.evaluation.score_lines import open_lines
from full4d_jax.evaluation.table import CASCADE, COPY, FITTED, PUSH_PULL
from full4d_jax.generation.cascade import Upsampler, generate_large, in_parts
from full4d_jax.generation.projection_guidance import fill_holes
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.scene.fit_settings import sized_for
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.session.progress import Progress
from full4d_jax.source.options import VideoOptions
from input_pipeline.importers.camera_path import path_files


def evaluate_film(
    judge: Judge, upsampler: Upsampler, folder: Path, options: VideoOptions, *, lifted: bool
) -> None:
    """Score a clip, frame by frame, and write the page.

    Args:
      judge: the models under evaluation.
      upsampler: brings the prior's frames to full size.
      folder: for the results.
      options: the clip, its poses and its size.
      lifted: whether a scene is fitted too, which is slow.

    Raises:
      InputError: the clip is unusable, or the folder holds another evaluation.
    """
    mark = _mark(judge, upsampler, options, lifted=lifted)
    open_lines(folder / "scores.jsonl", mark)  # refuses another evaluation before the work
    film = open_film(judge.config, options, judge.depth)

    @cache
    def generated() -> tuple[dict[str, Frames], Float[np.ndarray, "n 1 h w"]]:
        return generate_film_rows(judge, upsampler, film, lifted=lifted)

    def candidates(instants: Sequence[int]) -> Iterator[Candidates]:
        rows, seen = generated()
        for instant in instants:
            yield frame_candidates(film, rows, seen, instant, judge.depth_name)

    groups = []
    for name, members in ranges(film.angles.tolist()).items():
        widest_first = sorted(members, key=lambda i: -film.angles[i])
        groups.append(Group(name, [film.instants[i] for i in widest_first], candidates))
    evaluate_groups(
        folder,
        groups,
        judge.distances,
        mark=mark,
        shipped=CASCADE,
        preface=_preface(film, options.video.stem, judge.depth_name),
        caption="The widest later frames of each range of angles",
    )


def _mark(judge: Judge, upsampler: Upsampler, options: VideoOptions, *, lifted: bool) -> str:
    """Return a mark of everything that scores depend on."""
    video = options.video
    poses = options.poses
    files = [video, *(path_files(poses) if poses else [])]
    if video.is_dir():
        files = sorted(path for path in video.rglob("*") if path.is_file())
    inputs = {
        "clip": files,
        "upsampler": upsampler.path,
        "start": options.start,
        "fov": options.fov,
        "size": options.size,
        "lifted": lifted,
        "ranges": EDGES,
    }
    return identity(judge, inputs)


def _preface(film: StillFilm, name: str, network: str) -> str:
    """Return the head of the page."""
    beyond = f" ({film.left_out} more lie beyond {WIDEST:g} degrees)" * (film.left_out > 0)
    return (
        f"# `{name}` against its own later frames\n\n"
        f"The source is the first frame, the truth {len(film.instants)} later ones{beyond}: "
        f"{film.grid.about.note}. Below they are grouped by the angle between the cameras, seen "
        "from the scene. A pixel is seen where the projection of the source by its estimated depth "
        f"(network: {network}) has a point."
    )


def generate_film_rows(
    judge: Judge, upsampler: Upsampler, film: StillFilm, *, lifted: bool
) -> tuple[dict[str, Frames], Float[np.ndarray, "n 1 h w"]]:
    """Return the frames of every row at the cameras of the truth, and which pixels are seen."""
    source = film.grid.frames[0]
    depth = jnp.asarray(film.grid.depth)[:1]
    cameras = jax.tree.map(jnp.asarray, film.grid.known_cameras)
    key = jax.random.key(judge.config.seed)
    prior = in_parts(judge.prior, DEFAULT.data)
    grid, projection = generate_large(prior, upsampler, to_model(source)[None], depth, cameras, key)
    rows = {
        COPY: copy_source(source / np.float32(255), len(film.instants)),
        PUSH_PULL: to_unit(jax.jit(fill_holes)(projection)),
        CASCADE: to_unit(grid[1:]),
    }
    if lifted:
        settings = judge.config.lift
        lifted_grid = around_source(
            to_uint8(to_unit(grid)), np.asarray(depth), film.grid.known_cameras
        )
        with Progress("fitting", sized_for(settings, lifted_grid).steps) as report:
            scene = lift_grid(settings, lifted_grid, key, report=report)
        targets = cameras.views(slice(1, None))
        rows[FITTED] = render_views(scene, targets, np.zeros(1)) / np.float32(255)
    return rows, np.asarray(projection.mask)


def frame_candidates(
    film: StillFilm,
    rows: dict[str, Frames],
    seen: Float[np.ndarray, "n 1 h w"],
    instant: int,
    network: str,
) -> Candidates:
    """Return all rows at one later frame."""
    at = [film.instants.index(instant)]
    truth = film.grid.frames[1:][at]
    here = {name: frames[at] for name, frames in rows.items()}
    return Candidates(
        scene=instant,
        truth=truth / np.float32(255),
        regions=Regions(unseen=1 - seen[at], seen=seen[at]),
        rows={(name, "none" if name == COPY else network): x for name, x in here.items()},
        details={"angle": float(film.angles[at[0]])},
        pictures={"source": film.grid.frames[0, 0], "truth": truth[0, 0]}
        | {name: to_uint8(frames[0, 0]) for name, frames in here.items()},
    )
