"""Animated glTF assets as clips of a data set: shapes that procedural scenes lack."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from input_pipeline.procedural.clips import to_example
from input_pipeline.procedural.gltf_mesh import animation_seconds, load_skinned_mesh
from input_pipeline.procedural.gltf_scene import gltf_clip
from input_pipeline.schema import Example

INTERVALS = 0.04, 0.12  # seconds between two instants


@dataclass(frozen=True)
class GltfClips:
    """Clips of random animations of the assets in turn, from random sides; see `gltf_clip`.

    Clip i is a pure function of the assets, the shape and i. Its scene is the asset's name, so that
    no split has an asset that another one has.
    """

    assets: tuple[Path, ...]
    """.glb files with a skinned mesh and animations."""
    count: int
    views: int
    frames: int
    height: int
    width: int
    spread: float = 60.0
    """Degrees that a target may stand away from the source."""
    orbit: bool = False
    """Place the targets in equal steps along one arc, as a freeze-time video goes."""
    license: str = ""

    @cached_property
    def animations(self) -> list[dict[str, float]]:
        """Names of each asset's animations, and their seconds."""
        meshes = [load_skinned_mesh(path) for path in self.assets]
        return [
            {name: animation_seconds(mesh, name) for name in mesh.animations} for mesh in meshes
        ]

    @property
    def scene_ids(self) -> list[str]:
        """Scene of each clip."""
        return [self._scene_id(i) for i in range(self.count)]

    def _scene_id(self, index: int) -> str:
        return f"gltf-{self.assets[index % len(self.assets)].stem}"

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.count

    def __getitem__(self, index: int, /) -> Example:
        """Render a clip."""
        generator = np.random.default_rng(index)
        which = index % len(self.assets)
        names = self.animations[which]
        animation = str(generator.choice(sorted(names)))
        start = generator.uniform(0, names[animation])
        interval = generator.uniform(*INTERVALS)
        azimuth = generator.uniform(0, 360)
        if self.orbit:
            end = generator.uniform(-self.spread, self.spread)
            targets = np.linspace(0, end, self.views)[1:]
        else:
            targets = generator.uniform(-self.spread, self.spread, self.views - 1)
        clip = gltf_clip(
            self.assets[which],
            animation=animation,
            start=float(start),
            interval=float(interval),
            source_azimuth=float(azimuth),
            target_azimuths=tuple(targets.tolist()),
            frames=self.frames,
            height=self.height,
            width=self.width,
        )
        return to_example(
            jax.device_get(clip),
            scene_id=self._scene_id(index),
            source=f"{self.assets[which].name}: {animation}, {start:.3f} s, {azimuth:.1f} degrees",
            license=self.license,
        )


def find_assets(path: Path) -> tuple[Path, ...]:
    """Return the file, or all .glb files of a folder in order of name.

    Raises:
      ValueError: there are none, or one has no animation or is no skinned mesh that we read.
    """
    assets = tuple(sorted(path.glob("*.glb"))) if path.is_dir() else (path,)
    if not assets:
        raise ValueError(f"{path}: found no .glb file, expected some")
    for asset in assets:
        if not load_skinned_mesh(asset).animations:
            raise ValueError(f"{asset}: found no animation, expected at least one")
    return assets
