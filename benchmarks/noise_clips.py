"""Clips to time reading with: pictures that compress about as photos do."""

from dataclasses import dataclass

import cv2
import numpy as np

from input_pipeline import Example, cameras
from input_pipeline.schema import VERSION
from input_pipeline.transforms import encode_jpeg


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
        files = np.empty((self.views, self.frames), object)
        for place in np.ndindex(files.shape):
            files[place] = encode_jpeg(self._picture(generator))
        v, t = files.shape
        return Example(
            version=VERSION,
            scene_id=f"noise-{range(self.count)[index]}",
            fps=24.0,
            timestamps=np.tile(np.arange(t, dtype=np.float32) / 24, (v, 1)),
            frames=files,
            intrinsics=np.stack(
                [cameras.intrinsics_from_fov(60, self.height, self.width)] * v
            ).astype(np.float32),
            world_to_camera=np.tile(np.eye(4, dtype=np.float32), (v, t, 1, 1)),
            distortion=np.zeros((v, 8), np.float32),
            depth16=np.full((v, t), b"", object),
            masks=np.full((v, t), b"", object),
            latents=np.zeros((v, 0, 0, 0, 0), np.float16),
            codec="",
            caption="",
            unit=0.0,
            source="noise",
            license="Apache-2.0",
        )

    def _picture(self, generator: np.random.Generator) -> np.ndarray:
        total = np.full((self.height, self.width, 3), 128, np.float32)
        for cells, strength in ((4, 90), (16, 50), (64, 30), (128, 12)):
            rows = max(2, cells * self.height // self.width)
            coarse = generator.normal(size=(rows, cells, 3)).astype(np.float32)
            total += strength * cv2.resize(coarse, (self.width, self.height))
        return np.clip(total, 0, 255).astype(np.uint8)
