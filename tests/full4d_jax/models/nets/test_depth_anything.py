"""Depth Anything V2 in JAX computes what transformers does, from the file that it writes."""

import jax
import numpy as np
import pytest

from full4d_jax.models.nets.depth_anything import (
    MAP_COUNT,
    STAGES,
    backbone_features,
    depth_anything,
    load_depth_anything,
)

TOLERANCE = 1e-4  # relative to the largest value
SIZES = ((70, 70), (56, 98))  # pixels: that of the position embeddings, and another


@pytest.fixture(scope="module", params=[(12, 128), (24, 64)], ids=["small", "large"])
def network(request, tmp_path_factory):
    """A network of transformers with random weights, and the file that it writes."""
    folder = tmp_path_factory.mktemp("network")
    model = random_network(*request.param)
    model.save_pretrained(folder)
    return model, folder / "model.safetensors"


def random_network(layers: int, width: int):
    """Return a network whose every parameter is random: usual ones have biases of 0."""
    import torch
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        Dinov2Config,
    )

    backbone = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        out_indices=list(STAGES[layers]),
        reshape_hidden_states=False,
    )
    torch.manual_seed(layers)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=width,
        neck_hidden_sizes=[8, 12, 16, 20],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    model = DepthAnythingForDepthEstimation(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
        model.head.conv3.bias.fill_(1.0)  # of disparity, which ReLU would cut to 0
    return model


@pytest.mark.extra("torch", "transformers")
@pytest.mark.parametrize("size", SIZES, ids=["as_trained", "resized"])
def test_features_and_disparity_are_those_of_transformers(network, size):
    import torch

    model, path = network
    pictures = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    with torch.no_grad():
        inputs = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        theirs = [x.numpy() for x in model.backbone(inputs).feature_maps]
        disparity = model(inputs).predicted_depth.numpy()
    params = load_depth_anything(path)
    ours = jax.jit(backbone_features)(params, pictures)
    assert len(ours) == len(theirs) == MAP_COUNT
    for own, other in zip(ours, theirs, strict=True):
        require_same(own, other)
    assert disparity.shape == (2, *size)
    assert disparity.std() > 10 * TOLERANCE * disparity.max()
    assert (disparity > 0).mean() > 0.5
    require_same(jax.jit(depth_anything)(params, pictures), disparity)


def require_same(ours, theirs):
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=TOLERANCE * np.abs(theirs).max()
    )
