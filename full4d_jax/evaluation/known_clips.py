"""Clips with known truth that no model here was trained on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from full4d_jax.config import DataConfig
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip


class KnownClip(NamedTuple):
    """A clip and its number in its group.

    It is no `Grid`: its pictures are not rounded to bytes, nor is the truth that scores count on.
    """

    scene: int
    clip: ProceduralClip


def held_out_clips(data: DataConfig, scenes: Sequence[int]) -> Iterator[KnownClip]:
    """Yield procedural scenes beyond every training index; targets within ±60°."""
    make = scene_program(data.views, data.frames, data.height, data.width, data.worlds)
    for scene in scenes:
        yield KnownClip(scene, make(HELD_OUT_START + scene))
