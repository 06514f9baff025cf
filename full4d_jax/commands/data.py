"""Look at the scenes that models are trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

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
    worlds: Literal["simple", "rich"] = "simple",
) -> None:
    """Draw procedural scenes: all views and instants, the source's depth, and the cameras.

    Args:
      out: the PNG file to write.
      first: index of the first scene; training uses 0 to 2**30, evaluation what comes after.
      scenes: how many scenes.
      views: cameras per scene; view 0 is the source.
      frames: instants per scene.
      size: height and width of a frame in pixels.
      worlds: primitives in a room, or people, furniture and thin poles in noise.
    """
    _check(out, first, {"scenes": scenes, "views": views, "frames": frames, "size": size})
    import jax

    from input_pipeline import procedural_scene

    @jax.jit
    def render(index):
        return procedural_scene(
            index, views=views, frames=frames, height=size, width=size, worlds=worlds
        )

    indices = range(first, first + scenes)
    sheets = [_sheet(f"procedural scene {index}", render(index)) for index in indices]
    pictures.save_picture(out, np.concatenate(sheets))
    print(f"{scenes} scenes, {views} views, {frames} frames: {out}")
    print("next: full4d run --out out/demo    (one clip to a 4D scene)")


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
