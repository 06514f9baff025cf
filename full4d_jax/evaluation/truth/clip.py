"""What of a dataset's clip is the truth for an output folder."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from full4d_jax.evaluation.truth.matching import (
    AGREE,
    Cameras,
    Source,
    find_source,
    match_cameras,
    taken,
)
from full4d_jax.evaluation.without_truth.grid_scores import Views
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import read_arrays
from input_pipeline.cameras import relative_to, rescale
from input_pipeline.datasets.dataset import Records
from input_pipeline.transforms import Clip


class Wanted(NamedTuple):
    """The truth that somebody asks for.

    dataset: its folder.
    split: of the dataset.
    clip: number or scene of a clip in the split; empty where there is but one.
    unit: world units of the dataset in one of the grid; None: found.
    """

    dataset: Path
    split: str
    clip: str
    unit: float | None


class Known(NamedTuple):
    """The truth for an output folder, in its own world and unit.

    frames: of the targets, [0, 1].
    source: the clip's own pictures of the source view, [0, 1].
    intrinsics: of the source, then the targets; pixels.
    world_to_camera: likewise.
    depth: of the source, 0 where unknown; None where nobody knows it.
    views: the targets' numbers in the clip.
    made: their numbers in the grid, -1 where it has no such camera.
    """

    frames: Float[np.ndarray, "v t h w 3"]
    source: Float[np.ndarray, "t h w 3"]
    intrinsics: Float[np.ndarray, "v+1 3 3"]
    world_to_camera: Float[np.ndarray, "v+1 t 4 4"]
    depth: Float[np.ndarray, "t h w"] | None
    views: Int[np.ndarray, " v"]
    made: Int[np.ndarray, " v"]


def find_clip(records: Records, clip: str) -> int:
    """The number of a clip by its number or scene; of the only one, by nothing.

    Raises:
      InputError: there is no such clip, or several.
    """
    scenes = records.scene_ids
    if clip.isdecimal() and int(clip) < len(scenes):
        return int(clip)
    fitting = [i for i, name in enumerate(scenes) if clip in ("", name)]
    if len(fitting) == 1:
        return fitting[0]
    where = f"{records.folder}, {records.split}"
    listed = ", ".join(f"{i} ({scenes[i]})" for i in (fitting or range(len(scenes)))[:8])
    found = f"{len(fitting)} clips" if not clip else f"{len(fitting)} of scene {clip!r}"
    raise InputError("clip", where, found, f"one of {listed}", "name it by --clip NUMBER")


def find_truth(
    folder: Path,
    grid: Views,
    clip: Clip,
    wanted: Wanted,
    *,
    posed_alike: bool,
    content: str = "",
) -> tuple[Known, dict[str, Any]]:
    """What the clip shows of a grid, and how it was found, for people.

    Args:
      folder: of the grid.
      grid: its pictures and cameras.
      clip: in the size of the grid.
      wanted: by whom.
      posed_alike: whether only those views count whose cameras the grid has.
      content: hash of the dataset; of a grid made from it (`run --dataset`) view and instants are
        known, others are looked for by their pictures.

    Raises:
      InputError: they have nothing to do with each other.
    """
    where = f"{wanted.dataset}, clip of {folder}"
    told = read_arrays(folder / "source.npz")
    if content and str(told.get("dataset", "")) == content:
        video = taken(grid.frames[0], clip.frames, told["views"], told["instants"])
    else:
        fps = told.get("fps")
        video = find_source(
            grid.frames[0], clip.frames, clip.timestamps, None if fps is None else float(fps)
        )
    if video is None:
        expected = f"{grid.frames.shape[1]} instants as in the grid"
        raise InputError("truth", where, "a shorter clip", expected, "give another --clip")
    if video.psnr < AGREE:
        found = f"no view that shows the source video (at best {video.psnr:.1f} dB)"
        do = "give the dataset and --clip that it was made from"
        raise InputError("truth", where, found, f"one above {AGREE:g} dB", do)
    source, instants = video.view, video.instants
    poses = clip.world_to_camera[:, instants]
    size = clip.frames.shape[2:4]
    views_of = partial(
        match_cameras,
        grid.intrinsics,
        grid.world_to_camera,
        clip.intrinsics,
        poses,
        source,
        size,
    )
    cameras = views_of(wanted.unit)
    if cameras is None or not (cameras.views[1:] >= 0).any():
        if posed_alike:
            raise _other_cameras(where, cameras)
        cameras = views_of(wanted.unit or _depth_unit(clip, video, where))
        assert cameras is not None, "a unit was given"
    elif cameras.rivals:
        units = ", ".join(f"{number:.4g}" for number in (cameras.unit, *cameras.rivals))
        do = "say by --unit how many of the dataset's units one of the grid's is"
        raise InputError("cameras", where, f"several units that fit, {units}", "one", do)
    unit = cameras.unit
    of_grid = {int(j): i for i, j in enumerate(cameras.views) if j >= 0}
    views = [j for j in range(len(poses)) if j != source and (j in of_grid or not posed_alike)]
    order = [source, *views]
    scaled = rescale(relative_to(poses.astype(np.float64), poses[source, 0]), unit)
    depth, depth_from = _depth(folder, clip.depth[source, instants] / unit)
    known = Known(
        frames=clip.frames[np.array(views)[:, None], instants] / np.float32(255),
        source=clip.frames[source, instants] / np.float32(255),
        intrinsics=clip.intrinsics[order],
        world_to_camera=scaled[order].astype(np.float32),
        depth=depth,
        views=np.array(views),
        made=np.array([of_grid.get(j, -1) for j in views]),
    )
    errors = {j: float(cameras.errors[i]) for j, i in of_grid.items()}
    about = {
        "source_view": source,
        "source_psnr": round(video.psnr, 2),
        "instants": instants.tolist(),
        "unit": unit,
        "camera_errors": {str(j): round(errors[j], 3) for j in views if j in errors},
        "left_out": np.flatnonzero(cameras.views < 0).tolist(),
        "depth": depth_from,
    }
    return known, about


def _other_cameras(where: str, cameras: Cameras | None) -> InputError:
    found = "no camera that is turned like one of the grid's"
    if cameras is not None:
        found = f"cameras that see things {cameras.errors[1:].min():.1f} pixels or more elsewhere"
    do = "make the grid with the clip's cameras (--path FILE.json), or score its scene (--scene)"
    return InputError("cameras", where, found, "some of the grid's cameras", do)


def _depth_unit(clip: Clip, video: Source, where: str) -> float:
    """The median depth of the source at its first instant, which is the unit of every grid.

    Raises:
      InputError: it is not known.
    """
    depth = clip.depth[video.view, video.instants[0]]
    if not depth.any():
        expected = "a camera of the grid among the clip's, or depth of the source view"
        do = "give the median depth of the source, in the dataset's units, as --unit"
        raise InputError("truth", where, "nothing that tells the unit of the scene", expected, do)
    return float(np.median(depth[depth > 0]))


def _depth(folder: Path, recorded: Float[np.ndarray, "t h w"]) -> tuple[np.ndarray | None, str]:
    """Depth of the source in the grid's unit, and whose it is."""
    if recorded.any():
        return recorded.astype(np.float32), "record"
    depth = read_arrays(folder / "depth.npz").get("depth")
    if depth is None or depth.shape != recorded.shape:  # captures start from all views', or random
        return None, "unknown"
    return depth.astype(np.float32), "folder"
