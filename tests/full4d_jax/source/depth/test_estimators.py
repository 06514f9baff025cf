"""A file of Depth Anything is taken for what its config says."""

import json

import cv2
import numpy as np
import pytest
from random_depth_anything import write_random

from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.depth_file import DepthFile, example_frame
from full4d_jax.source.depth.estimators import open_network, source_depth

WARNING = "found no config.json of it there, expected V2's"


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    write_random(path)
    return path


def test_run_takes_depth_anything_as_disparity(random_file, capsys):
    network = open_network(str(random_file))
    assert f"warning: {random_file}: {WARNING}" in capsys.readouterr().out
    assert isinstance(network, DepthFile)
    assert "taken as disparity up to scale and shift, as of Depth Anything" in network.description
    assert "--depth_kind" not in network.description
    frames = example_frame()[None]
    depth = source_depth(network, to_model(frames))
    assert depth.shape == frames.shape[:3]
    assert np.median(depth) == pytest.approx(1)
    seen = cv2.resize(network.values(frames[0]), depth.shape[:0:-1])
    assert np.corrcoef(seen.ravel(), 1 / np.asarray(depth[0]).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"depth_estimation_type": "metric"}, "depth_estimation_type: found metric"),
    ],
)
def test_other_networks_of_the_same_shapes_are_refused_by_their_config(tmp_path, fields, said):
    write_random(tmp_path / "model.safetensors")
    config = {"model_type": "depth_anything"} | fields
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=said):
        open_network(str(tmp_path / "model.safetensors"))
