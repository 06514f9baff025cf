"""Estimators give the maps of their networks; a capture gets depth that fits its cameras."""

import json
from functools import partial

import cv2
import jax
import numpy as np
import pytest
from random_depth_anything import write_random
from safetensors.numpy import load_file, save_file
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.data import import_capture
from full4d_jax.media.pictures import to_model
from full4d_jax.models.depth_anything import depth_anything, load_depth_anything
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.clip_depth import source_depth
from full4d_jax.source.depth.depth_file import DepthFile, resize_colors
from full4d_jax.source.depth.estimators import load_estimator, open_network
from full4d_jax.source.depth.sign import example_frame
from full4d_jax.source.depth.signatures import (
    DEPTH_ANYTHING,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    sides_of,
)
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode_depth, decode_jpeg

WARNING = "found no config.json of it there, expected V2's"


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    write_random(path)
    return path


@pytest.mark.slow
def test_depth_anything_sees_normalised_colours_and_gives_disparity(random_file):
    frame = np.ascontiguousarray(example_frame()[:, ::-1])
    values = load_estimator(str(random_file))(frame)
    rows, columns = sides_of(DEPTH_ANYTHING, *frame.shape[:2])
    assert min(rows, columns) == 518
    normal = ((resize_colors(frame, rows, columns) - IMAGENET_MEAN) / IMAGENET_DEVIATION).astype(
        np.float32
    )
    expected = jax.jit(depth_anything)(load_depth_anything(random_file), normal[None])[0]
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert np.std(values) > 1e-3


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
        ({"depth_estimation": "metric"}, "found metric, expected relative"),
        ({"backbone_config": {"out_indices": [9, 10, 11, 12]}}, r"found \[9, 10, 11, 12\].*of V2"),
    ],
)
def test_other_networks_of_the_same_shapes_are_refused_by_their_config(tmp_path, fields, said):
    write_random(tmp_path / "model.safetensors")
    config = {"model_type": "depth_anything"} | fields
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=said):
        open_network(str(tmp_path / "model.safetensors"))


def test_depth_anything_whose_values_grow_with_distance_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    write_random(path, seed=3)
    tensors = load_file(path)
    # Its values become a ramp from top to bottom, which is the other way round than disparity.
    positions = tensors["backbone.embeddings.position_embeddings"]
    positions[:] = 0
    positions[0, 1:, :32] = -np.linspace(-2, 2, 5).repeat(5)[:, None]
    tensors["backbone.embeddings.patch_embeddings.projection.weight"][:] = 0
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"grow with distance.*expected relative disparity"):
        open_network(str(path))
    tensors["head.conv3.weight"] *= -1
    save_file(tensors, path)
    network = open_network(str(path))
    assert isinstance(network, DepthFile)
    assert network.note == ""


def test_import_fills_in_depth(tmp_path, monkeypatch):
    room = make_room(views=2, height=120, width=160, frames=1)
    depth = {file: decode_depth(png) for file, png in zip(*_files(room), strict=True)}
    frames = {decode_jpeg(file).mean(): 2 / values for file, values in depth.items()}
    # The network is not tested here: it is taken to be a perfect one, up to scale.
    perfect = partial(_near, frames)
    monkeypatch.setattr(import_capture, "load_estimator", lambda _: perfect)
    cameras = []
    for i, file in enumerate(room.frames[:, 0]):
        (tmp_path / "in" / f"c{i}").mkdir(parents=True)
        (tmp_path / "in" / f"c{i}" / "0.jpg").write_bytes(file)
        lens = {name: getattr(room, name)[i].tolist() for name in ("intrinsics",)}
        pose = room.world_to_camera[i, 0].tolist()
        cameras.append({"name": f"c{i}", "world_to_camera": pose, "timestamps": [0.0], **lens})
    (tmp_path / "in" / "cameras.json").write_text(json.dumps({"fps": 10, "cameras": cameras}))
    argv = ["data", "import", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main([*argv, "--depth", "ours"]) == 0
    (example,) = open_dataset(tmp_path / "out")
    for file, true in zip(example.depth16[:, 0], depth.values(), strict=True):
        assert np.median(np.abs(decode_depth(file) / true - 1)) < 0.03
    assert main([*argv, "--depth", "none.onnx"]) == 2


def _files(example):
    return example.frames.ravel(), example.depth16.ravel()


def _near(maps: dict, frame: np.ndarray) -> np.ndarray:
    """The map of the picture with the nearest mean: importers encode frames again."""
    return maps[min(maps, key=lambda mean: abs(mean - frame.mean()))].astype(np.float32)
