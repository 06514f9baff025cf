"""Procedural scenes as clips for a dataset: rendered when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int

from input_pipeline.procedural import HELD_OUT_START, ProceduralClip, Worlds, procedural_scene
from input_pipeline.schema import VERSION, Example
from input_pipeline.transforms import encode_depth, encode_jpeg


@dataclass(frozen=True)
class ProceduralClips:
    """One clip of each of the scenes `first`, `first + 1`, ...; see `procedural_scene`.

    The source alone has depth, or all views do. Half floats hold it to 11 bits, JPEG the pictures
    at `quality`.
    """

    first: int
    count: int
    views: int
    frames: int
    height: int
    width: int
    all_depth: bool = False
    quality: int = 95
    worlds: Worlds = "simple"

    @property
    def scene_ids(self) -> list[str]:
        """`procedural-` (or `rich-`) and the index."""
        kind = "procedural" if self.worlds == "simple" else self.worlds
        return [f"{kind}-{self.first + i:010d}" for i in range(self.count)]

    def __len__(self) -> int:
        """Number of scenes."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """The clip of scene `first + index`."""
        scene = self.first + range(self.count)[index]
        render = renderer(self.views, self.frames, self.height, self.width, self.worlds)
        clip: Any = jax.device_get(render(np.int32(scene)))
        pictures = np.round(np.clip(clip.frames, 0, 1) * 255).astype(np.uint8)
        files = np.empty(pictures.shape[:2], object)
        depth = np.full(files.shape, b"", object)
        for i, j in np.ndindex(files.shape):
            files[i, j] = encode_jpeg(pictures[i, j], self.quality)
            if i == 0 or self.all_depth:
                depth[i, j] = encode_depth(clip.depth[i, j])
        interval = float(np.diff(clip.timestamps).mean()) if self.frames > 1 else 1.0
        held_out = ", held out" if scene >= HELD_OUT_START else ""
        return Example(
            version=VERSION,
            scene_id=self.scene_ids[index],
            fps=1 / interval,
            timestamps=np.tile(clip.timestamps - clip.timestamps[0], (self.views, 1)),
            frames=files,
            intrinsics=clip.intrinsics,
            world_to_camera=clip.world_to_camera,
            distortion=np.zeros((self.views, 8), np.float32),
            depth16=depth,
            masks=np.full(files.shape, b"", object),
            latents=np.zeros((self.views, 0, 0, 0, 0), np.float16),
            codec="",
            caption="",
            unit=0.0,
            source=f"{self.worlds} procedural scenes of full4d{held_out}: {scene}",
            license="Apache-2.0",
        )


@cache
def renderer(
    views: int, frames: int, height: int, width: int, worlds: Worlds
) -> Callable[[np.int32], ProceduralClip]:
    """One program for all scenes of a size."""

    def render(index: Int[Array, ""]) -> ProceduralClip:
        return procedural_scene(
            index, views=views, frames=frames, height=height, width=width, worlds=worlds
        )

    return jax.jit(render)
