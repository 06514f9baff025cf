"""Estimators give the maps of their networks; a capture gets depth that fits its cameras."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.data import import_capture
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.estimators import load_estimator
from full4d_jax.source.depth.signatures import DEVIATION, MEAN
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode_depth, decode_jpeg

GOLDENS = Path(__file__).parents[2] / "goldens"

SLOPE = Path(__file__).parents[2] / "goldens" / "slope.onnx"


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / width
    return np.stack([255 * x, 255 * y, 100 + 50 * x], -1).clip(0, 255).astype(np.uint8)


@pytest.mark.extra("onnxruntime")
def test_an_onnx_network_sees_normalised_colours_at_its_size():
    frame = smooth(120, 160)
    found = load_estimator(str(SLOPE))(frame)
    assert found.shape == (518 // 2, 686 // 2)
    red, green = ((frame[..., c] / 255 - MEAN[c]) / DEVIATION[c] for c in range(2))
    expected = cv2.resize((2 * red - green + 0.5).astype(np.float32), (343, 259))
    assert np.abs(found - expected)[5:-5, 5:-5].max() < 0.05


def test_our_network_gives_disparity():
    values = load_estimator("ours")(smooth(60, 90))
    assert values.shape == (192, 256)
    assert (values > 0).all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.onnx", None, "no such file"),
        ("net.pt", b"x", "found .pt"),
        ("net.safetensors", b"x" * 40, "a safetensors file"),
    ],
)
def test_what_is_no_estimator_is_refused(name, content, said, tmp_path):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_estimator(str(tmp_path / name))


@pytest.mark.extra("onnxruntime")
def test_a_network_of_something_else_is_refused_before_it_is_used():
    with pytest.raises(InputError, match="found an output"):
        load_estimator(str(GOLDENS / "tiny_clip.onnx"))


def test_damaged_networks_and_missing_libraries_are_told_apart(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no network" * 20)
    try:
        __import__("onnxruntime")
        said = "expected a network from one picture"
    except ModuleNotFoundError:
        said = r"pip install 'full4d-jax\[depth\]'"
    with pytest.raises(InputError, match=said):
        load_estimator(str(path))


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
