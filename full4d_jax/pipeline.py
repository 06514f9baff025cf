"""The story from one video to a 4D scene, one stage after another.

    video -> source -> depth -> grid (projection + prior) -> scene (4D Gaussians) -> videos, page

`run` tells all of it; `sample`, `lift` and `render` are its parts, on the same output folder. Each
stage keeps what it made (see `stages`), so any of them continues where the last run ended.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import cameras_in
from full4d_jax.config import DEFAULT, Config, check_config, to_dict
from full4d_jax.generation.batch import EDGE
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import open_prior, prior_path, prior_settings, trained_range
from full4d_jax.generation.projection_guidance import drop_depth_edges
from full4d_jax.media import grids
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.scene import lifting, page, renders
from full4d_jax.scene.partial_fit import PartialFit
from full4d_jax.scene.scene_arrays import from_arrays, to_arrays
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import Arrays, open_folder
from full4d_jax.session.options import Look, Shot, check, check_task
from full4d_jax.session.progress import Progress
from full4d_jax.session.report import Job, write_report
from full4d_jax.session.stages import Stages, fingerprint
from full4d_jax.source import video_source
from full4d_jax.source.camera_paths import range_warning
from full4d_jax.source.dataset_source import read_dataset_source
from full4d_jax.source.depth.estimate import SHIPPED, depth_from_file, load_depth, predict_depth
from gaussians import save_ply_sequence

INSTANTS = 16  # of the scene in the page


def run(
    config: Config = DEFAULT,
    video: str | Path | None = None,
    out: str | Path = "out",
    *,
    shot: Shot | None = None,
    look: Look | None = None,
) -> Path:
    """One video in, a 4D scene out, in one folder.

    Args:
      config: the experiment; its data section says how many views and frames of which size.
      video: the video; None makes a held-out procedural clip.
      out: the folder for everything.
      shot: more about the video, its camera and the target cameras; its own `video` counts when
        `video` is None.
      look: how the scene is shown.

    Returns:
      The folder: grid.mp4, grid.png, orbit.mp4, bullet.mp4, scene.html, scene.png, scene.npz,
      config.json, report.json.

    Raises:
      InputError: unusable input, before long work.
    """
    shot, look = shot or Shot(), look or Look()
    if video is not None:
        shot = replace(shot, video=Path(video))
    check(shot, look)
    _check_posed(config, shot)
    lifting.check_lift(config.lift, None, captured=False)
    job = Job(Stages(open_folder(out)))
    _sample(job, config, shot)
    _lift(job, config, shot.checkpoint)
    _render(job, look)
    return write_report(job, "run", to_dict(config), shot=shot, look=look)


def sample(config: Config, out: str | Path, shot: Shot) -> Path:
    """The grid of views only; arguments, result and errors as in `run`."""
    check(shot, Look())
    _check_posed(config, shot)
    job = Job(Stages(open_folder(out)))
    _sample(job, config, shot)
    return write_report(job, "sample", to_dict(config), shot=shot)


def lift(
    config: Config,
    out: str | Path,
    checkpoint: Path | None = None,
    take: Callable[[Stages], None] | None = None,
) -> Path:
    """Fit the scene to the grid that lies in `out`, or to what `take` puts there (see `captures`).

    Raises InputError where there is no grid, for an unusable capture, and for what has no effect.
    """
    check_config(config)
    job = Job(Stages(Path(out)))
    lifting.check_lift(config.lift, checkpoint, captured=take is not None)
    if take is None:
        for name in ("source", "depth", "grid"):
            job.stages.finished(name, "sample")
        captured = job.stages.arrays["depth"]["depth"].ndim == 4  # depth of all views
        lifting.check_lift(config.lift, checkpoint, captured=captured)
        # The rest of the configuration is that of the grid.
        sampled = json.loads((Path(out) / "config.json").read_text())
        open_folder(out)
        _lift(job, config, checkpoint)
        return write_report(job, "lift", {**sampled, "lift": to_dict(config)["lift"]})
    take(job.stages)
    _lift(job, config, checkpoint)
    return write_report(job, "lift", to_dict(config))


def render(out: str | Path, look: Look) -> Path:
    """Show the scene that lies in `out`; raises InputError where there is none."""
    check(Shot(), look)
    job = Job(Stages(Path(out)))
    for name in ("source", "depth", "grid"):
        job.stages.finished(name, "sample")
    job.stages.finished("scene", "lift")
    open_folder(out)
    _render(job, look)
    return write_report(job, "render", None, look=look)


def _check_posed(config: Config, shot: Shot) -> None:
    """Whether the config is sound, and its model's grids have cameras that a scene needs."""
    check_config(config)
    check_task(config.model.projection, shot)
    if config.model.projection == "none":
        do = "fill grids without poses with full4d sample"
        raise InputError("config", "model.projection", "none", "frames or channels", do)


def _sample(job: Job, config: Config, shot: Shot) -> None:
    """The stages source, depth and grid."""
    data, stages = config.data, job.stages
    checkpoint, depth_net = prior_path(shot.checkpoint), shot.depth_checkpoint or SHIPPED
    path = shot.path if shot.path in video_source.PRESETS else Path(shot.path)
    # Whatever could be refused is looked at before the first stage replaces an earlier one.
    prior, network = open_prior(config, checkpoint), load_depth(depth_net)
    trained = trained_range(checkpoint)
    taken = read_dataset_source(data, shot) if shot.dataset else None
    video_source.cameras(data, shot, taken or {"intrinsics": np.eye(3, dtype=np.float32)})
    given = (
        depth_from_file(shot.depth, data.frames, data.height, data.width) if shot.depth else None
    )

    video = {"video": shot.video, "scene": shot.scene, "fps": shot.fps, "start": shot.start}
    inputs = taken or {**video, "fov": shot.fov, "data": data}
    source = stages.run("source", inputs, lambda: taken or video_source.read_source(data, shot))
    stages.say(f"source: {source['note']}")
    views = video_source.cameras(data, shot, source)
    frames = jnp.asarray(source["frames"], jnp.float32) / 127.5 - 1

    def estimate_depth() -> Arrays:
        if given is not None:
            return {"depth": given}
        measured = source.get("depth")
        estimate = predict_depth(network, frames) if measured is None else jnp.asarray(measured)
        # An estimate smears edges; the prior was trained with those pixels unknown.
        return {"depth": np.asarray(drop_depth_edges(estimate, EDGE))}

    depth = stages.run("depth", {"file": shot.depth, "net": depth_net}, estimate_depth)

    def generate() -> Arrays:
        key = jax.random.key(config.seed)
        known = jnp.asarray(depth["depth"])
        grid, projection = generate_grid(prior, frames, known, views, key)
        return {
            "frames": to_uint8(to_unit(grid)),
            "projection": to_uint8(to_unit(projection.frames)),
            "intrinsics": views.intrinsics,
            "world_to_camera": views.world_to_camera,
            "warning": np.array(range_warning(views.world_to_camera[1:], *trained)),
        }

    cameras = {"path": path, "azimuth": shot.azimuth, "elevation": shot.elevation}
    grid = stages.run("grid", prior_settings(config, checkpoint) | cameras, generate)
    for warning in job.warnings:
        stages.say(f"warning: {warning}")
    fps = float(source["fps"])
    grids.write_grid(stages.folder, grid["frames"], grid["projection"], cameras_in(grid), fps)


def _lift(job: Job, config: Config, checkpoint: Path | None) -> None:
    """The stage scene: 4D Gaussians fitted to the grid."""
    grid, depth = job.stages.arrays["grid"], job.stages.arrays["depth"]["depth"]
    stages, captured = job.stages, depth.ndim == 4
    asks = lifting.asks_prior(config.lift, captured=captured)
    prior = prior_path(checkpoint) if asks else None
    inputs = {"lift": config.lift, "sampler": config.sampler, "seed": config.seed, "prior": prior}
    partial = PartialFit(
        stages.folder / ".scene.fit.npz", fingerprint("scene", inputs, stages.fingerprints)
    )

    def fit() -> Arrays:
        stages.say(lifting.memory_note(config.lift, grid["frames"].shape))
        with Progress("fitting", config.lift.steps) as report:
            frames = jnp.asarray(grid["frames"], jnp.float32) / 255
            cameras = jax.tree.map(jnp.asarray, cameras_in(grid))
            key = jax.random.key(config.seed + 1)
            given = config.lift, frames, jnp.asarray(depth), cameras, key
            kept: dict[str, Any] = {"report": report, "partial": partial}
            if captured:
                scene = lifting.lift_capture(*given, **kept)
            else:
                asked = open_prior(config, prior) if asks else None
                scene = lifting.lift_grid(*given, prior=asked, **kept)
        return to_arrays(scene)

    stages.run("scene", inputs, fit)
    partial.remove()


def _render(job: Job, look: Look) -> None:
    """Videos, the page, and PLY files when asked for."""
    stages, folder = job.stages, job.stages.folder
    cameras = cameras_in(stages.arrays["grid"])
    scene = from_arrays(stages.arrays["scene"])
    start = time.perf_counter()
    renders.write_renders(
        folder,
        scene,
        cameras,
        size=look.size,
        seconds=look.seconds,
        path=look.orbit,
        sweep=look.sweep,
        elevation=look.sweep / 4,
    )
    stages.seconds["renders"] = time.perf_counter() - start
    start = time.perf_counter()
    at = jax.jit(type(scene).at)
    page.write_page(
        folder / "scene.html",
        [at(scene, moment) for moment in np.linspace(0, 1, INSTANTS, dtype=np.float32)],
        seconds=look.seconds,
        vertical_fov=float(np.degrees(cameras.vertical_fov(0))),
    )
    stages.seconds["page"] = time.perf_counter() - start
    if look.export_ply:
        with input_errors("scene", "move what is there away"):
            save_ply_sequence(folder / "ply", scene, look.export_ply)
