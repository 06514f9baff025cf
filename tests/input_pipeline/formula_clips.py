"""Valid records with pictures made by formula; a module, so that other processes find it."""

from dataclasses import dataclass

import numpy as np

from input_pipeline import Example, pinhole, transforms
from input_pipeline.schema import make_example

HEIGHT, WIDTH = 24, 32


def smooth_frame(view: int, time: int) -> np.ndarray:
    """A picture without sharp edges, so that JPEG keeps it to a few grey levels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    channels = [np.sin(3 * x + view), np.cos(2 * y + time), np.sin(2 * x + 3 * y)]
    return np.round(127.5 + 100 * np.stack(channels, -1)).astype(np.uint8)


def make(number: int = 0, *, v: int = 3, t: int = 2) -> Example:
    """The number tells records apart."""
    frames, depth = np.empty((v, t), object), np.full((v, t), b"", object)
    for i, j in np.ndindex(v, t):
        frames[i, j] = transforms.encode_jpeg(smooth_frame(number + i, j))
        if i:
            depth[i, j] = transforms.encode_depth(np.full((HEIGHT, WIDTH), 2.0 + i))
    azimuth = np.linspace(-20, 20, v)[:, None] * np.ones(t)
    poses = pinhole.orbit(azimuth, np.zeros((v, t)), 2.0)
    return make_example(
        frames,
        np.stack([pinhole.intrinsics_from_fov(60.0, HEIGHT, WIDTH)] * v),
        poses,
        np.arange(t) / 10,
        scene_id=f"scene-{number}",
        fps=10.0,
        source="made by formula",
        license="Apache-2.0",
        depth16=depth,
    )


@dataclass(frozen=True)
class FormulaClips:
    """Scenes of two clips each."""

    count: int

    @property
    def scene_ids(self) -> list[str]:
        return [f"scene-{i // 2}" for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        return make(index)._replace(scene_id=self.scene_ids[index])
