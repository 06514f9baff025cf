"""Published depth networks by their signatures, each as a small graph that onnxruntime runs."""

import jax.numpy as jnp
import numpy as np
import pytest
from published_graphs import ALONE, FOCAL, GRAPHS, UNSEEN, Graph, near, published, write

from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.any_network import file_network_depth, load_estimator
from full4d_jax.source.depth.file_network import open_file_network

pytestmark = pytest.mark.extra("onnx", "onnxruntime")

HEIGHT, WIDTH = 96, 160
COLOR = np.array([200, 100, 50])  # sRGB, everywhere
IMAGENET = float(((COLOR / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).mean())
UNIT = float((COLOR / 255).mean())
SIGNED = 2 * UNIT - 1
FOV = float(np.degrees(2 * np.arctan(0.5 / FOCAL)))

# Of each graph: whose it is, kind, rows and columns, mean of the colours, whether it has a lens.
EXPECTED = {
    "da2": ("Depth Anything", "disparity", (518, 868), IMAGENET, False),
    "da2-half": ("Depth Anything", "disparity", (518, 868), IMAGENET, False),
    "da3-rank-5": ("Depth Anything 3", "depth", (308, 504), IMAGENET, False),
    "da3-conf-first": ("Depth Anything 3", "depth", (308, 504), IMAGENET, False),
    "da3-lens": ("Depth Anything 3", "depth", (504, 504), IMAGENET, True),
    "moge2": ("MoGe-2", "metric", (518, 868), UNIT, True),
    "moge2-static": ("MoGe-2", "metric", (518, 518), UNIT, True),
    "depth-pro": ("Depth Pro", "metric", (1536, 1536), SIGNED, True),
}


def frames(count: int) -> np.ndarray:
    """Pictures of one colour."""
    return np.broadcast_to(COLOR.astype(np.uint8), (count, HEIGHT, WIDTH, 3)).copy()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_published_network_sees_its_colours_and_tells_its_values(name, tmp_path):
    whose, kind, sides, colors, has_lens = EXPECTED[name]
    network = open_file_network(published(tmp_path, name))
    assert (network.signature.name, network.kind) == (whose, kind)
    assert network.sides(HEIGHT, WIDTH) == sides
    assert network.note == ""  # our network agrees on the sign
    values = network.values(frames(1)[0])
    truth = near(sides[0], sides[1], colors)
    seen = values != 0
    assert seen.mean() == pytest.approx(
        1 - UNSEEN if whose == "MoGe-2" else 1, abs=0.01
    )
    expected = truth if kind == "disparity" else 1 / truth
    # Some compute in float16.
    np.testing.assert_allclose(values[seen], expected[seen], rtol=2e-3)
    fov = network.fov(frames(2))
    assert fov == (pytest.approx(FOV, rel=1e-4) if has_lens else None)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("disparity", "depth", "grow with distance on a frame"),
        ("depth", "disparity", "grow when near on a frame"),
    ],
)
def test_the_other_sign_is_corrected_with_a_note(name, kind, said, tmp_path, capsys):
    """Depth under the names of Depth Anything 2, disparity under those of Depth Anything 3."""
    outputs = "float[b,h,w] depth"
    body = ALONE + "depth = Identity (far)"
    if name == "depth":
        outputs = f"float[b,h,w] sky, {outputs}"
        body = ALONE + "sky = Identity (zeros)\n depth = Identity (near)"
    path = write(tmp_path / "net.onnx", Graph("float[b,3,h,w] image", outputs, body))
    network = open_file_network(path)
    assert network.signature.kind == name
    assert network.kind == kind
    assert said in network.description
    assert f"not {name} as usual" in network.description
    found = file_network_depth(network, jnp.asarray(to_model(frames(1))))[0, :, 0]
    assert (np.diff(found[2:-2]) < 0).all()  # the floor comes nearer downwards
    # What a person says holds, with a warning.
    asked = open_file_network(path, name)  # type: ignore[arg-type]
    assert asked.kind == name
    assert f"warning: its values {said}" in asked.description
    # A capture asks for what is affine in disparity.
    affine = load_estimator(str(path))(frames(1)[0])
    assert said in capsys.readouterr().out
    truth = near(affine.shape[0], affine.shape[1], 0)
    assert np.corrcoef(affine.ravel(), truth.ravel())[0, 1] > 0.99


def test_what_takes_something_else_is_refused(tmp_path):
    inputs = "float[1,3,28,28] image, float[1,3,3] K"
    body = "x = Cast <to=1> (image) --- depth = Identity (near)"
    path = write(tmp_path / "net.onnx", Graph(inputs, "float[1,28,28] depth", body))
    expected = r"2 inputs of pictures.* export it from colours \(1 3 h w\)"
    with pytest.raises(InputError, match=expected):
        open_file_network(path)
