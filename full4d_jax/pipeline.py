"""The story from one video to a 4D scene, one stage after another.

    video -> source -> depth -> grid (projection + prior) -> scene (4D Gaussians) -> videos, page

`run` tells all of it; `sample`, `lift` and `render` are its parts, on the same output folder. A
model without poses fills a grid from its first row and column instead, whose cameras the column
tells; the scene is fitted to it as to a capture. Each stage keeps what it made (see
`session.stages`), so any of them continues where the last run ended.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from full4d_jax import grid_stages
from full4d_jax.cameras import cameras_in
from full4d_jax.config import DEFAULT, Config, check_config, to_dict
from full4d_jax.generation.prior import open_prior, prior_path
from full4d_jax.scene import capture_fit, fit_settings, lifting, page, quality, renders
from full4d_jax.scene.between import between_instants
from full4d_jax.scene.cost import cost_note, fill_note
from full4d_jax.scene.options import RenderOptions
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.scene.reading import is_captured, is_enlarged, posed_grid, read_grid
from full4d_jax.scene.scene_arrays import background_in, from_arrays, to_arrays
from full4d_jax.scene.surroundings import count_looks, surround
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import check_fields
from full4d_jax.session.files import Arrays, hold_folder
from full4d_jax.session.progress import Progress
from full4d_jax.session.report import Job, write_report
from full4d_jax.session.stages import Stages, fingerprint
from full4d_jax.source import opening, options
from gaussians import DynamicGaussians, Scene, save_ply_sequence

SHIPPED = "shipped"  # in the report, for the weights in the package


def run(
    config: Config = DEFAULT,
    video: str | Path | None = None,
    out: str | Path = "out",
    *,
    source: options.SampleOptions | None = None,
    checkpoint: Path | None = None,
    show: RenderOptions | None = None,
) -> Path:
    """Make a 4D scene of a video, in one folder.

    Args:
      config: the experiment; its data section says how many views and frames of which size.
      video: the video; without it and `source`, the clip in the package is taken, or a procedural
        scene where the model has no poses.
      out: the folder for everything.
      source: in place of `video`, any source, part of it and target cameras; see `source.options`.
      checkpoint: weights of the prior; None takes those in the package.
      show: how the scene is shown.

    Returns:
      The folder: grid.mp4, grid.png, orbit.mp4, bullet.mp4, scene.html, scene.png, scene.npz,
      config.json, report.json.

    Raises:
      InputError: The input is unusable; this is told before long work.
    """
    if source and video:
        raise InputError("option", "video", video, "none beside source", "leave one of them out")
    posed = config.model.projection != "none"
    usual = options.VideoOptions() if posed else options.DemoGridOptions()
    source = source or (options.VideoOptions(Path(video)) if video else usual)
    show = show or RenderOptions()
    _check(config, source)
    check_fields(show, what="option")
    enlarged = posed and grid_stages.is_enlarged(config, source)
    fit_settings.check_lift(config.lift, None, captured=not posed, enlarged=enlarged)
    job = Job(Stages(hold_folder(out)))
    cost = partial(cost_note if posed else partial(fill_note, config=config), lift=config.lift)
    grid_stages.sample_stages(job, config, source, checkpoint, cost, lifted=True)
    _lift(job, config, checkpoint, look=lambda scene: _first_look(job, scene))
    _render(job, show)
    used = checkpoint or SHIPPED
    return write_report(job, "run", to_dict(config), checkpoint=used, source=source, show=show)


def sample(
    config: Config,
    out: str | Path,
    source: options.SampleOptions,
    checkpoint: Path | None = None,
) -> Path:
    """Make the grid of views only; arguments, result and errors as in `run`.

    The folder then has grid.npz, grid.mp4, grid.png, config.json, report.json.
    """
    _check(config, source)
    job = Job(Stages(hold_folder(out)))
    posed = config.model.projection != "none"
    cost = partial(cost_note if posed else partial(fill_note, config=config), lift=None)
    grid_stages.sample_stages(job, config, source, checkpoint, cost, lifted=False)
    used = checkpoint or SHIPPED
    return write_report(job, "sample", to_dict(config), checkpoint=used, source=source)


def lift(
    config: Config,
    out: str | Path,
    source: options.LiftOptions | None = None,
    checkpoint: Path | None = None,
) -> Path:
    """Fit the scene to the grid that lies in `out`, or to a capture.

    Args:
      config: the experiment; its lift section says how.
      out: the folder with grid.npz, and for scene.npz.
      source: a capture or a data set's clip; None takes the grid in `out`.
      checkpoint: weights of the prior; None takes those in the package.

    Returns:
      The folder.

    Raises:
      InputError: There is no grid; or the capture is unusable; or a setting has no effect.
    """
    check_config(config)
    captured = isinstance(source, options.CaptureOptions | options.DatasetClipOptions)
    fit_settings.check_lift(config.lift, checkpoint, captured=captured)
    job = Job(Stages(Path(out)))
    if captured:
        check_fields(source, what="option")
        opened = opening.open_source(config.data, source)
        hold_folder(out)
        opening.keep_capture(job.stages, opened)
        described = to_dict(config)
    else:
        sampled = read_grid(job.stages)
        how = {
            "captured": is_captured(job.stages),
            "enlarged": is_enlarged(job.stages),
        }
        fit_settings.check_lift(config.lift, checkpoint, **how)
        described = {**sampled, "lift": to_dict(config)["lift"]}
        hold_folder(out)
    _lift(job, config, checkpoint)
    how = {"captured": is_captured(job.stages), "enlarged": is_enlarged(job.stages)}
    asks = fit_settings.asks_prior(config.lift, **how)
    used = (checkpoint or SHIPPED) if asks else None
    way = source or options.GridOptions(Path(out))
    return write_report(job, "lift", described, checkpoint=used, source=way)


def render(out: str | Path, show: RenderOptions) -> Path:
    """Write videos and a page of the scene that lies in `out`.

    Raises:
      InputError: There is no scene, or a number is out of bounds.
    """
    check_fields(show, what="option")
    job = Job(Stages(Path(out)))
    job.stages.finished("source")
    posed_grid(job.stages)
    job.stages.finished("scene")
    hold_folder(out)
    _render(job, show)
    return write_report(job, "render", None, show=show)


def _check(config: Config, way: options.SampleOptions) -> None:
    """Refuse an unsound config, numbers out of bounds, and a source that the model cannot use.

    Raises:
      InputError: The message names the field or option.
    """
    check_config(config)
    check_fields(way, what="option")
    projection = config.model.projection
    if way.posed != (projection != "none"):
        do = "give another config, or another source"
        raise InputError("source", type(way).__name__, "one", f"none, with {projection}", do)


def _lift(
    job: Job, config: Config, checkpoint: Path | None, look: Callable[[Scene], None] | None = None
) -> None:
    """Run the stage scene: fit 4D Gaussians to the grid; `look` is shown the start of the fit."""
    stages, captured = job.stages, is_captured(job.stages)
    asks = fit_settings.asks_prior(config.lift, captured=captured, enlarged=is_enlarged(stages))
    prior = prior_path(checkpoint) if asks else None
    sampler = replace(config.sampler, offload=False)  # which changes no scene
    inputs = {"lift": config.lift, "sampler": sampler, "seed": config.seed, "prior": prior}
    mark = fingerprint("scene", inputs, stages.fingerprints)
    kept_fit = PartialFit(stages.folder / ".scene.fit.npz", mark)

    def fit() -> Arrays:
        grid, depths = stages.arrays["grid"], stages.arrays["depth"]
        depth, beside = depths["depth"], depths.get("beside")
        between = between_instants(stages.arrays["source"])
        moving = fit_settings.count_fitted(config.lift, grid["frames"][0] / 255.0, between)
        stages.say(fit_settings.memory_note(config.lift, grid["frames"].shape, moving))
        key, cameras = jax.random.key(config.seed + 1), cameras_in(grid)
        size = grid["frames"].shape[2:4]
        steps = fit_settings.sized(config.lift, *size, captured=captured).steps
        with Progress("fitting", steps) as report:
            kept: dict[str, Any] = {"report": report, "partial": kept_fit}
            if captured:
                given = capture_fit.read_views(grid, depth)
                found = capture_fit.lift_capture(config.lift, given, key, say=stages.say, **kept)
                stages.say(capture_fit.told_scores(found))
                return capture_fit.fit_arrays(found)
            frames = jnp.asarray(grid["frames"], jnp.float32) / 255
            cameras = jax.tree.map(jnp.asarray, cameras)
            asked = open_prior(config, prior) if asks else None
            if not kept_fit.path.exists():
                kept["look"] = look
            given = config.lift, frames, jnp.asarray(depth), cameras, key
            kept["between"] = between
            kept["beside"] = None if beside is None else jnp.asarray(beside)
            scene = lifting.lift_grid(*given, prior=asked, **kept)
        if isinstance(scene, DynamicGaussians):
            with Progress("surroundings", count_looks(cameras)) as report:
                scene = surround(scene, cameras, jax.random.key(config.seed + 2), report)
        else:
            stages.say("what no view shows stays empty, with --lift.motion deformation")
        times = stages.arrays["source"]["times"]
        scored = quality.score_scene(scene, grid["frames"][0], depth, times, cameras, between)
        stages.say(quality.quality_note(scored))
        return to_arrays(scene) | quality.score_arrays(scored)

    stages.run("scene", inputs, fit)
    kept_fit.remove()


def _first_look(job: Job, scene: Scene) -> None:
    """Write the page of a scene that is not fitted yet, and say so."""
    for name in ("orbit.mp4", "bullet.mp4", "scene.png"):  # of an earlier scene
        (job.stages.folder / name).unlink(missing_ok=True)
    _write_page(job, scene)
    seconds = time.perf_counter() - job.started
    job.stages.say(
        f"first look after {seconds:.0f} s, before fitting: {job.stages.folder / 'scene.html'}"
    )


def _render(job: Job, show: RenderOptions) -> None:
    """Write videos, the page, and PLY files when asked for."""
    stages, folder = job.stages, job.stages.folder
    scene = from_arrays(stages.arrays["scene"])
    with stages.timed("renders"):
        grid = stages.arrays["grid"]
        cameras = cameras_in(grid)
        renders.write_renders(
            folder,
            scene,
            cameras,
            size=show.size or cameras.height,
            seconds=show.orbit_seconds,
            path=show.orbit,
            sweep=show.sweep,
            elevation=show.sweep / 4,
            background=background_in(stages.arrays["scene"]),
            between="visible" in grid,  # whose first view is at one end of the column
        )
    with stages.timed("page"):
        _write_page(job, scene)
    if show.export_ply:
        with input_errors("scene", "move what is there away"):
            save_ply_sequence(folder / "ply", scene, show.export_ply)


def _write_page(job: Job, scene: Scene) -> None:
    """Write the page of a scene; it plays as long as the source lasts."""
    arrays = job.stages.arrays
    grid = arrays["grid"]
    background = arrays.get("scene", {}).get("background")
    viewing = page.run_viewing(cameras_in(grid), grid["frames"][0], background)
    seconds = page.clip_seconds(arrays["source"])
    page.write_page(job.stages.folder / "scene.html", scene, viewing, seconds=seconds)
