"""Procedural scenes as clips of a data set, rendered on access."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from input_pipeline import media_files, plain_files, schema, transforms
from input_pipeline.procedural.rich_world import PEOPLE
from input_pipeline.procedural.scene import (
    HELD_OUT_START,
    ProceduralClip,
    Worlds,
    procedural_scene,
)


@dataclass(frozen=True)
class ProceduralClips:
    """One clip of each of the scenes `first`, `first + 1`, ...; see `procedural_scene`.

    The source alone has depth, or all views do. Half floats hold it to 11 bits.

    Attributes:
      masks: write masks of the people in every view.
      textures: folder of pictures and videos that half of the surfaces of rich worlds take colours
        from.
    """

    first: int
    count: int
    views: int
    frames: int
    height: int
    width: int
    all_depth: bool = False
    worlds: Worlds = "simple"
    masks: bool = False
    textures: str = ""

    @property
    def scene_ids(self) -> list[str]:
        """`procedural-` (or `rich-`) and the index."""
        kind = "procedural" if self.worlds == "simple" else self.worlds
        return [f"{kind}-{self.first + i:010d}" for i in range(self.count)]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self.count

    @cached_property
    def _textures(self) -> Float[Array, "n s s 3"] | None:
        return jnp.asarray(read_textures(self.textures)) if self.textures else None

    def __getitem__(self, index: int) -> schema.Example:
        """Return the clip of scene `first + index`."""
        scene = self.first + range(self.count)[index]
        size = self.views, self.frames, self.height, self.width
        render = scene_program(*size, self.worlds)
        clip: Any = jax.device_get(render(np.int32(scene), textures=self._textures))
        held_out = ", held out" if scene >= HELD_OUT_START else ""
        return to_example(
            clip,
            scene_id=self.scene_ids[index],
            source=f"{self.worlds} procedural scenes of full4d{held_out}: {scene}",
            license="Apache-2.0",
            all_depth=self.all_depth,
            people=(PEOPLE if self.worlds == "rich" else 1) if self.masks else 0,
        )


def to_example(
    clip: ProceduralClip,
    *,
    scene_id: str,
    source: str,
    license: str,
    all_depth: bool = False,
    people: int = 0,
) -> schema.Example:
    """Turn a rendered clip on the host into a record, with depth of the source or of all views.

    Masks are of the instances 1 to `people`; 0 writes none.
    """
    pictures = np.round(np.clip(clip.frames, 0, 1) * 255).astype(np.uint8)
    views, frames = pictures.shape[:2]
    files = np.empty((views, frames), object)
    depth, masks = np.full((2, *files.shape), b"", object)
    for i, j in np.ndindex(files.shape):
        files[i, j] = transforms.encode_jpeg(pictures[i, j])
        if i == 0 or all_depth:
            depth[i, j] = transforms.encode_depth(np.asarray(clip.depth[i, j]))
        if people:
            assert clip.instances is not None
            seen = np.asarray(clip.instances[i, j])
            inside = (seen > 0) & (seen <= people)
            masks[i, j] = transforms.encode_mask(np.where(inside, 255, 0).astype("u1"))
    times = np.asarray(clip.timestamps, np.float32)
    return schema.make_example(
        files,
        np.asarray(clip.intrinsics),
        np.asarray(clip.world_to_camera),
        times - times[0],
        scene_id=scene_id,
        fps=float(1 / np.diff(times).mean()) if frames > 1 else 1.0,
        source=source,
        license=license,
        depth16=depth,
        masks=masks,
    )


@cache
def scene_program(
    views: int,
    frames: int,
    height: int,
    width: int,
    worlds: Worlds,
    orbit: bool = False,
) -> Callable[..., ProceduralClip]:
    """Return one program for all scenes of a size; takes the index, and textures if rich."""
    size = {"views": views, "frames": frames, "height": height, "width": width}
    return jax.jit(partial(procedural_scene, **size, worlds=worlds, orbit=orbit))


def read_textures(folder: str) -> Float32[np.ndarray, "n s s 3"]:
    """Read the pictures of a folder and the first frames of its videos, by name, in [0, 1].

    They are cut to squares of `side` pixels.

    Raises:
      ValueError: there are none, or one does not decode.
    """
    side = 256
    files = media_files.listed(Path(folder), media_files.PICTURES | media_files.VIDEOS)
    plain_files.check_field(f"textures {folder}", files, "no picture or video", "some")
    pictures = map(media_files.first_picture, files)
    squares = [transforms.cover(x, np.eye(3), side, side)[0] for x in pictures]
    return np.stack(squares).astype(np.float32) / 255


def textures_mark(folder: str) -> str:
    """Return the number of pictures in a folder and their hash; errors as in `read_textures`."""
    pictures = read_textures(folder)
    return f"{len(pictures)}, sha256:{hashlib.sha256(pictures.tobytes()).hexdigest()}"
