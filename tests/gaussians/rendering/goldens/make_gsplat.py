"""Writes `gsplat_sh*.npz` beside itself: random scenes as gsplat's PyTorch reference renders them.

    pip install --constraint constraints.txt --editable '.[parity]'
    python tests/gaussians/rendering/goldens/make_gsplat.py

Each file holds the inputs of `gsplat_torch.render` (`in_...`), its three outputs (`out_...`), a
random cotangent of each (`cotangent_...`) and the gradients that autograd pulls back to the inputs
(`gradient_...`). Computed in double precision, stored in single.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CASES = {0: False, 3: True}  # degree of the harmonics: antialiased
INPUTS = (
    "means",
    "quaternions",
    "log_scales",
    "logit_opacities",
    "harmonics",
    "world_to_camera",
    "intrinsics",
    "background",
)
OUTPUTS = ("rgb", "depth", "alpha")


def scene(
    seed: int, degree: int, g: int = 40, width: int = 40, height: int = 28
) -> dict:
    """Inputs and cotangents: overlapping Gaussians in front of a turned camera with its principal
    point off the centre."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = turn * np.sign(np.diagonal(turn))
    pose[:3, 3] = rng.normal(0, 0.2, 3)
    middle = width / 2 + 3, height / 2 - 2
    inputs = (
        rng.uniform(-1, 1, (g, 3)) + [0, 0, 3],
        rng.normal(size=(g, 4)),
        rng.normal(-2.3, 0.4, (g, 3)),
        rng.normal(0, 1.5, g),
        rng.normal(0, 0.4, (g, (degree + 1) ** 2, 3)),
        pose,
        np.array([[46.0, 0, middle[0]], [0, 42.0, middle[1]], [0, 0, 1]]),
        np.array([0.2, 0.5, 0.9]),
    )
    shapes = (height, width, 3), (height, width), (height, width)
    cotangents = [rng.normal(size=shape) for shape in shapes]
    values = {f"in_{name}": x for name, x in zip(INPUTS, inputs, strict=True)}
    values |= {f"cotangent_{x}": y for x, y in zip(OUTPUTS, cotangents, strict=True)}
    return {name: x.astype(np.float32) for name, x in values.items()}


def solve(values: dict, antialiased: bool) -> dict:
    """Return gsplat's outputs for a `scene`, and the gradients of the cotangents."""
    sys.path.insert(0, str(HERE.parents[3] / "benchmarks"))
    import gsplat_torch
    import torch

    inputs = [torch.tensor(values[f"in_{x}"]).double().requires_grad_() for x in INPUTS]
    cotangents = [torch.tensor(values[f"cotangent_{x}"]).double() for x in OUTPUTS]
    height, width = values["cotangent_alpha"].shape
    picture = gsplat_torch.render(
        *inputs,
        width=width,
        height=height,
        sh_degree=round(values["in_harmonics"].shape[1] ** 0.5) - 1,
        antialiased=antialiased,
    )
    gradients = torch.autograd.grad(picture, inputs, cotangents)
    solved = {f"out_{n}": x for n, x in zip(OUTPUTS, picture, strict=True)}
    solved |= {f"gradient_{n}": x for n, x in zip(INPUTS, gradients, strict=True)}
    solved = {name: x.detach().float().numpy() for name, x in solved.items()}
    return values | solved | {"antialiased": np.array(antialiased)}


if __name__ == "__main__":
    for degree, antialiased in CASES.items():
        path = HERE / f"gsplat_sh{degree}.npz"
        np.savez_compressed(path, **solve(scene(degree, degree), antialiased))
        print(path, path.stat().st_size)
