"""Every public name is there when it is first used."""

import importlib

import pytest


@pytest.mark.parametrize("package", ["full4d_jax", "gaussians", "input_pipeline"])
def test_public_names_resolve(package):
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or dir(module)
    assert len(names) > 3
    for name in names:
        assert getattr(module, name) is not None


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'velocty'"):
        importlib.import_module("full4d_jax").velocty  # noqa: B018
