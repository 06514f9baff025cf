"""PLY files byte by byte, round trips, and scenes that no writer takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import Gaussians, save_dynamic_ply, save_packed_ply, save_splat, still
from gaussians.formats.ply import load_ply, save_ply
from gaussians.formats.scene_files import FormatError


@pytest.fixture
def valid(tmp_path, make_scene) -> bytes:
    """The bytes of a good file of nine Gaussians, 17 properties each."""
    save_ply(tmp_path / "valid.ply", make_scene(9))
    return (tmp_path / "valid.ply").read_bytes()


@pytest.mark.parametrize("degree", [0, 3])
def test_round_trip_and_layout(degree, tmp_path, vertex, make_scene):
    original = make_scene(9, degree)
    save_ply(tmp_path / "scene.ply", original)
    again = load_ply(tmp_path / "scene.ply")
    np.testing.assert_equal(*jax.device_get((again, original)))
    rows = vertex(tmp_path / "scene.ply")
    names = list(rows.dtype.names)
    k = (degree + 1) ** 2
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[-8:-3] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0"]
    assert sum(n.startswith("f_rest") for n in names) == 3 * (k - 1)
    np.testing.assert_array_equal(rows["rot_0"], original.quaternions[:, 0])
    if degree:  # all red coefficients come first, then green
        rest, green = original.harmonics[:, 1:], rows[f"f_rest_{k - 1}"]
        np.testing.assert_array_equal(rows["f_rest_1"], rest[:, 1, 0])
        np.testing.assert_array_equal(green, rest[:, 0, 1])


def test_files_may_be_text_big_endian_or_of_doubles(tmp_path, valid, make_scene):
    header, end, body = valid.partition(b"end_header\n")
    rows = np.frombuffer(body, "<f4").reshape(9, -1)
    text = "\n".join(" ".join(map(str, row)) for row in rows.tolist()).encode()
    comment = b"ply\ncomment M\xc3\xbcller's end_header\nobj_info none\n"
    little, big = b"binary_little_endian", b"binary_big_endian"
    for other in (
        header.replace(b"float", b"double") + end + rows.astype("<f8").tobytes(),
        header.replace(b"float", b"float32") + end + body,
        header.replace(little, big) + end + rows.astype(">f4").tobytes(),
        header.replace(little, b"ascii") + end + text,
        (header.replace(little, b"ascii") + end + text).replace(b"\n", b"\r\n"),
        (header + end).replace(b"\n", b"\r") + body,
        valid.replace(b"ply\n", comment) + b"what follows the rows",
    ):
        (tmp_path / "other.ply").write_bytes(other)
        other = load_ply(tmp_path / "other.ply")
        np.testing.assert_equal(*jax.device_get((other, make_scene(9))))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"binary_little_endian", b"zip"),
        (b"property float opacity\n", b""),
        (b"float opacity", b"int opacity"),
        (b"vertex 9\n", b"vertex 10\n"),
        (b"float x", b"list uchar float x"),
    ],
)
def test_wrong_headers_are_refused_with_file_field_and_found(tmp_path, valid, old, new):
    assert valid.count(old) == 1
    path = tmp_path / "bad.ply"
    path.write_bytes(valid.replace(old, new))
    with pytest.raises(FormatError, match=r"^.*/bad\.ply: .+: found .+, expected .+$"):
        load_ply(path)


def test_a_file_cut_anywhere_is_refused(tmp_path, valid):
    end = valid.index(b"end_header") + 11
    for size in (0, 3, 40, end, len(valid) - 20, len(valid) - 1):
        (tmp_path / "cut.ply").write_bytes(valid[:size])
        with pytest.raises(FormatError, match=r"cut\.ply: "):
            load_ply(tmp_path / "cut.ply")


@pytest.mark.parametrize(("name", "value"), [("scale_1", np.inf), ("opacity", np.nan)])
def test_numbers_that_are_none_are_refused_by_column_and_row(
    tmp_path, valid, vertex, name, value
):
    vertex(tmp_path / "valid.ply")[name][[4, 6]] = value
    with pytest.raises(FormatError, match=f"{name}: found {value} in row 4 .2 "):
        load_ply(tmp_path / "valid.ply")


WRITERS = [save_ply, save_packed_ply, save_splat, save_dynamic_ply]


@pytest.mark.parametrize("save", WRITERS)
@pytest.mark.parametrize(
    "bad",
    [
        lambda s: Gaussians(*(x[:0] for x in s)),
        lambda s: s._replace(logit_opacities=jnp.full(9, np.nan)),
        lambda s: s._replace(means=s.means[:5]),
    ],
)
def test_scenes_that_no_reader_takes_are_not_written(tmp_path, save, bad, make_scene):
    wrong = bad(make_scene(9))
    if save is save_dynamic_ply:
        wrong = still(make_scene(9))._replace(gaussians=wrong)
    with pytest.raises(FormatError, match=r"bad\.x: "):
        save(tmp_path / "bad.x", wrong)
    assert not list(tmp_path.iterdir())
