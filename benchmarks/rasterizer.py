"""Times our rasterizer and gsplat in turn; a JSON line comes last.

    python benchmarks/rasterizer.py [--scenes 10k 100k garden hd_100k hd_500k hd_2m]

The first scenes are small, for one CPU core; those of `hd` are 1920x1080, for a GPU. The scene
`garden` needs the real data (FULL4D_DATA). gsplat needs the `parity` extra: on a CPU it is its
PyTorch reference, with a PyTorch for CUDA, and nvcc, its kernels. What is missing is left out, and
`gsplat_problem` says why.

Keys `gsplat_{forward,forward_backward}_{scene}` are ratios of times, theirs over ours, best of
interleaved runs in this process; `ours_...` are milliseconds; `difference_{scene}` is the mean of
the absolute differences of the two pictures, colours in [0, 1]. On a CPU all run on one core and
times are CPU time, which other work on the machine disturbs least; on several cores it would count
threads that spin while they wait. Ours also computes expected depth.
`ours_{projection,lists,compositing}_100k` are the stages of the forward pass, and
`evaluations_per_core_second` is the rate of the last.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import Thunk, interleaved, shared_folder

from gaussians import Camera, Gaussians, harmonics, intersection_budget, render
from gaussians.rendering.binning import choose_tiles
from gaussians.rendering.platforms import composite, list_splats
from gaussians.rendering.projection import project_gaussians

GARDEN = "data/garden/test_garden.npz"
# Gaussians, rows, columns. About as many lie behind a pixel of `hd`, however many there are.
RANDOM_SCENES = {
    "10k": (10_000, 256, 256),
    "100k": (100_000, 512, 512),
    "hd_100k": (100_000, 1080, 1920),
    "hd_500k": (500_000, 1080, 1920),
    "hd_2m": (2_000_000, 1080, 1920),
}
CPU_SCENES = ("10k", "100k", "garden")


class Scene(NamedTuple):
    """A scene to draw, with the budget of intersections that it just needs."""

    gaussians: Gaussians
    camera: Camera
    slots: int


def main() -> None:
    """Prints progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Times the rasterizer.")
    names = [*RANDOM_SCENES, "garden"]
    parser.add_argument("--scenes", nargs="+", choices=names, default=CPU_SCENES)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    # Before jax starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results: dict[str, Any] = {"device": jax.devices()[0].device_kind}
    for name, scene in scenes(options.scenes).items():
        passes = {"ours": our_passes(scene)}
        try:
            passes["gsplat"], picture = gsplat_passes(scene)
            results[f"difference_{name}"] = float(
                np.abs(picture - our_picture(scene)).mean()
            )
        except Exception as error:  # whatever keeps it from building or running here
            results["gsplat_problem"] = f"{type(error).__name__}: {error}"[:2000]
        for kind in ("forward", "forward_backward"):
            thunks = {
                who: thunk[kind] for who, thunk in passes.items() if kind in thunk
            }
            best = interleaved(thunks, options.repeats)
            ours = best.pop("ours")
            results[f"ours_{kind}_{name}"] = round(1e3 * ours, 2)
            results |= {
                f"{who}_{kind}_{name}": round(t / ours, 3) for who, t in best.items()
            }
            times = {who: f"{1e3 * t:.1f} ms" for who, t in best.items()}
            print(name, kind, f"ours {1e3 * ours:.1f} ms", times, flush=True)
        if name == "100k":
            results |= stages(scene)
    print(json.dumps(results))


def scenes(names: Sequence[str]) -> dict[str, Scene]:
    """Return scenes by name; without `garden` where its data is missing."""
    chosen = {}
    for name in names:
        if name in RANDOM_SCENES:
            count, height, width = RANDOM_SCENES[name]
            scale = 0.02 if name == "10k" else 0.01 * (1e5 / count) ** (1 / 3)
            chosen[name] = random_scene(count, height, width, scale)
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
        jnp.asarray(harmonics.from_rgb(rng.uniform(size=(count, 3)))),
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
        jnp.asarray(harmonics.from_rgb(data["colors"] / 255)),
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


def our_picture(scene: Scene) -> np.ndarray:
    """Return what ours draws."""
    return np.asarray(
        render(scene.gaussians, scene.camera, max_intersections=scene.slots).rgb
    )


def jitted(picture: Callable, parameters: object) -> dict[str, Thunk]:
    """Both passes as thunks that return when the result is there."""
    forward = jax.jit(picture)
    backward = jax.jit(
        jax.value_and_grad(lambda parameters: (picture(parameters) ** 2).sum())
    )
    return {
        "forward": lambda: jax.block_until_ready(forward(parameters)),
        "forward_backward": lambda: jax.block_until_ready(backward(parameters)),
    }


def gsplat_passes(scene: Scene) -> tuple[dict[str, Thunk], np.ndarray]:
    """Return both passes of gsplat in single precision, and its picture.

    Its reference has no backward pass but for the smallest scene: autograd's memory and minutes.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    draw = gsplat_kernels if on_gpu else gsplat_reference
    device = "cuda" if on_gpu else "cpu"
    camera = scene.camera
    parameters = [torch.tensor(np.asarray(x), device=device) for x in scene.gaussians]
    view = [
        torch.tensor(np.asarray(x), device=device)
        for x in (camera.world_to_camera, camera.intrinsics)
    ]

    def finish() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    def forward() -> None:
        with torch.no_grad():
            draw(parameters, view, camera)
        finish()

    def forward_backward() -> None:
        for parameter in parameters:
            parameter.requires_grad_()
        torch.autograd.grad((draw(parameters, view, camera) ** 2).sum(), parameters)
        finish()

    with torch.no_grad():
        shown = draw(parameters, view, camera).cpu().numpy()
    passes: dict[str, Thunk] = {"forward": forward}
    if on_gpu or len(scene.gaussians.means) <= 10_000:
        passes["forward_backward"] = forward_backward
    return passes, shown


def gsplat_reference(parameters: list, view: list, camera: Camera) -> Any:
    """Draw by gsplat's PyTorch reference."""
    import gsplat_torch
    import torch

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


def gsplat_kernels(parameters: list, view: list, camera: Camera) -> Any:
    """Draw by gsplat's CUDA kernels."""
    from gsplat import rasterization

    means, quaternions, log_scales, logits, colors = parameters
    painted, *_ = rasterization(
        means=means,
        quats=quaternions,
        scales=log_scales.exp(),
        opacities=logits.sigmoid(),
        colors=colors,
        sh_degree=0,
        viewmats=view[0][None],
        Ks=view[1][None],
        width=camera.width,
        height=camera.height,
    )
    return painted[0]


def stages(scene: Scene) -> dict[str, float]:
    """CPU milliseconds of the stages of a forward pass, and the rate of the last.

    `evaluations_per_core_second`: Gaussian-pixel pairs of the lists, skipped by early exit or not.
    """
    gaussians, camera, slots = scene
    tiles = choose_tiles(camera.width, camera.height, gaussians.means.shape[0])
    opacities = jax.nn.sigmoid(gaussians.logit_opacities)
    in_screen = jax.jit(lambda g, o: project_gaussians(g, o, camera, antialiased=False))
    lists = jax.jit(list_splats, static_argnums=(1, 2))
    draw = jax.jit(composite, static_argnums=2)

    splats = in_screen(gaussians, opacities)
    bins = lists(splats, tiles, slots)
    a, b, c = splats.conics.T
    geometry = [*splats.centers.T, -a / 2, -b, -c / 2, jnp.log(opacities)]
    features = jnp.stack([*geometry, *gaussians.harmonics[:, 0].T, splats.depths], -1)
    best = interleaved(
        {
            "projection": lambda: jax.block_until_ready(
                in_screen(gaussians, opacities)
            ),
            "lists": lambda: jax.block_until_ready(lists(splats, tiles, slots)),
            "compositing": lambda: jax.block_until_ready(draw(features, bins, tiles)),
        },
        repeats=5,
    )
    pairs = int(bins.length.sum()) * tiles.quarters.side**2
    return {
        f"ours_{name}_100k": round(1e3 * time, 2) for name, time in best.items()
    } | {"evaluations_per_core_second": round(pairs / best["compositing"])}


if __name__ == "__main__":
    main()
