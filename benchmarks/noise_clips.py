"""Clips to time reading with: pictures that compress about as photos do."""

from dataclasses import dataclass

import cv2
import numpy as np

from input_pipeline import Example, cameras
from input_pipeline.procedural import ProceduralClip
from input_pipeline.procedural_clips import to_example


@dataclass(frozen=True)
class NoiseClips:
    """Clips of smooth noise, some of it fine: about as many bytes a pixel as photos."""

    count: int
    views: int
    frames: int
    height: int
    width: int

    @property
    def scene_ids(self) -> list[str]:
        """One a clip."""
        return [f"noise-{i}" for i in range(self.count)]

    def __len__(self) -> int:
        """Number of clips."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """The clip."""
        generator = np.random.default_rng(index)
        v, t, h, w = self.views, self.frames, self.height, self.width
        lens = cameras.intrinsics_from_fov(60, h, w)
        clip = ProceduralClip(
            frames=np.array([[self._picture(generator) for _ in range(t)] for _ in range(v)]),
            depth=np.zeros((v, t, h, w), np.float32),  # unknown
            intrinsics=np.stack([lens] * v),
            world_to_camera=np.tile(np.eye(4), (v, t, 1, 1)),
            timestamps=np.arange(t) / 24,
        )
        number = range(self.count)[index]
        return to_example(clip, scene_id=f"noise-{number}", source="noise", license="Apache-2.0")

    def _picture(self, generator: np.random.Generator) -> np.ndarray:
        total = np.full((self.height, self.width, 3), 128, np.float32)
        for cells, strength in ((4, 90), (16, 50), (64, 30), (128, 12)):
            rows = max(2, cells * self.height // self.width)
            coarse = generator.normal(size=(rows, cells, 3)).astype(np.float32)
            total += strength * cv2.resize(coarse, (self.width, self.height))
        return np.clip(total / 255, 0, 1)
