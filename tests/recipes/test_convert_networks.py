"""Published networks become the shipped files to the byte."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "full4d_jax" / "weights"


@pytest.fixture
def converter(monkeypatch) -> ModuleType:
    """The program."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    return importlib.import_module("convert_networks")


@pytest.mark.extra("flatbuffers")
@pytest.mark.parametrize(
    ("network", "source", "shipped"),
    [
        ("segmentation", "deeplab/deeplabv3_257_mv_gpu.tflite", "segmentation"),
        ("silhouette", "blazepose/pose_landmark_full.tflite", "silhouette"),
        ("depth", "tiefenrausch", "tiefenrausch"),
        ("fast_depth", "fast_depth/fastdepth_7.onnx", "fast_depth"),
    ],
)
def test_the_shipped_weights_are_the_published_ones(
    converter, monkeypatch, tmp_path, shared_data, network, source, shipped
):
    published = shared_data / "weights" / source
    if not published.exists():
        pytest.skip(f"no weights: {published}")
    target = tmp_path / "new" / f"{shipped}.safetensors"
    words = ["convert_networks.py", network, str(published), str(target)]
    monkeypatch.setattr(sys, "argv", words)
    converter.main()
    assert target.read_bytes() == (WEIGHTS / target.name).read_bytes()
    if network == "depth":
        licence = WEIGHTS / f"{shipped}.LICENSE"
        assert (published / "LICENSE").read_text() == licence.read_text()
