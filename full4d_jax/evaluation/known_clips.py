"""Clips with known truth that no model here was trained on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from full4d_jax.config import DataConfig
from full4d_jax.session.errors import input_errors
from input_pipeline.procedural.clips import scene_program
from input_pipeline.procedural.gltf_mesh import load_skinned_mesh
from input_pipeline.procedural.gltf_scene import gltf_clip
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip

GLTF_ANGLE = 50.0  # degrees, the widest target camera around a glTF asset
GLTF_SOURCES = (50.0, 230.0)  # azimuths of the source camera
GLTF_START = 0.2  # seconds
GLTF_INTERVAL = 0.1  # seconds


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


def gltf_views(path: Path) -> list[tuple[str, float]]:
    """List the clips of an asset: every animation, seen from two source azimuths."""
    with input_errors("glTF", "give a .glb file with a textured, skinned mesh"):
        animations = load_skinned_mesh(path).animations
    return [(name, azimuth) for name in animations for azimuth in GLTF_SOURCES]


def gltf_clips(data: DataConfig, path: Path, scenes: Sequence[int]) -> Iterator[KnownClip]:
    """Yield the clips of an asset by their numbers in `gltf_views`."""
    targets = data.views - 1
    angles = np.linspace(-GLTF_ANGLE, GLTF_ANGLE, targets + targets % 2)[:targets]
    for scene in scenes:
        animation, azimuth = gltf_views(path)[scene]
        clip = gltf_clip(
            path,
            animation=animation,
            start=GLTF_START,
            interval=GLTF_INTERVAL,
            source_azimuth=azimuth,
            target_azimuths=tuple(angles.tolist()),
            frames=data.frames,
            height=data.height,
            width=data.width,
        )
        yield KnownClip(scene, clip)
