"""The pictures of procedural scenes on one page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.media import pictures
from input_pipeline import cameras
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import ProceduralClip


def draw_scenes(indices: Sequence[int], **words: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a block for each scene; `words` are the arguments of `scene_program`."""
    render = scene_program(**words)
    return np.concatenate([scene_sheet(f"procedural scene {i}", render(i)) for i in indices])


def scene_sheet(title: str, clip: ProceduralClip) -> np.ndarray:
    """Return all views and instants, the depth of the source, and the cameras."""
    frames, depth, intrinsics, world_to_camera, timestamps = map(np.asarray, clip[:5])
    views, _, height, width = frames.shape[:4]
    points = cameras.unproject(depth[0, 0], intrinsics[0], world_to_camera[0, 0])
    around = pictures.frustums(
        Cameras(intrinsics, world_to_camera, height, width),
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
