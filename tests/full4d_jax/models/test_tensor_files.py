"""PyTorch's files read without PyTorch: `goldens/tensors.pth` was written by torch.save."""

import pickle
import runpy
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.models.tensor_files import read_tensors
from full4d_jax.session.errors import InputError

GOLDENS = Path(__file__).parent / "goldens"


def test_types_views_and_names():
    draw = runpy.run_path(str(GOLDENS / "make_wan_vae.py"))["draw"]
    whole, tensors = draw("whole", (4, 6)), read_tensors(GOLDENS / "tensors.pth")
    expected = {
        "single": whole,
        "turned": whole[1:, ::2].T,
        "half": whole.astype(np.float16),
        "brain.weight": whole.astype(jnp.bfloat16),
        "scalar": np.float32(0.25),
    }
    assert set(tensors) == set(expected)
    for name, x in expected.items():
        assert tensors[name].dtype == x.dtype, name
        np.testing.assert_array_equal(tensors[name].astype(np.float32), np.float32(x))


def test_a_pickle_runs_nothing(tmp_path):
    class Program:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"a": Program()}))
    with pytest.raises(InputError, match="not a tensor"):
        read_tensors(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()


def test_tensors_stay_inside_their_storage(tmp_path):
    """A shorter storage than its tensors say; their shapes are not taken on trust."""
    with (
        zipfile.ZipFile(GOLDENS / "tensors.pth") as whole,
        zipfile.ZipFile(tmp_path / "x.pth", "w") as cut,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            is_long = "/data/" in name and len(content) > 4
            cut.writestr(name, content[:-4] if is_long else content)
    words = r"shape \(4, 6\), .* reaches beyond its 23 numbers"
    with pytest.raises(InputError, match=words):
        read_tensors(tmp_path / "x.pth")
