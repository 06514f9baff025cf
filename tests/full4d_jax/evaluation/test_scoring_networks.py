"""Exported image networks see pictures as their authors' programs do; CLIP-F and CLIP-V."""

from pathlib import Path

import numpy as np
import published_graphs
import pytest

from full4d_jax.evaluation import scoring_networks as networks
from full4d_jax.session.errors import InputError

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.mark.extra("onnxruntime")
def test_an_exported_clip_embeds_a_picture_as_transformers_does():
    with np.load(GOLDENS / "tiny_clip.npz") as golden:
        picture, expected = golden["picture"], golden["embedding"]
    clip = networks.load_clip(GOLDENS / "tiny_clip.onnx")
    np.testing.assert_allclose(clip(picture), expected, atol=1e-5)
    assert np.abs(clip(picture[:, ::-1]) - expected).max() > 0.01


def test_angles_between_known_embeddings():
    angle = np.radians([[0, 60, 60], [90, 90, 90]])
    embeddings = np.stack([np.cos(angle), np.sin(angle)], -1)
    assert networks.clip_f(embeddings) == pytest.approx(100 * (0.5 + 1 + 1 + 1) / 4)
    across = 100 * (0 + 2 * np.cos(np.radians(30))) / 3
    assert networks.clip_v(embeddings) == pytest.approx(across)
    assert np.isnan(networks.clip_f(embeddings[:, :1]))
    assert np.isnan(networks.clip_v(embeddings[:1]))


@pytest.mark.extra("onnxruntime")
def test_frames_are_compared_with_the_prompt(tmp_path):
    """The prompt is embedded like a picture whose embedding transformers has told."""
    with np.load(GOLDENS / "tiny_clip.npz") as golden:
        picture, embedding = golden["picture"], golden["embedding"]
    clip = networks.load_clip(GOLDENS / "tiny_clip.onnx")
    # As transformers has it, (1, c).
    np.save(tmp_path / "text.npy", 3 * embedding[None])
    prompt = networks.load_prompt(tmp_path / "text.npy", clip)
    frames = np.stack([picture, picture[:, ::-1]])[:, None]
    embeddings = networks.embed(clip, frames)
    assert networks.clip_score(embeddings[:1], prompt) == pytest.approx(100, abs=1e-3)
    cosine = embeddings[1, 0] @ embedding / np.linalg.norm(embedding)
    mean = 50 * (1 + cosine)
    assert networks.clip_score(embeddings, prompt) == pytest.approx(mean, abs=1e-3)
    assert networks.clip_score(embeddings[:1], -prompt) == 0


@pytest.mark.extra("onnx")
@pytest.mark.extra("onnxruntime")
def test_a_network_with_the_published_outputs_tells_its_confidence(tmp_path):
    pointmaps = networks.load_pointmaps(published_graphs.published(tmp_path, "dust3r"))
    frames = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 8, 3)).astype(np.uint8)
    frames = frames.repeat(32, 2).repeat(32, 3)
    views = frames.mean((1, 2, 3, 4)) / 127.5 - 1
    expected = 2 + views @ [0.25, 0.5, 0.25]
    assert networks.pair_confidence(frames, pointmaps) == pytest.approx(
        expected, abs=1e-4
    )
    with pytest.raises(InputError, match="found 1 inputs of pictures"):
        networks.load_pointmaps(published_graphs.published(tmp_path, "da2"))


@pytest.mark.extra("onnxruntime")
def test_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="expected a network from pictures"):
        networks.load_clip(tmp_path / "net.onnx")
    depth = networks.load_clip(GOLDENS / "slope.onnx")
    with pytest.raises(InputError, match="an output"):
        depth(np.zeros((40, 40, 3), np.uint8))
