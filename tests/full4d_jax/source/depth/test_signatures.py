"""Published depth networks by their signatures, each as a small graph that onnxruntime runs."""

import jax.numpy as jnp
import numpy as np
import pytest
from published_graphs import ALONE, FOCAL, GRAPHS, UNSEEN, Graph, near, published, write

from full4d_jax.cli import main
from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.clip_depth import clip_depth
from full4d_jax.source.depth.depth_file import DepthFile, open_depth_file
from full4d_jax.source.depth.estimators import load_estimator, open_network
from full4d_jax.source.depth.signatures import focal_and_shift

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
    network = open_depth_file(published(tmp_path, name))
    assert (network.signature.name, network.kind) == (whose, kind)
    assert network.sides(HEIGHT, WIDTH) == sides
    assert network.note == ""  # our network agrees on the sign
    values = network.values(frames(1)[0])
    truth = near(sides[0], sides[1], colors)
    seen = values != 0
    assert seen.mean() == pytest.approx(1 - UNSEEN if whose == "MoGe-2" else 1, abs=0.01)
    expected = truth if kind == "disparity" else 1 / truth
    np.testing.assert_allclose(values[seen], expected[seen], rtol=2e-3)  # float16 among them
    fov = network.fov(frames(2))
    assert fov == (pytest.approx(FOV, rel=1e-4) if has_lens else None)


@pytest.mark.parametrize("name", ["da2", "da3-lens", "moge2"])
def test_a_clip_gets_the_depth_of_a_published_network(name, tmp_path):
    whose, kind, _, colors, _ = EXPECTED[name]
    network = open_network(str(published(tmp_path, name)))
    assert isinstance(network, DepthFile)
    found = clip_depth(network, jnp.asarray(to_model(frames(2))))
    assert found.shape == (2, HEIGHT, WIDTH)
    truth = 1 / near(HEIGHT, WIDTH, colors)
    middle = slice(HEIGHT // 3, -3)
    ratio = found[:, middle] / truth[middle]
    assert np.abs(ratio / np.median(ratio) - 1).max() < 0.05
    if kind == "metric":
        assert np.median(ratio) == pytest.approx(1, abs=0.02)
    top = found[:, : int(UNSEEN * HEIGHT) - 1]
    assert (top == 0).all() == (whose == "MoGe-2")  # outside its mask all is unknown


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("disparity", "depth", "grow with distance on a frame"),
        ("depth", "disparity", "grow when near on a frame"),
    ],
)
def test_the_other_sign_is_corrected_with_a_note(name, kind, said, tmp_path, capsys):
    """Depth under the names of Depth Anything 2, disparity under those of Depth Anything 3."""
    outputs = {"disparity": "float[b,h,w] depth", "depth": "float[b,h,w] sky, float[b,h,w] depth"}
    body = ALONE + "depth = Identity (far)"
    if name == "depth":
        body = ALONE + "sky = Identity (zeros)\n depth = Identity (near)"
    path = write(tmp_path / "net.onnx", Graph("float[b,3,h,w] image", outputs[name], body))
    network = open_depth_file(path)
    assert network.signature.kind == name
    assert network.kind == kind
    assert said in network.description
    assert f"not {name} as usual" in network.description
    found = clip_depth(network, jnp.asarray(to_model(frames(1))))[0, :, 0]
    assert (np.diff(found[2:-2]) < 0).all()  # the floor comes nearer downwards
    # What a person says holds, with a warning.
    asked = open_depth_file(path, name)  # type: ignore[arg-type]
    assert asked.kind == name
    assert f"warning: its values {said}" in asked.description
    # A capture asks for what is affine in disparity.
    affine = load_estimator(str(path))(frames(1)[0])
    assert said in capsys.readouterr().out
    assert (
        np.corrcoef(affine.ravel(), near(affine.shape[0], affine.shape[1], 0).ravel())[0, 1] > 0.99
    )


def test_moge_points_tell_lens_and_shift_in_spite_of_noise():
    rng = np.random.default_rng(0)
    z = rng.uniform(1, 6, (60, 80))
    pixels = np.stack(np.meshgrid(np.arange(80) - 39.5, np.arange(60) - 29.5), -1)
    points = np.concatenate([pixels / 70 * z[..., None], z[..., None] - 0.8], -1)
    inside = rng.random((60, 80)) < 0.7
    points[~inside] = 100
    noisy = points * rng.normal(1, 0.01, points.shape)
    focal, shift = focal_and_shift(points, inside)
    assert (focal, shift) == pytest.approx((70, 0.8), abs=1e-6)
    focal, shift = focal_and_shift(noisy, inside)
    assert (focal, shift) == pytest.approx((70, 0.8), rel=0.05)
    assert focal_and_shift(points, np.zeros_like(inside)) == (80, 0)  # the sky alone


def test_metadata_tell_colours_and_sides(tmp_path):
    words = {"mean": "0 0 0", "std": "1, 1, 1", "multiple": "32", "kind": "depth"}
    graph = Graph("float[1,3,h,w] image", "float[1,h,w] depth", ALONE + "depth = Identity (far)")
    network = open_depth_file(write(tmp_path / "net.onnx", graph, words))
    assert network.sides(HEIGHT, WIDTH) == (512, 864)
    assert (network.kind, network.note) == ("depth", "")
    values = network.values(frames(1)[0])
    np.testing.assert_allclose(values, 1 / near(values.shape[0], values.shape[1], UNIT), rtol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ("float[1,3,28,28] image, float[1,3,3] K", "float[1,28,28] depth", "2 inputs of pictures"),
        ("float[1,4,3,28,28] image", "float[1,28,28] depth", "an input of 4 pictures"),
        ("uint8[1,3,28,28] image", "float[1,28,28] depth", r"an input tensor\(uint8\)"),
    ],
)
def test_what_takes_something_else_is_refused(inputs, outputs, found, tmp_path):
    body = "x = Cast <to=1> (image) --- depth = Identity (near)"
    path = write(tmp_path / "net.onnx", Graph(inputs, outputs, body))
    with pytest.raises(InputError, match=rf"{found}.* export it from colours \(1 3 h w\)"):
        open_depth_file(path)


def test_the_source_is_opened_again_for_another_lens(tmp_path, capsys):
    from PIL import Image

    from full4d_jax.session.files import read_arrays

    picture = tmp_path / "in.png"
    Image.fromarray(frames(1)[0]).save(picture)
    out = tmp_path / "out"
    words = ["sample", str(picture), "--out", str(out), "--rows", "32", "--views", "2"]
    focal = {}
    for name in ("da2", "moge2"):
        network = str(published(tmp_path, name))
        assert main([*words, "--depth_network", network]) == 0
        said = capsys.readouterr().out
        focal[name] = read_arrays(out / "source.npz")["intrinsics"][0, 0, 0]
        assert "source: kept" not in said
    width = read_arrays(out / "source.npz")["frames"].shape[3]
    assert focal["moge2"] == pytest.approx(FOCAL * width, rel=0.05)
    assert focal["da2"] != pytest.approx(focal["moge2"], rel=0.01)
