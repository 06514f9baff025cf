"""Look at the scenes that models are trained on, and check datasets of your own."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from full4d_jax import pictures
from full4d_jax.errors import InputError
from full4d_jax.stages import open_folder
from input_pipeline import cameras

if TYPE_CHECKING:
    from input_pipeline.procedural import ProceduralClip


def show(
    *,
    out: Path = Path("out/scenes.png"),
    first: int = 0,
    scenes: int = 2,
    views: int = 4,
    frames: int = 4,
    size: int = 64,
) -> None:
    """Draw procedural scenes: all views and instants, the source's depth, and the cameras.

    Args:
      out: the PNG file to write.
      first: index of the first scene; training uses 0 to 2**30, evaluation what comes after.
      scenes: how many scenes.
      views: cameras per scene; view 0 is the source.
      frames: instants per scene.
      size: height and width of a frame in pixels.
    """
    _check(out, first, {"scenes": scenes, "views": views, "frames": frames, "size": size})
    import jax

    from input_pipeline import procedural_scene

    @jax.jit
    def render(index):
        return procedural_scene(index, views=views, frames=frames, height=size, width=size)

    indices = range(first, first + scenes)
    sheets = [_sheet(f"procedural scene {index}", render(index)) for index in indices]
    pictures.save_picture(out, np.concatenate(sheets))
    print(f"{scenes} scenes, {views} views, {frames} frames: {out}")
    print("next: full4d run --out out/demo    (one clip to a 4D scene)")


def check(
    dataset: tyro.conf.Positional[Path],
    *,
    out: Path = Path("out/check"),
    split: str = "train",
    clips: int = 4,
    instants: int = 2,
) -> None:
    """Look for what is wrong with a dataset: cameras, clocks, light, repeated and damaged pictures.

    Ends with exit code 2 where there is a problem.

    Args:
      dataset: the folder of a dataset.
      out: a folder for the report, check.json, and a page for each clip, clip-00000.png.
      split: which part of the dataset.
      clips: how many clips, evenly spaced; 0 takes all.
      instants: of each clip, at which cameras are compared with pictures.
    """
    for name, count, least in (("--clips", clips, 0), ("--instants", instants, 1)):
        if count < least:
            raise InputError("option", name, count, f"at least {least}", f"choose another {name}")
    from full4d_jax.dataset_check import REPORT, check_dataset
    from input_pipeline.dataset import open_dataset

    try:
        records = open_dataset(dataset, split)
    except ValueError as error:
        field, _, rest = str(error).partition(": found ")
        found, _, expected = rest.rpartition(", expected ")
        raise InputError(
            "dataset", field, found, expected, "see full4d data check --help"
        ) from None
    problems = check_dataset(records, open_folder(out), clips=clips, instants=instants)
    for line in problems:
        print(f"problem: {line}")
    print(f"report: {out / REPORT}, pages: {out}/clip-*.png")
    if problems:
        found = f"{len(problems)} problems, the first: {problems[0]}"
        raise InputError("dataset", dataset, found, "none", f"see {out / REPORT}")
    print(f"next: look at {out}/clip-*.png: the floor must lie flat in every view")


def depth(
    capture: tyro.conf.Positional[Path],
    *,
    out: Path = Path("out/capture_with_depth.npz"),
    estimator: str = "ours",
) -> None:
    """Estimate the depth of a capture that has none, in the units of its cameras.

    Scale and shift of each view come from points that it shares with others.

    Args:
      capture: an .npz file, see full4d_jax/captures.py.
      out: the .npz file to write, the same with depth; a picture is put beside.
      estimator: ours, or a network as .onnx (Depth Anything), .tflite (PyDNet) or .safetensors.
    """
    if out.suffix != ".npz" or out.is_dir():
        raise InputError("output", out, f"ending {out.suffix!r}", "a file X.npz", "rename --out")
    from full4d_jax.capture_depth import estimate_capture_depth

    open_folder(out.parent)
    for view, line in enumerate(estimate_capture_depth(capture, estimator, out)):
        print(
            f"view {view}: {line.share:.0%} of {line.matches} matches agree, "
            f"median error {line.error:.1%} of their depth"
        )
    print(f"depth: {out}, picture: {out.with_suffix('.png')}")
    print(f"next: full4d lift --capture {out} --out out/lifted")


def _sheet(title: str, clip: "ProceduralClip") -> np.ndarray:
    """The labelled pictures of one scene."""
    frames, depth, intrinsics, world_to_camera, timestamps = (np.asarray(field) for field in clip)
    views, _, height, width = frames.shape[:4]
    points = cameras.unproject(depth[0, 0], intrinsics[0], world_to_camera[0, 0])
    around = pictures.frustums(
        intrinsics,
        world_to_camera,
        height=height,
        width=width,
        points=points.reshape(-1, 3),
        colors=pictures.to_uint8(frames[0, 0]).reshape(-1, 3),
    )
    return pictures.contact_sheet(
        np.concatenate([pictures.to_uint8(frames), pictures.color_depth(depth[0])[None]]),
        rows=["source", *(f"view {view}" for view in range(1, views)), "depth"],
        columns=[f"{time:.2f} s" for time in timestamps],
        title=title,
        aside=around,
    )


def _check(out: Path, first: int, counts: dict[str, int]) -> None:
    """Refuse what cannot be drawn or written, before anything is computed."""
    for name, count in counts.items():
        if count < 1:
            raise InputError("option", f"--{name}", count, "at least 1", f"choose another --{name}")
    last = first + counts["scenes"] - 1
    if first < 0 or last >= 2**31:
        found = f"scenes {first} to {last}"
        raise InputError("option", "--first", found, "0 to 2**31 - 1", "choose another --first")
    if out.suffix != ".png":
        raise InputError("output", out, f"ending {out.suffix!r}", ".png", "rename --out")
    if out.is_dir():
        raise InputError("output", out, "a folder", "a file that can be written", "rename --out")
    open_folder(out.parent)
