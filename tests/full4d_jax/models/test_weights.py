import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.errors import InputError
from full4d_jax.models.weights import load_params, save_params

PARAMS = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.ones(2)}


def test_round_trip(tmp_path):
    save_params(tmp_path / "w.safetensors", PARAMS, {"model": {"width": 3}, "angle": 60.0})
    params, metadata = load_params(tmp_path / "w.safetensors", like=PARAMS)
    np.testing.assert_array_equal(params["a"]["kernel"], PARAMS["a"]["kernel"])
    assert metadata == {"model": {"width": 3}, "angle": 60.0}


@pytest.mark.parametrize(
    ("like", "names"),
    [
        ({**PARAMS, "b": jnp.ones(3)}, ["tensor b", "(2,)", "(3,)"]),
        ({**PARAMS, "c": jnp.ones(3)}, ["tensor c", "no such tensor"]),
        ({"b": PARAMS["b"]}, ["a.kernel"]),
    ],
)
def test_other_shapes_are_named(tmp_path, like, names):
    save_params(tmp_path / "w.safetensors", PARAMS, {})
    with pytest.raises(InputError) as error:
        load_params(tmp_path / "w.safetensors", like=like)
    assert all(name in str(error.value) for name in names)


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "w.safetensors").write_text("no weights")
    with pytest.raises(InputError, match="safetensors"):
        load_params(tmp_path / "w.safetensors")
