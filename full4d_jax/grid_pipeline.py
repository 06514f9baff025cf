"""A fixed-view and a freeze-time video in, the whole grid out: `full4d sample` without poses."""

from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.config import Config, DataConfig, check_config, to_dict
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import open_prior, prior_settings
from full4d_jax.generation.visible_frames import row_and_column
from full4d_jax.media import grids
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.media.video import DEFAULT_FPS, read_video
from full4d_jax.session.files import Arrays, open_folder
from full4d_jax.session.options import Look, Shot, check, check_task
from full4d_jax.session.report import Job, write_report
from full4d_jax.session.stages import Stages
from input_pipeline.procedural.scene import HELD_OUT_START

SHIPPED = Path(str(files("full4d_jax") / "checkpoints/four_real.safetensors"))
AGREE = 20.0  # dB between the first frames of the two videos, below which they count as different


def sample_grid(config: Config, out: str | Path, shot: Shot) -> Path:
    """Fill the grid whose first row and column are `shot.fixed_view` and `shot.freeze_time`.

    With one of them only that one is given; with neither, both come from a held-out procedural
    scene.

    Returns:
      The folder: grid.npz, grid.mp4, grid.png, config.json, report.json.

    Raises:
      InputError: unusable input, before long work.
    """
    check(shot, Look())
    check_config(config)
    check_task(config.model.projection, shot)
    data, checkpoint = config.data, Path(shot.checkpoint or SHIPPED)
    prior = open_prior(config, checkpoint)
    job = Job(Stages(open_folder(out)))
    videos = {"fixed_view": shot.fixed_view, "freeze_time": shot.freeze_time}
    settings = {"scene": shot.scene, "fps": shot.fps, "start": shot.start, "data": data}
    source = job.stages.run("source", videos | settings, lambda: read_given(data, shot))
    job.stages.say(f"source: {source['note']}")

    def generate() -> Arrays:
        frames = jnp.asarray(source["frames"], jnp.float32) / 127.5 - 1
        key = jax.random.key(config.seed)
        grid = fill_grid(prior, frames, source["visible"], key)
        made = to_uint8(to_unit(grid))
        given = source["visible"][..., None, None, None]
        return {"frames": np.where(given, source["frames"], made), "visible": source["visible"]}

    grid = job.stages.run("grid", prior_settings(config, checkpoint), generate)
    for warning in job.warnings:
        job.stages.say(f"warning: {warning}")
    grids.write_filled_grid(job.stages.folder, **grid, fps=float(source["fps"]))
    return write_report(job, "sample", to_dict(config), shot=shot)


def read_given(data: DataConfig, shot: Shot) -> Arrays:
    """The frames that are given.

    Returns:
      frames (v, t, h, w, 3) uint8 sRGB, zeros where nothing is given; visible (v, t) bool; fps ();
      and note and warning, text.

    Raises:
      InputError: an unusable video.
    """
    shape = data.views, data.frames
    frames = np.zeros((*shape, data.height, data.width, 3), np.uint8)
    visible = np.zeros(shape, bool)
    if shot.fixed_view is None and shot.freeze_time is None:
        index = jnp.array([HELD_OUT_START + shot.scene])
        grid = jax.jit(lambda i: procedural_batch(i, data))(index).frames[0]
        visible = row_and_column(*shape)
        frames[visible] = to_uint8(to_unit(grid))[visible]
        note = f"row and column of the held-out procedural scene {shot.scene}"
        return _given(frames, visible, shot.fps or DEFAULT_FPS, note)
    size = {"height": data.height, "width": data.width, "start": shot.start, "fps": shot.fps}
    fps, notes, warning = shot.fps or DEFAULT_FPS, [], ""
    if shot.freeze_time is not None:
        column = read_video(shot.freeze_time, frames=data.views, **size)
        frames[:, 0], visible[:, 0] = column.frames, True
        notes.append(f"column: {column.note}")
    if shot.fixed_view is not None:
        row = read_video(shot.fixed_view, frames=data.frames, **size)
        warning = _disagreement(row.frames[0], frames[0, 0]) if visible[0, 0] else ""
        frames[0], visible[0], fps = row.frames, True, row.fps
        notes.append(f"row: {row.note}")
    return _given(frames, visible, fps, "; ".join(notes), warning)


def _given(frames, visible, fps: float, note: str, warning: str = "") -> Arrays:
    texts = {"note": np.asarray(note), "warning": np.asarray(warning)}
    return {"frames": frames, "visible": visible, "fps": np.asarray(fps), **texts}


def _disagreement(row: np.ndarray, column: np.ndarray) -> str:
    """A warning where two frames that should be one picture are not."""
    error = np.mean((row.astype(np.float32) - column) ** 2) / 255**2
    decibel = -10 * np.log10(max(float(error), 1e-10))
    if decibel >= AGREE:
        return ""
    return (
        f"the two videos start with different pictures ({decibel:.0f} dB); the grid needs one "
        "scene, in which both start at the same instant and camera"
    )
