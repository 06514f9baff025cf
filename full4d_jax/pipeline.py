"""From one video to a 4D scene, one stage after another.

    open source -> measure depth -> complete the grid -> lift it to a scene -> show

What goes from stage to stage is one `Grid`. `run` is all of it; `sample`, `lift` and `render`
are its parts, on the same output folder. Each stage keeps what it made (see `session.stages`), so
any of them continues where the last run ended.

    source options      opened by       real frames      completed by       fitted by
    VideoOptions        video_source    row 0            generate, cascade  source_fit
    WordsOptions        video_source    row 0            generate, cascade  source_fit
    DemoOptions         video_source    row 0            generate, cascade  source_fit
    DatasetViewOptions  dataset_view    first k rows     generate, cascade  source_fit
    TwoVideosOptions    row_and_column  row 0, column 0  generate           capture_fit
    DemoGridOptions     row_and_column  row 0, column 0  generate           capture_fit
    CaptureOptions      capture_source  all              -                  capture_fit
    DatasetClipOptions  capture_source  all              -                  capture_fit
    GridOptions         scene_reader    as they were left there             by what they are

Words become a video first, by Wan (`text_to_video`). Of a capture some frames may be held out. The
grid of two videos is fitted where its cameras are known. `generation.complete` chooses by the
model, and `scene.scene_stage` by the grid (`fit_kind`).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from full4d_jax import run_files, text_to_video
from full4d_jax.config import DEFAULT, Config, check_config, to_dict
from full4d_jax.generation.complete import run_grid
from full4d_jax.generation.prior import prior_path
from full4d_jax.grid import Grid
from full4d_jax.media.pictures import write_grid
from full4d_jax.scene import fit_settings, renders, scene_reader
from full4d_jax.scene.scene_stage import run_scene
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session import errors, fields, files, report
from full4d_jax.session.stages import Stages
from full4d_jax.source import aiming, depth_stage, opening, options, row_and_column
from full4d_jax.source.kinds import choose_source


def run(
    config: Config = DEFAULT,
    video: str | Path | None = None,
    out: str | Path = "out",
    *,
    source: options.RunOptions | None = None,
    checkpoint: Path | None = None,
    show: RenderOptions | None = None,
) -> Path:
    """Make a 4D scene of a video or of a capture, in one folder.

    Args:
      config: the experiment; its data section says how many views and frames of which size.
      video: a video, or another path that `full4d run` takes, such as a capture; without it and
        `source`, the clip in the package, or a procedural scene where the model has no poses.
      out: the folder for everything.
      source: in place of `video`, any source, part of it and target cameras; see `source.options`.
      checkpoint: weights of the prior; None takes those in the package.
      show: how the scene is shown.

    Returns:
      The folder: grid.mp4, grid.png, orbit.mp4, bullet.mp4, scene.html, scene.png, scene.npz,
      config.json, report.json, and what each stage made: source.npz, depth.npz, grid.npz; of a
      capture grid.npz alone, and no pictures of the grid; of words video.npz and video.mp4, too.

    Raises:
      InputError: The input is unusable; this is raised before long work.
    """
    if source and video:
        do = "leave one of them out"
        raise errors.InputError("option", "video", video, "none beside source", do)
    if source is None:
        path = str(video or "")
        kind = choose_source(get_args(options.RunOptions), path, (), config)
        made: options.RunOptions = kind(Path(path)) if path else kind()
        source = made
    show = show or RenderOptions()
    fields.check_fields(show)
    used = None
    form = "none"
    if isinstance(source, options.FittedOptions):
        check_config(config)
        stages, grid, scene = _open_and_lift(config, out, source, checkpoint)
    else:
        stages = Stages(Path(out))
        if isinstance(source, options.WordsOptions):
            run_files.check_source(config, source)
            opened = text_to_video.video_in_folder(config, source, out)
        else:
            opened = source
        loaded = run_files.read_run_files(config, opened, checkpoint)
        fit_settings.check_lift(config.lift, None, loaded.kind)
        files.hold_folder(out)
        grid = _sample(stages, config, opened, loaded, lifted=True)
        preview = partial(renders.show_first_look, stages, grid)
        scene = run_scene(stages, config, grid, loaded.kind, checkpoint, preview)
        used = _weights_name(config, checkpoint)
        form = fit_settings.distillation_form(config.lift, loaded.kind)
    renders.show_scene(stages, grid, scene, show)
    return report.write_report(
        stages,
        "run",
        to_dict(config),
        checkpoint=used,
        distillation=form,
        source=source,
        show=show,
    )


def sample(
    config: Config,
    out: str | Path,
    source: options.SampleOptions,
    checkpoint: Path | None = None,
) -> Path:
    """Make the grid of views only; arguments, result and errors as in `run`.

    The folder then has source.npz, depth.npz, grid.npz, grid.mp4, grid.png, config.json and
    report.json.
    """
    stages = Stages(Path(out))
    loaded = run_files.read_run_files(config, source, checkpoint)
    files.hold_folder(out)
    _sample(stages, config, source, loaded, lifted=False)
    used = _weights_name(config, checkpoint)
    plain = to_dict(config)
    return report.write_report(stages, "sample", plain, checkpoint=used, source=source)


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
    if isinstance(source, options.FittedOptions):
        kind = fit_settings.FitKind.CAPTURED
        stages, _, _ = _open_and_lift(config, out, source, checkpoint)
        described = to_dict(config)
    else:
        stages = Stages(Path(out))
        grid, sampled = scene_reader.read_grid(stages)
        kind = fit_settings.fit_kind(grid)
        fit_settings.check_lift(config.lift, checkpoint, kind)
        described = {**sampled, "lift": to_dict(config)["lift"]}
        files.hold_folder(out)
        run_scene(stages, config, grid, kind, checkpoint)
    form = fit_settings.distillation_form(config.lift, kind)
    used = _weights_name(config, checkpoint) if form != "none" else None
    lifted = source or options.GridOptions(Path(out))
    return report.write_report(
        stages, "lift", described, checkpoint=used, distillation=form, source=lifted
    )


def render(out: str | Path, show: RenderOptions, path: Path | None = None) -> Path:
    """Write videos and a page of the scene that lies in `out`; with a camera path, its video alone.

    Raises:
      InputError: There is no scene, a number is out of bounds, or the path cannot be read.
    """
    fields.check_fields(show)
    film = None if path is None else renders.read_film(path)
    stages = Stages(Path(out))
    grid = scene_reader.posed_grid(stages)
    scene = stages.finished("scene")
    files.hold_folder(out)
    if film is not None:
        renders.show_path(stages, grid, scene, show, film)
    else:
        renders.show_scene(stages, grid, scene, show)
    return report.write_report(stages, "render", None, show=show)


def _weights_name(config: Config, checkpoint: Path | None) -> str:
    """Return the name of a prior's weights for the report."""
    return str(checkpoint or f"shipped {prior_path(config.model).name}")


def _open_and_lift(
    config: Config,
    out: str | Path,
    source: options.FittedOptions,
    checkpoint: Path | None,
) -> tuple[Stages, Grid, files.Arrays]:
    """Open a capture and fit a scene to it; `out` is touched once the capture has been read."""
    stages = Stages(Path(out))
    kind = fit_settings.FitKind.CAPTURED
    fit_settings.check_lift(config.lift, checkpoint, kind)
    fields.check_fields(source)
    grid = opening.open_source(config.data, source)
    files.hold_folder(out)
    opening.keep_capture(stages, grid)
    return stages, grid, run_scene(stages, config, grid, kind, checkpoint)


def _sample(
    stages: Stages,
    config: Config,
    source: options.SampleOptions,
    loaded: run_files.RunFiles,
    *,
    lifted: bool,
) -> Grid:
    """Open the source, measure its depth and complete the grid; `lifted` if a scene follows."""
    if note := run_files.cost_of_run(config, loaded, config.lift if lifted else None):
        stages.say(note)
    data = replace(config.data, **loaded.size._asdict())
    grid = opening.run_source(stages, data, source, loaded.depth)
    if loaded.depth is not None:
        grid = depth_stage.run_depth(stages, grid, loaded.depth)
    if loaded.targets is not None and source.cameras is not None:
        grid, note = aiming.with_targets(grid, loaded.targets, source.cameras)
        stages.say(f"cameras: {note}")
    if loaded.trained_angles is not None:
        grid = aiming.with_range_warning(grid, loaded.trained_angles)
    if lifted:
        row_and_column.require_cameras(grid)
    grid = run_grid(
        stages, config, grid, loaded.prior, loaded.checkpoint, loaded.upsampler
    )
    write_grid(stages.folder, grid, stages.arrays["grid"].get("projection"))
    return grid
