"""Writes `wan_vae.npz` and `tensors.pth` beside itself: what diffusers' VAEs make of random inputs.

    pip install diffusers==0.42.1 torch==2.13.0
    python tests/full4d_jax/models/goldens/make_wan_vae.py

Weights, videos and latents are drawn by name from numpy's frozen generator, so that the file holds
results only: latents of a video, frames of latents, and the gradients that PyTorch pulls back for
random cotangents. Of frames every fifth row and column is kept.
"""

import json
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FRAMES, STEP = 5, 5
SIZES = {"wan21": (12, 20), "wan22": (24, 40)}  # three by five latent pixels
# Three stages instead of four, for the compiler's sake: one change of sides, one of frames too.
SMALL = {
    "num_res_blocks": 1,
    "dim_mult": [1, 2, 2],
    "temperal_downsample": [False, True],
}
CASES = {
    "wan21": SMALL | {"base_dim": 4},
    "wan22": SMALL
    | {
        "base_dim": 4,
        "decoder_base_dim": 8,
        "z_dim": 6,
        "latents_mean": [0.1, -0.2, 0.3, -0.4, 0.5, -0.6],
        "latents_std": [0.5, 0.8, 1.1, 1.4, 1.7, 2.0],
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
    },
}


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, a function of the name, float32."""
    return (
        np.random.RandomState(zlib.crc32(name.encode()))
        .randn(*shape)
        .astype(np.float32)
    )


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of the network, such that values keep their size from layer to layer."""
    x = draw(name, shape)
    if name.endswith("gamma"):
        return 1 + 0.1 * x
    if name.endswith("bias"):
        return 0.1 * x
    # Diffusers clips frames to [-1, 1].
    size = 0.2 if name == "decoder.conv_out.weight" else 1.0
    return size * x / np.float32(np.sqrt(np.prod(shape[1:])))


def inputs(case: str) -> dict[str, np.ndarray]:
    """A batch of two videos, latents of others, and a cotangent of what becomes of each."""
    height, width = SIZES[case]
    latent = (2, (FRAMES + 1) // 2, 3, 5, CASES[case].get("z_dim", 16))
    video = (2, FRAMES, height, width, 3)
    shapes = {
        "video": video,
        "latents": latent,
        "to_latents": latent,
        "to_video": video,
    }
    values = {name: draw(f"{case} {name}", shape) for name, shape in shapes.items()}
    return values | {"video": values["video"].clip(-1, 1)}


def module(settings: dict):
    """Diffusers' network with these settings and the weights of `weight`."""
    import torch
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(**settings).eval()
    with torch.no_grad():
        for name, x in vae.named_parameters():
            x.copy_(torch.tensor(weight(name, tuple(x.shape))))
    return vae


def solve(case: str) -> dict[str, np.ndarray]:
    """Outputs and gradients, time before rows, channels last."""
    import torch

    torch.set_num_threads(1)
    vae = module(CASES[case])
    given = {
        name: torch.tensor(x).movedim(-1, 1).requires_grad_()
        for name, x in inputs(case).items()
    }
    mean, std = (
        torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1)
        for name in ("latents_mean", "latents_std")
    )
    latents = (vae.encode(given["video"]).latent_dist.mode() - mean) / std
    video = vae.decode(given["latents"] * std + mean).sample
    assert float(video.detach().abs().max()) < 1, "frames were clipped"
    gradient = torch.autograd.grad
    solved = {
        "latents": latents,
        "video": video,
        "video_gradient": gradient(latents, given["video"], given["to_latents"])[0],
        "latents_gradient": gradient(video, given["latents"], given["to_video"])[0],
    }
    solved = {name: x.detach().movedim(1, -1).numpy() for name, x in solved.items()}
    for name in ("video", "video_gradient"):
        solved[name] = solved[name][:, :, ::STEP, ::STEP]
    config = {name: x for name, x in vae.config.items() if not name.startswith("_")}
    config["_class_name"] = type(vae).__name__
    shapes = {name: tuple(x.shape) for name, x in vae.named_parameters()}
    texts = {"config": json.dumps(config), "shapes": json.dumps(shapes)}
    return solved | {name: np.array(text) for name, text in texts.items()}


def write_tensors(path: Path) -> None:
    """A small file of `torch.save`: three types, and a view that shares bytes."""
    import torch

    whole = torch.tensor(draw("whole", (4, 6)))
    tensors = {"single": whole, "turned": whole[1:, ::2].T, "half": whole.half()}
    tensors |= {"brain.weight": whole.bfloat16(), "scalar": torch.tensor(0.25)}
    torch.save(tensors, path)


if __name__ == "__main__":
    solved = {f"{case}_{name}": x for case in CASES for name, x in solve(case).items()}
    np.savez_compressed(HERE / "wan_vae.npz", **solved)  # pyright: ignore[reportArgumentType]
    write_tensors(HERE / "tensors.pth")
    for path in (HERE / "wan_vae.npz", HERE / "tensors.pth"):
        print(path.name, path.stat().st_size)
