"""Times our renderer at 1920x1080 against gsplat's CUDA kernels; a JSON line comes last.

    python benchmarks/rasterizer_gpu.py [--gaussians 100000 500000 2000000]

gsplat needs the extra `parity` with a PyTorch for CUDA, and nvcc: it compiles its kernels when they
are first used. Where it cannot, `gsplat_problem` says why and its numbers are missing.

Keys `{ours,gsplat}_{forward,forward_backward}_{count}`: milliseconds, best of interleaved runs;
`slots_{count}`: intersections of Gaussians and tiles; `difference_{count}`: mean of the absolute
differences of the two pictures, colours in [0, 1]. Ours also computes expected depth.
"""

import argparse
import json
from typing import Any

import jax
import numpy as np
from common import Thunk, interleaved
from rasterizer import Scene, our_passes, random_scene

from gaussians import render


def main() -> None:
    """Print progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Times renderers at full size.")
    parser.add_argument("--gaussians", type=int, nargs="+", default=[100_000, 500_000, 2_000_000])
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if min(*options.gaussians, options.height, options.width, options.repeats, 1) < 1:
        raise SystemExit("--gaussians, --height, --width, --repeats: expected at least 1")
    results: dict[str, Any] = {"device": jax.devices()[0].device_kind}
    for count in options.gaussians:
        # Of a size at which about as many Gaussians lie behind a pixel, however many there are.
        scene = random_scene(count, options.height, options.width, 0.01 * (1e5 / count) ** (1 / 3))
        passes = {"ours": our_passes(scene)}
        try:
            passes["gsplat"], picture = gsplat_passes(scene)
            results[f"difference_{count}"] = float(np.abs(picture - ours(scene)).mean())
        except Exception as error:  # whatever keeps it from building or running here
            results["gsplat_problem"] = f"{type(error).__name__}: {error}"[:2000]
        results[f"slots_{count}"] = scene.slots
        for kind in ("forward", "forward_backward"):
            best = interleaved({who: x[kind] for who, x in passes.items()}, options.repeats)
            for who, seconds in best.items():
                results[f"{who}_{kind}_{count}"] = round(1e3 * seconds, 3)
            print(count, kind, {who: f"{1e3 * t:.2f} ms" for who, t in best.items()}, flush=True)
    print(json.dumps(results))


def ours(scene: Scene) -> np.ndarray:
    """Return our picture."""
    draw = jax.jit(lambda x: render(x, scene.camera, max_intersections=scene.slots).rgb)
    return np.asarray(draw(scene.gaussians))


def gsplat_passes(scene: Scene) -> tuple[dict[str, Thunk], np.ndarray]:
    """Return both passes of gsplat's kernels, and their picture."""
    import torch
    from gsplat import rasterization

    def tensor(x: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(x), device="cuda")

    camera = scene.camera
    parameters = [tensor(x) for x in scene.gaussians]
    place = {"viewmats": tensor(camera.world_to_camera)[None]}
    place |= {"Ks": tensor(camera.intrinsics)[None]}
    size = {"width": camera.width, "height": camera.height}

    def picture() -> torch.Tensor:
        means, quaternions, log_scales, logits, colors = parameters
        shape = {"means": means, "quats": quaternions, "scales": log_scales.exp()}
        painted, *_ = rasterization(
            **shape, opacities=logits.sigmoid(), colors=colors, sh_degree=0, **place, **size
        )
        return painted[0]

    def forward() -> None:
        with torch.no_grad():
            picture()
        torch.cuda.synchronize()

    def forward_backward() -> None:
        for parameter in parameters:
            parameter.requires_grad_()
        torch.autograd.grad((picture() ** 2).sum(), parameters)
        torch.cuda.synchronize()

    with torch.no_grad():
        shown = picture().cpu().numpy()
    return {"forward": forward, "forward_backward": forward_backward}, shown


if __name__ == "__main__":
    main()
