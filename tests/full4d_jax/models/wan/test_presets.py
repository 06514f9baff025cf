"""The presets of Wan are the published models, tensor by tensor."""

from pathlib import Path

import pytest

from full4d_jax.config import load_config
from full4d_jax.models.wan.layouts import diffusers_config, wan_names

CONFIGS = Path(__file__).parents[4] / "configs"
PUBLISHED = ("wan21_1_3b", "wan22_5b", "wan21_14b")


@pytest.mark.extra("diffusers", "torch")
@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_diffusers_tensors(name):
    import torch
    from diffusers import WanTransformer3DModel

    model = load_config(CONFIGS / f"{name}.py").model
    fields = {k: x for k, x in diffusers_config(model).items() if not k.startswith("_")}
    with torch.device("meta"):
        network = WanTransformer3DModel(**fields)
    expected = {key: tuple(x.shape) for key, x in network.state_dict().items()}
    found = {name: place.shape for name, place in wan_names(model, "diffusers").items()}
    assert found == expected
