"""Writes `wan_*.npz` beside itself: what diffusers' WanTransformer3DModel computes on the CPU.

    pip install --constraint constraints.txt --editable '.[parity]'
    python tests/full4d_jax/models/goldens/make_wan.py

Weights are a formula of their names (`weights`), so that a file holds only the inputs, the output,
a random cotangent and the gradient that autograd pulls back to the latents. Computed in double
precision (but for norms, which diffusers keeps in single), stored in single.
"""

import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FIELDS = (
    "num_attention_heads",
    "attention_head_dim",
    "ffn_dim",
    "num_layers",
    "text_dim",
    "in_channels",
    "out_channels",
)
# Fields as in diffusers. Heads of 16 have 4 + 2 + 2 rotary pairs, heads of 24 have 4 + 4 + 4. The
# channels are those that a pixel codec of stride 1 or 2 has.
MODELS = {
    "ti2v": dict(zip(FIELDS, (3, 16, 40, 2, 10, 3, 3), strict=True)),
    "t2v": dict(zip(FIELDS, (2, 24, 72, 3, 14, 12, 12), strict=True)),
}
# (b c t h w) of the latents, tokens of text and with the padding, whether the first latent frame is
# given clean. Frames have 3 x 5 and 1 x 3 tokens. Wan pads to 512; among so many equal tokens those
# of the text matter little, so that the other model has few.
GRIDS = {
    "ti2v": ((2, 3, 3, 6, 10), (7, 512), True),
    "t2v": ((1, 12, 5, 2, 6), (12, 16), False),
}


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Every tensor by name, no two alike: sines whose frequency hangs on the name."""
    tensors = {}
    for name, shape in shapes.items():
        frequency = 1 + zlib.crc32(name.encode()) % 1000 / 7
        x = np.sin(frequency * np.arange(1, 1 + np.prod(shape))).reshape(shape)
        fan_in = np.prod(shape[1:]) if len(shape) > 1 and "table" not in name else 4
        x = x * (2 / fan_in) ** 0.5 + ("norm" in name and "weight" in name)
        tensors[name] = x.astype(np.float32)
    return tensors


def inputs(name: str) -> dict[str, np.ndarray]:
    """Latents, flow times of every latent frame in [0, 1], padded text and a cotangent."""
    shape, tokens, first_is_given = GRIDS[name]
    return random_inputs(shape, tokens, first_is_given, MODELS[name]["text_dim"])


def random_inputs(
    shape: tuple[int, ...],
    tokens: tuple[int, int],
    first_is_given: bool,
    text_width: int,
) -> dict[str, np.ndarray]:
    """Make the golden for any sizes."""
    rng = np.random.default_rng(0)
    tau = np.broadcast_to(
        rng.uniform(0.1, 1, (shape[0], 1)), (shape[0], shape[2])
    ).copy()
    tau[:, 0] *= not first_is_given
    text = rng.normal(size=(shape[0], tokens[0], text_width))
    values = {
        "latents": rng.normal(size=shape),
        "tau": tau,
        "text": np.pad(text, ((0, 0), (0, tokens[1] - tokens[0]), (0, 0))),
        "cotangent": rng.normal(size=shape),
    }
    return {key: x.astype(np.float32) for key, x in values.items()}


def network(name: str):
    """diffusers' model with `weights`, in single precision."""
    import torch
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel(**MODELS[name]).eval()
    shapes = {key: tuple(x.shape) for key, x in model.state_dict().items()}
    state = {key: torch.from_numpy(x) for key, x in weights(shapes).items()}
    model.load_state_dict(state)
    return model.requires_grad_(False)


def solve(model, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output and gradient."""
    import torch

    dtype = next(model.parameters()).dtype
    x = {key: torch.from_numpy(value).to(dtype) for key, value in values.items()}
    b, c, t, h, w = x["latents"].shape
    times = 1000 * x["tau"]
    if bool((times == times[:, :1]).all()):
        times = times[:, 0]  # one for all, as Wan2.1 has it
    else:
        # One a token, as Wan2.2-TI2V has it.
        times = times.repeat_interleave(h * w // 4, 1)
    latents = x["latents"].requires_grad_()
    out = model(latents, times, x["text"], return_dict=False)[0]
    (gradient,) = torch.autograd.grad(out, latents, x["cotangent"])
    return {"out": out.detach().numpy(), "gradient": gradient.numpy()}


if __name__ == "__main__":
    for name in MODELS:
        values = inputs(name)
        solved = solve(network(name).double(), values)
        path = HERE / f"wan_{name}.npz"
        values |= {key: x.astype(np.float32) for key, x in solved.items()}
        np.savez_compressed(path, **values)  # pyright: ignore[reportArgumentType]
        largest = f"largest output {abs(values['out']).max():.2f}"
        print(path.name, path.stat().st_size, largest)
