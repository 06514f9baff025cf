"""PLY files against plyfile's own reading, and round trips."""

import jax
import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from gaussians.motion import still
from gaussians.ply import load_ply, save_ply
from gaussians.ply_tables import read_columns, read_tables
from gaussians.scene_files import FormatError
from gaussians.types import Gaussians


def scene(degree) -> Gaussians:
    rng = np.random.default_rng(degree)
    shapes = ((9, 3), (9, 4), (9, 3), (9,), (9, (degree + 1) ** 2, 3))
    return Gaussians(*(jax.numpy.float32(rng.normal(size=s)) for s in shapes))


@pytest.fixture
def valid(tmp_path) -> bytes:
    """The bytes of a good file of nine Gaussians, 17 properties each."""
    save_ply(tmp_path / "valid.ply", scene(0))
    return (tmp_path / "valid.ply").read_bytes()


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_round_trip_and_layout(degree, tmp_path):
    original = scene(degree)
    save_ply(tmp_path / "scene.ply", original)
    for a, b in zip(load_ply(tmp_path / "scene.ply"), original, strict=True):
        np.testing.assert_array_equal(a, b)
    vertex = PlyData.read(str(tmp_path / "scene.ply"))["vertex"]
    names = [p.name for p in vertex.properties]
    k = (degree + 1) ** 2
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[-8:-3] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0"]
    assert sum(n.startswith("f_rest") for n in names) == 3 * (k - 1)
    np.testing.assert_array_equal(vertex["rot_0"], original.quaternions[:, 0])
    if degree:  # all red coefficients come first, then green
        np.testing.assert_array_equal(vertex["f_rest_1"], original.harmonics[:, 2, 0])
        np.testing.assert_array_equal(vertex[f"f_rest_{k - 1}"], original.harmonics[:, 1, 1])


def test_files_may_be_text_big_endian_or_of_doubles(tmp_path, valid):
    path, other = tmp_path / "valid.ply", tmp_path / "other.ply"
    rows = PlyData.read(str(path))["vertex"].data
    doubles = rows.astype([(name, "f8") for name in rows.dtype.names])
    PlyData([PlyElement.describe(doubles, "vertex")]).write(str(other))
    for a, b in zip(load_ply(other), scene(0), strict=True):
        np.testing.assert_array_equal(a, b)
    for text, order in ((True, "="), (False, ">")):
        plain = PlyData.read(str(path))
        plain.text, plain.byte_order = text, order
        plain.write(str(other))
        for a, b in zip(load_ply(other), scene(0), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_opacity_of_one_is_read_from_an_infinite_logit(tmp_path, valid):
    plain = PlyData.read(str(tmp_path / "valid.ply"))
    plain["vertex"]["opacity"][:3] = [np.inf, -np.inf, 7]
    plain.write(str(tmp_path / "sure.ply"))
    logits = load_ply(tmp_path / "sure.ply").logit_opacities
    np.testing.assert_array_equal(logits[:3], [20, -20, 7])


def test_a_dynamic_scene_is_written_at_one_instant(tmp_path):
    moving = still(scene(0))._replace(velocities=jax.numpy.ones((9, 3)))
    save_ply(tmp_path / "late.ply", moving, time=1.0)
    np.testing.assert_allclose(
        load_ply(tmp_path / "late.ply").means, moving.gaussians.means + 0.5, atol=1e-6
    )
    with pytest.raises(ValueError, match="pass time"):
        save_ply(tmp_path / "none.ply", moving)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ply: no such file"):
        load_ply(tmp_path / "none.ply")
    with pytest.raises(FormatError, match="file: found a folder"):
        load_ply(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"ply\n", b"ply2\n", "content: found"),
        (b"end_header", b"end_heaven", "header: found"),
        (b"property float opacity\n", b"", "element vertex: found no property opacity"),
        (b"float opacity", b"int opacity", "property opacity: found int32, expected float32"),
        (b"float nx\n", b"float x\n", "content: found"),
        (b"float nx\n", b"float f_rest_0\n", "found 1 f_rest properties, expected 0, 9, 24 or 45"),
        (b"element vertex", b"element points", "elements: found points, expected one named vertex"),
        (b"vertex 9\n", b"vertex 0\n", "element vertex: found 0 rows, expected at least 1"),
        (b"vertex 9\n", b"vertex 10\n", "content: found"),
        (b"vertex 9\n", b"vertex -9\n", "element vertex: found -9, expected a number of rows"),
        (b"vertex 9\n", b"vertex nine\n", "element vertex: found nine"),
        (b"vertex 9\n", b"vertex 99999999\n", "element vertex: found 99999999 rows"),
        (b"vertex 9\n", b"vertex " + b"9" * 60 + b"\n", "element vertex: found 9999999"),
    ],
)
def test_wrong_headers_are_refused_with_file_field_found_and_expected(
    tmp_path, valid, old, new, said
):
    assert valid.count(old) == 1
    path = tmp_path / "bad.ply"
    path.write_bytes(valid.replace(old, new))
    with pytest.raises(FormatError) as caught:
        load_ply(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert ", expected " in line
    assert "\n" not in line


def test_a_list_is_no_coordinate(tmp_path):
    rows = np.empty(2, [("x", object)])
    rows["x"] = [np.zeros(2, np.float32), np.ones(2, np.float32)]
    PlyData([PlyElement.describe(rows, "vertex", val_types={"x": "f4"})]).write(
        str(tmp_path / "list.ply")
    )
    table = read_tables(tmp_path / "list.ply")["vertex"]
    with pytest.raises(FormatError, match="property x: found a list, expected float32"):
        read_columns(tmp_path / "list.ply", table, ["x"])


def test_a_file_cut_anywhere_is_refused(tmp_path, valid):
    for size in (0, 3, 40, valid.index(b"end_header") + 11, len(valid) - 20, len(valid) - 1):
        (tmp_path / "cut.ply").write_bytes(valid[:size])
        with pytest.raises(FormatError, match=r"cut\.ply: "):
            load_ply(tmp_path / "cut.ply")


@pytest.mark.parametrize("layout", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("properties", ["property float x", "property list uint float x"])
def test_nothing_is_allocated_for_rows_that_are_not_there(
    tmp_path, layout, properties, monkeypatch
):
    header = f"ply\nformat {layout} 1.0\nelement vertex 4000000000\n{properties}\nend_header\n1 2 3"
    (tmp_path / "huge.ply").write_text(header)
    allocated = []
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda *a, **k: allocated.append(a) or empty(*a, **k))
    with pytest.raises(FormatError, match="4000000000 rows"):
        load_ply(tmp_path / "huge.ply")
    assert not allocated


@pytest.mark.parametrize(("name", "value"), [("scale_1", np.inf), ("opacity", np.nan)])
def test_numbers_that_are_none_are_refused_by_column_and_row(tmp_path, valid, name, value):
    plain = PlyData.read(str(tmp_path / "valid.ply"))
    plain["vertex"][name][[4, 6]] = value
    plain.write(str(tmp_path / "nan.ply"))
    with pytest.raises(FormatError, match=f"property {name}: found {value} in row 4 .2 such"):
        load_ply(tmp_path / "nan.ply")
