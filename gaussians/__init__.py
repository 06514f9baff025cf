"""Gaussian splatting for any JAX backend, in space and time.

    picture = render(gaussians, camera)                      # rgb, depth, alpha, overflow
    picture = render(gaussians, camera, features=features)   # and features of any width
    seen = render_surfaces(gaussians, camera)                # ids, median depth
    picture = render(dynamic.at(0.5), camera)                # one instant of a 4D scene
    clip = render_clip(dynamic, cameras, times)              # many cameras and instants
    result = fit(initialize(...), targets, FitConfig(), key) # a 4D scene from pictures
    save_ply("scene.ply", gaussians)

Everything is a pure function of arrays; `gaussians.types` has the conventions. The public names are
loaded when they are first used, so that `import gaussians` loads no file format. Axis letters:

    g      Gaussians
    k      coefficients of spherical harmonics, (degree + 1)^2
    v t    views, frames of a clip
    n      pictures, each with its own camera and time
    h w c  rows, columns, channels
    f      features of a Gaussian on its way to the screen, or of a plane
    r      samples of a plane along an axis of space
    b      any axes in front

All other axes have names: slots, tiles, chunks, places (of a chunk), pixels (of a tile), novel
(pictures at novel cameras), hidden.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaussians.deformation import DeformingGaussians, Scene, deforming
    from gaussians.fitting.distillation import (
        Distillation,
        distillation_loss,
        distillation_targets,
    )
    from gaussians.fitting.fit_config import FitConfig, Targets
    from gaussians.fitting.fit_step import Fitted
    from gaussians.fitting.initialization import initialize
    from gaussians.fitting.loop import fit
    from gaussians.fitting.relocation import with_room
    from gaussians.formats.birth_4dgs import save_4dgs
    from gaussians.formats.dynamic_ply import (
        load_any_ply,
        load_dynamic_ply,
        load_ply_sequence,
        save_dynamic_ply,
        save_ftgs_ply,
        save_ply_sequence,
    )
    from gaussians.formats.gltf import save_glb
    from gaussians.formats.ply import load_ply, save_packed_ply, save_ply
    from gaussians.formats.scene_files import FormatError
    from gaussians.formats.sog import load_sog, save_sog
    from gaussians.formats.splat import load_splat, save_splat
    from gaussians.formats.spz import load_spz, save_spz
    from gaussians.motion import DynamicGaussians, still
    from gaussians.rendering.rasterizer import (
        clip_budget,
        intersection_budget,
        render,
        render_clip,
        render_surfaces,
    )
    from gaussians.types import Camera, Gaussians, Rendering, Surfaces

_NAMES = {
    "deformation": "DeformingGaussians Scene deforming",
    "fitting.distillation": "Distillation distillation_loss distillation_targets",
    "fitting.fit_config": "FitConfig Targets",
    "fitting.fit_step": "Fitted",
    "fitting.initialization": "initialize",
    "fitting.loop": "fit",
    "fitting.relocation": "with_room",
    "formats.birth_4dgs": "save_4dgs",
    "formats.dynamic_ply": "load_any_ply load_dynamic_ply load_ply_sequence "
    "save_dynamic_ply save_ftgs_ply save_ply_sequence",
    "formats.gltf": "save_glb",
    "formats.ply": "load_ply save_packed_ply save_ply",
    "formats.scene_files": "FormatError",
    "formats.sog": "load_sog save_sog",
    "formats.splat": "load_splat save_splat",
    "formats.spz": "load_spz save_spz",
    "motion": "DynamicGaussians still",
    "rendering.rasterizer": "clip_budget intersection_budget render render_clip render_surfaces",
    "types": "Camera Gaussians Rendering Surfaces",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gaussians' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gaussians.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
