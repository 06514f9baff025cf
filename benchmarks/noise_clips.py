"""Clips to time reading with: pictures that compress about as photos do."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from input_pipeline import Example, cameras
from input_pipeline.schema import make_example
from input_pipeline.transforms import encode_view


@dataclass(frozen=True)
class NoiseClips:
    """Clips of smooth noise, some of it fine: about as many bytes a pixel as real footage."""

    count: int
    views: int
    frames: int
    height: int
    width: int
    film: bool = False
    """One noise that wanders, below a little fresh grain, as H.264; else JPEG files."""

    @property
    def scene_ids(self) -> list[str]:
        """Names, one for each clip."""
        return [f"noise-{i}" for i in range(self.count)]

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """Return the clip."""
        generator = np.random.default_rng(index)
        v, t = self.views, self.frames
        pictures = self._film if self.film else self._pictures
        files = np.stack([encode_view(pictures(generator), self.film) for _ in range(v)])
        return make_example(
            files,
            np.stack([cameras.intrinsics_from_fov(60.0, self.height, self.width)] * v),
            np.tile(np.eye(4), (v, t, 1, 1)),
            np.arange(t) / 24,
            scene_id=f"noise-{range(self.count)[index]}",
            fps=24.0,
            source="noise",
            license="Apache-2.0",
        )

    def _pictures(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        return (_noise(generator, self.height, self.width) for _ in range(self.frames))

    def _film(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        far = 3 * self.frames
        whole = _noise(generator, self.height + far, self.width + far)
        for j in range(self.frames):
            part = whole[2 * j : 2 * j + self.height, 3 * j : 3 * j + self.width]
            grain = generator.normal(0, 0.7, part.shape)
            yield np.clip(part + grain, 0, 255).astype(np.uint8)


def _noise(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    total = np.full((height, width, 3), 128, np.float32)
    for cells, strength in ((4, 90), (16, 50), (64, 30), (128, 12)):
        rows = max(2, cells * height // width)
        coarse = generator.normal(size=(rows, cells, 3)).astype(np.float32)
        total += strength * cv2.resize(coarse, (width, height))
    return np.clip(total, 0, 255).astype(np.uint8)
