"""Scores of what is made of a clip's first frame against its later frames.

scores.jsonl     a line for each later frame (`score_lines`); the same command goes on behind it
evaluation.md    tables by the angle from the source (`film.page`)
evaluation.json  the same for programs
CLIP.png         one later frame for each range of angles

The rows are the source copied, its projection filled by push-pull, the cascade, which is what
`full4d sample` makes of a video of this one frame at these cameras, and if asked for the scene that
is fitted to the cascade's frames, rendered there.
"""

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.config import DEFAULT
from full4d_jax.evaluation.baselines import copy_source
from full4d_jax.evaluation.film.clip import WIDEST, Film, open_film
from full4d_jax.evaluation.film.page import draw, markdown, summary
from full4d_jax.evaluation.held_out import Judge, identity
from full4d_jax.evaluation.score_lines import append_lines, missing, open_lines
from full4d_jax.evaluation.table import COPY, PUSH_PULL
from full4d_jax.generation.cascade import Upsampler, generate_large, in_parts
from full4d_jax.generation.projection_guidance import fill_holes
from full4d_jax.grid import around_source
from full4d_jax.media import metrics
from full4d_jax.media.pictures import save_picture, to_uint8, to_unit
from full4d_jax.scene.fit_settings import sized_for
from full4d_jax.scene.renders import render_views
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.session.progress import Progress
from full4d_jax.source.options import VideoOptions
from input_pipeline.importers.camera_path import path_files
from input_pipeline.whole_files import write_text

CASCADE = "cascade"
SCENE = "scene fitted to the cascade"
Targets = Float[np.ndarray, "n h w 3"]
Made = dict[str, Targets]  # by row, [0, 1]


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
    path = folder / "scores.jsonl"
    name = options.video.stem
    lines = open_lines(path, mark)
    film = open_film(judge.config, options, judge.depth)
    left = missing(lines, name, film.instants)
    if left:
        made, seen = generate_rows(judge, upsampler, film, lifted=lifted)
        save_picture(folder / f"{name}.png", draw(film, made))
        with Progress("score", len(left)) as report:
            for done, instant in enumerate(left, 1):
                at = film.instants.index(instant)
                scores = score_frame(judge, film, made, seen, at)
                append_lines(path, [{"group": name, "scene": instant} | scores])
                report(done)
    lines = open_lines(path, mark)
    page = markdown(lines, name, _preface(film, judge.depth_name, mark))
    write_text(folder / "evaluation.md", page)
    write_text(folder / "evaluation.json", json.dumps(summary(lines, name), indent=1))
    print(page)
    print(f"wrote {folder}/evaluation.md, evaluation.json; look at {name}.png")


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
    }
    return identity(judge, inputs)


def _preface(film: Film, network: str, mark: str) -> str:
    """Return the head of the page."""
    beyond = f" ({film.left_out} more lie beyond {WIDEST:g} degrees)" * (film.left_out > 0)
    return (
        f"The source is the first frame, the truth {len(film.truth)} later ones{beyond}: "
        f"{film.note}. Angles are between the cameras, seen from the scene. A pixel is seen where "
        f"the projection of the source by its estimated depth (network: {network}) has a point. "
        f"Weights and settings: `{mark}`."
    )


def generate_rows(
    judge: Judge, upsampler: Upsampler, film: Film, *, lifted: bool
) -> tuple[Made, Float[np.ndarray, "n h w"]]:
    """Return the frames of every row at the cameras of the truth, and which pixels are seen."""
    frames = jnp.asarray(2 * film.source - 1)[None, None]
    depth = jnp.asarray(film.depth)[None, None]
    cameras = jax.tree.map(jnp.asarray, film.cameras)
    key = jax.random.key(judge.config.seed)
    prior = in_parts(judge.prior, DEFAULT.data)
    grid, projection = generate_large(prior, upsampler, frames, depth, cameras, key)
    views = len(film.truth)
    rows = {
        COPY: copy_source(film.source[None], views)[:, 0],
        PUSH_PULL: to_unit(jax.jit(fill_holes)(projection))[:, 0],
        CASCADE: to_unit(grid[1:])[:, 0],
    }
    if lifted:
        settings = judge.config.lift
        lifted_grid = around_source(to_uint8(to_unit(grid)), np.asarray(depth), film.cameras)
        with Progress("fitting", sized_for(settings, lifted_grid).steps) as report:
            scene = lift_grid(settings, lifted_grid, key, report=report)
        targets = cameras.views(slice(1, None))
        rows[SCENE] = render_views(scene, targets, np.zeros(1))[:, 0] / np.float32(255)
    return rows, np.asarray(projection.mask)[:, 0]


def score_frame(
    judge: Judge, film: Film, made: Made, seen: Float[np.ndarray, "n h w"], at: int
) -> dict[str, Any]:
    """Return the scores of all rows at one later frame."""
    distance = judge.distances.get("lpips")
    truth = film.truth[at : at + 1]
    mask = seen[at : at + 1]

    def scores(image: Targets) -> dict[str, float | None]:
        values = {
            "psnr": float(metrics.psnr(image, truth)),
            "ssim": float(metrics.ssim(image, truth)),
            "psnr_seen": float(metrics.psnr(image, truth, mask)),
            "psnr_unseen": float(metrics.psnr(image, truth, 1 - mask)),
        }
        if distance is not None:
            values["lpips"] = metrics.lpips(distance, image, truth)
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    rows = [{"row": name, **scores(frames[at : at + 1])} for name, frames in made.items()]
    return {"angle": float(film.angles[at]), "seen_fraction": float(mask.mean()), "rows": rows}
