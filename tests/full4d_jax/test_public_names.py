"""The names that users may rely on are there, in each package."""

import importlib

import pytest

GAUSSIANS = [
    "Gaussians",
    "DynamicGaussians",
    "Camera",
    "render",
    "fit",
    "distillation_loss",
    "load_ply",
    "save_ply",
]
FULL4D_JAX = ["load_config", "init_state", "train_step", "velocity", "sample", "run"]
INPUT_PIPELINE = ["Example", "make_loader", "procedural_scene"]


@pytest.mark.parametrize(
    ("package", "names"),
    [("full4d_jax", FULL4D_JAX), ("gaussians", GAUSSIANS), ("input_pipeline", INPUT_PIPELINE)],
)
def test_public_names_resolve(package, names):
    module = importlib.import_module(package)
    assert set(names) <= set(getattr(module, "__all__", None) or dir(module))
    for name in names:
        assert callable(getattr(module, name))


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'velocty'"):
        importlib.import_module("full4d_jax").velocty  # noqa: B018
