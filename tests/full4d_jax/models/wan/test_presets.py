"""The presets of Wan are the published models: sizes, and tensors where diffusers is installed."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from full4d_jax.config import load_config
from full4d_jax.models.wan.architecture import abstract_leaves, diffusers_config
from full4d_jax.models.wan.conversion import wan_shape
from full4d_jax.models.wan.names import ADDED, wan_names

CONFIGS = Path(__file__).parents[4] / "configs"
# Numbers that were published: bytes of the single file that Wan2.1-T2V-1.3B is in (float32), of
# ComfyUI's wan2.2_ti2v_5B_fp16.safetensors, and `total_size` of the index of Wan2.1-T2V-14B
# (float32). The first two include a header.
PUBLISHED = {
    "wan21_1_3b": (5_676_070_424, 4, 1_418_996_800),
    "wan22_5b": (9_999_658_848, 2, 4_999_787_712),
    "wan21_14b": (57_153_966_336, 4, 14_288_491_584),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_official_number_of_parameters(name):
    model = load_config(CONFIGS / f"{name}.py").model
    sizes = {leaf: int(np.prod(x.shape)) for leaf, x in abstract_leaves(model).items()}
    added = {leaf: size for leaf, size in sizes.items() if leaf.startswith(ADDED)}
    total, itemsize, official = PUBLISHED[name]
    assert sum(sizes.values()) - sum(added.values()) == official
    assert 0 <= total - itemsize * official < 100_000  # the header
    d, layers = model.width, model.layers
    assert sum(added.values()) == layers * (17 * d) + layers * (d * d + d) + 2 * d
    about = runpy.run_path(str(CONFIGS / f"{name}.py"))["__doc__"]
    assert f"{official:,}" in about
    assert f"{sum(added.values()):,}" in about


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
    leaves = abstract_leaves(model)
    found = {
        key: wan_shape(leaf, leaves[leaf].shape[layer is not None :], model)
        for key, (leaf, layer) in wan_names(model.layers, "diffusers").items()
    }
    assert found == expected
