"""Times our rasterizer, another one and gsplat's PyTorch reference in turn; a JSON line comes last.

    python benchmarks/rasterizer.py [--compare PROTOTYPE.py] [--scenes 10k 100k garden]

PROTOTYPE.py must define `render(means, quats, scales, opacities, colors, V, K, *, W, H, M, ts)`
that returns (rgb, alpha, intersections); it gets our budget M and our tile side ts. gsplat needs
the `parity` extra, the scene `garden` the real data (FULL4D_DATA); what is missing is left out.

Keys `{prototype,gsplat_torch}_{forward,forward_backward}_{scene}` are ratios of times, theirs over
ours, best of interleaved runs in this process; `ours_...` are milliseconds. All run on one
core and times are CPU time, which other work on the machine disturbs least; on several cores it
would count threads that spin while they wait. Ours also computes expected depth.
`ours_{projection,lists,compositing}_100k` are the stages of the forward pass, and
`evaluations_per_core_second` is the rate of the last.
"""

import argparse
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import Thunk, interleaved, shared_folder

from gaussians import Camera, Gaussians, harmonics, intersection_budget, render
from gaussians.rendering.binning import SIDE, bin_quarters, choose_tiles
from gaussians.rendering.compositing import forward
from gaussians.rendering.projection import project_gaussians

GARDEN = "data/garden/test_garden.npz"
SCENES = ("10k", "100k", "garden")


class Scene(NamedTuple):
    """A scene to draw, with the budget of intersections that it just needs."""

    gaussians: Gaussians
    camera: Camera
    slots: int


def main() -> None:
    """Prints progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Times the rasterizer.")
    compare_help = (
        "a file that defines render(means, quats, scales, opacities, colors, V, K, *, W, H, M, ts)"
    )
    parser.add_argument("--compare", type=Path, metavar="PROTOTYPE.py", help=compare_help)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.repeats < 1:
        raise SystemExit(f"--repeats: found {options.repeats}, expected at least 1")
    prototype = load_prototype(options.compare) if options.compare else None
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before jax starts its threads
    with_gsplat = all(importlib.util.find_spec(name) for name in ("torch", "gsplat", "nerfacc"))
    if not with_gsplat:
        print("gsplat's reference is not timed: the `parity` extra is not installed")
    results: dict[str, float] = {}
    for name, scene in scenes(options.scenes).items():
        passes = {"ours": our_passes(scene)}
        if prototype:
            passes["prototype"] = prototype_passes(scene, prototype)
        if with_gsplat:
            passes["gsplat_torch"] = gsplat_passes(scene)
            if name != "10k":  # autograd's memory and minutes
                del passes["gsplat_torch"]["forward_backward"]
        for kind in ("forward", "forward_backward"):
            thunks = {who: thunk[kind] for who, thunk in passes.items() if kind in thunk}
            best = interleaved(thunks, options.repeats)
            ours = best.pop("ours")
            results[f"ours_{kind}_{name}"] = round(1e3 * ours, 2)
            results |= {f"{who}_{kind}_{name}": round(t / ours, 3) for who, t in best.items()}
            times = {who: f"{1e3 * t:.1f} ms" for who, t in best.items()}
            print(name, kind, f"ours {1e3 * ours:.1f} ms", times, flush=True)
    if "100k" in options.scenes:
        results |= stages(random_scene(100_000, 512, 512, 0.01))
    print(json.dumps(results))


def scenes(names: Sequence[str]) -> dict[str, Scene]:
    """Return scenes by name; without `garden` where its data is missing."""
    chosen = {}
    if "10k" in names:
        chosen["10k"] = random_scene(10_000, 256, 256, 0.02)
    if "100k" in names:
        chosen["100k"] = random_scene(100_000, 512, 512, 0.01)
    if "garden" not in names:
        return chosen
    path = shared_folder() / GARDEN
    if path.is_file():
        chosen["garden"] = garden(path)
    else:
        print(f"garden is not timed: no {path} (set FULL4D_DATA)")
    return chosen


def random_scene(count: int, height: int, width: int, scale: float) -> Scene:
    """`count` Gaussians of about `scale` world units in a cube, seen at `height` x `width`."""
    rng = np.random.default_rng(0)
    fields = (
        rng.uniform(-1, 1, (count, 3)) + [0, 0, 3],
        rng.normal(size=(count, 4)),
        np.log(scale) + rng.normal(0, 0.5, (count, 3)),
        logit(rng.uniform(0.05, 0.95, count)),
        harmonics.from_rgb(jnp.asarray(rng.uniform(size=(count, 3)))),
    )
    focal = 1.2 * max(height, width)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = Camera(jnp.eye(4), jnp.float32(intrinsics), width, height)
    return with_budget(Gaussians(*map(jnp.float32, fields)), camera)


def garden(path: Path) -> Scene:
    """138,766 real points seen by a real camera; their shapes are drawn from a seed."""
    with np.load(path) as file:
        data = dict(file)
    rng = np.random.default_rng(0)
    count = len(data["means3d"])
    fields = (
        data["means3d"],
        rng.normal(size=(count, 4)),
        np.log(0.02 * rng.uniform(0.01, 1, (count, 3))),
        rng.normal(0, 1.5, count),
        harmonics.from_rgb(jnp.asarray(data["colors"] / 255)),
    )
    pose = jnp.float32(data["viewmats"][0])
    intrinsics = jnp.float32(data["Ks"][0])
    camera = Camera(pose, intrinsics, int(data["width"]), int(data["height"]))
    return with_budget(Gaussians(*map(jnp.float32, fields)), camera)


def logit(probability: np.ndarray) -> np.ndarray:
    """Inverse of the sigmoid."""
    return np.log(probability / (1 - probability))


def with_budget(gaussians: Gaussians, camera: Camera) -> Scene:
    """Counts first, so that no slot is wasted and none is missing."""
    return Scene(gaussians, camera, intersection_budget(gaussians, camera, slack=1.0))


def our_passes(scene: Scene) -> dict[str, Thunk]:
    """Forward pass, and the gradient of a sum of squares in all parameters."""

    def picture(gaussians: Gaussians) -> jax.Array:
        return render(gaussians, scene.camera, max_intersections=scene.slots).rgb

    return jitted(picture, scene.gaussians)


def load_prototype(path: Path) -> ModuleType:
    """Load the module in a file, which must define `render`."""
    spec = importlib.util.spec_from_file_location("prototype", path)
    if not path.is_file() or spec is None or spec.loader is None:
        found = "another kind of file" if path.is_file() else "no such file"
        raise SystemExit(f"--compare: {path}: found {found}, expected a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SystemExit(f"--compare: {path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, "render"):
        raise SystemExit(f"--compare: {path}: found no function render, see --help")
    return module


def prototype_passes(scene: Scene, module: ModuleType) -> dict[str, Thunk]:
    """Return both passes of the renderer in a file."""
    means, quaternions, log_scales, logits, coefficients = scene.gaussians
    colors = coefficients[:, 0] * harmonics.MEAN + 0.5
    parameters = [means, quaternions, jnp.exp(log_scales), jax.nn.sigmoid(logits), colors]
    camera = scene.camera
    size = {"W": camera.width, "H": camera.height, "M": scene.slots, "ts": SIDE}

    def picture(parameters: list[jax.Array]) -> jax.Array:
        return module.render(*parameters, camera.world_to_camera, camera.intrinsics, **size)[0]

    return jitted(picture, parameters)


def jitted(picture: Callable, parameters: object) -> dict[str, Thunk]:
    """Both passes as thunks that return when the result is there."""
    forward = jax.jit(picture)
    backward = jax.jit(jax.value_and_grad(lambda parameters: (picture(parameters) ** 2).sum()))
    return {
        "forward": lambda: jax.block_until_ready(forward(parameters)),
        "forward_backward": lambda: jax.block_until_ready(backward(parameters)),
    }


def gsplat_passes(scene: Scene) -> dict[str, Thunk]:
    """Return both passes of gsplat's reference, in single precision."""
    import gsplat_torch
    import torch

    camera = scene.camera
    parameters = [torch.tensor(np.asarray(x)) for x in scene.gaussians]
    view = [torch.tensor(np.asarray(x)) for x in (camera.world_to_camera, camera.intrinsics)]

    def picture() -> torch.Tensor:
        return gsplat_torch.render(
            *parameters,
            world_to_camera=view[0],
            intrinsics=view[1],
            background=torch.zeros(3),
            width=camera.width,
            height=camera.height,
            sh_degree=0,
            antialiased=False,
        ).rgb

    def forward() -> object:
        with torch.no_grad():
            return picture()

    def forward_backward() -> object:
        for parameter in parameters:
            parameter.requires_grad_()
        return torch.autograd.grad((picture() ** 2).sum(), parameters)

    return {"forward": forward, "forward_backward": forward_backward}


def stages(scene: Scene) -> dict[str, float]:
    """CPU milliseconds of the stages of a forward pass, and the rate of the last.

    `evaluations_per_core_second`: Gaussian-pixel pairs of the lists, skipped by early exit or not.
    """
    gaussians, camera, slots = scene
    tiles = choose_tiles(camera.width, camera.height, gaussians.means.shape[0])
    opacities = jax.nn.sigmoid(gaussians.logit_opacities)
    in_screen = jax.jit(lambda g, o: project_gaussians(g, o, camera, antialiased=False))
    lists = jax.jit(bin_quarters, static_argnums=(1, 2))
    draw = jax.jit(forward, static_argnums=2)

    splats = in_screen(gaussians, opacities)
    bins = lists(splats, tiles, slots)
    a, b, c = splats.conics.T
    geometry = [*splats.centers.T, -a / 2, -b, -c / 2, jnp.log(opacities)]
    features = jnp.stack([*geometry, *gaussians.harmonics[:, 0].T, splats.depths], -1)
    best = interleaved(
        {
            "projection": lambda: jax.block_until_ready(in_screen(gaussians, opacities)),
            "lists": lambda: jax.block_until_ready(lists(splats, tiles, slots)),
            "compositing": lambda: jax.block_until_ready(draw(features, bins, tiles.quarters)),
        },
        repeats=5,
    )
    pairs = int(bins.length.sum()) * tiles.quarters.side**2
    return {f"ours_{name}_100k": round(1e3 * time, 2) for name, time in best.items()} | {
        "evaluations_per_core_second": round(pairs / best["compositing"])
    }


if __name__ == "__main__":
    main()
