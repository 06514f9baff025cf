"""PlayCanvas' SOG, version 2: a ZIP of `meta.json` and lossless WebP pictures, a pixel a Gaussian.

    means_l, means_u   low and high bytes of 16 bits in the range of sign(x) log(1 + |x|), x y z
    quats              255 (q / sqrt(2) + 1/2) of the three smaller components; 252 + which of
                       w x y z is the largest
    scales             places of x y z in a codebook of 256 log-scales
    sh0                places of red, green, blue in a codebook of coefficients; opacity
    shN_labels         16 bits: which row of the palette, for colour that depends on the direction
    shN_centroids      the palette, 64 rows a line: places of its coefficients in a codebook

Axes are those of a PLY. Neighbours in space make small pictures, so the order is not kept on
writing. More than 65,536 Gaussians share rows of the palette.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Integer, UInt8
from numpy import ndarray

from gaussians.formats.scene_files import (
    Arrays,
    FormatError,
    Indices,
    arrays_to_write,
    check_finite,
    curve,
    damage_of,
    existing_file,
    logit,
    require,
    sigmoid,
    smallest_three,
    to_gaussians,
    to_levels,
    unit_quaternions,
    with_largest,
)
from gaussians.types import Gaussians

# Coefficients of each Gaussian.
Vectors = Float[ndarray, "g n"]
LARGEST_TAG = 252
PALETTE_BITS = 16
# Rows of the palette in a line of its picture.
PALETTE_LINE = 64
# Of all files of a scene.
MOST_BYTES = 2**28


def save_sog(path: str | Path, scene: Gaussians) -> None:
    """Write a scene along a space-filling curve.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    path = Path(path)
    arrays = arrays_to_write(path, scene)
    order = curve(arrays[0])
    means, quaternions, log_scales, logits, harmonics = (x[order] for x in arrays)
    # 16 bits are spread over logarithms: far surroundings get coarse steps, the middle fine ones.
    logs = np.sign(means) * np.log1p(np.abs(means.astype(np.float64)))
    low = logs.min(0)
    high = logs.max(0)
    span = np.where(high > low, high - low, 1)
    steps = np.rint((logs - low) / span * 65535).astype(np.uint16)
    # The unit length gives back the largest component; the others have a smaller range.
    largest, three = smallest_three(unit_quaternions(quaternions))
    quats = np.column_stack(
        [to_levels(three / np.sqrt(2) + 0.5), LARGEST_TAG + largest]
    )
    # Scales and colours crowd around few values, so 256 entries chosen for them beat even steps.
    scale_book, scales = _codebook(log_scales)
    color_book, colors = _codebook(harmonics[:, 0])
    pictures = {
        "means_l": steps & 255,
        "means_u": steps >> 8,
        "quats": quats,
        "scales": scales,
        "sh0": np.column_stack([colors, to_levels(sigmoid(logits))]),
    }
    box = {"mins": low.tolist(), "maxs": high.tolist()}
    meta = {
        "version": 2,
        "count": len(means),
        "means": {**box, "files": _names("means_l", "means_u")},
        "scales": {"codebook": scale_book, "files": _names("scales")},
        "quats": {"files": _names("quats")},
        "sh0": {"codebook": color_book, "files": _names("sh0")},
    }
    # Pictures near a square stay below the longest side that WebP allows.
    width = 4 * int(np.ceil(np.sqrt(len(means)) / 4))
    files = {name: _to_webp(path, pixels, width) for name, pixels in pictures.items()}
    coefficients = harmonics.shape[1] - 1
    # Colour that depends on the direction has up to 45 numbers: a palette of rows is far smaller.
    if coefficients:
        labels, palette = _palette(harmonics[:, 1:].reshape(len(means), -1))
        book, places = _codebook(palette)
        both = np.column_stack([labels & 255, labels >> 8, 0 * labels])
        files["shN_labels"] = _to_webp(path, both, width)
        line = PALETTE_LINE * coefficients
        files["shN_centroids"] = _to_webp(path, places.reshape(-1, 3), line)
        meta["shN"] = {
            "count": len(palette),
            "bands": round((coefficients + 1) ** 0.5) - 1,
            "codebook": book,
            "files": _names("shN_centroids", "shN_labels"),
        }
    # A fixed date makes equal scenes equal files. WebP is compressed already: ZIP stores it.
    stamp = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(zipfile.ZipInfo(f"{name}.webp", stamp), content)
        bundle.writestr(zipfile.ZipInfo("meta.json", stamp), json.dumps(meta))


def load_sog(path: str | Path) -> Gaussians:
    """Read a scene, in the order of its pixels.

    Args:
      path: a .sog file, or a folder with the files of one.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not such a scene.
    """
    path = Path(path)
    read = _read_folder if path.is_dir() else _read_zip
    files = read(path)
    with damage_of(path, "content", "a whole SOG scene of version 2"):
        scene = _scene_in(path, files, json.loads(files["meta.json"]))
    for name, values in zip(Gaussians._fields, scene, strict=True):
        check_finite(path, [name], values)
    return to_gaussians(*scene)


@np.errstate(over="ignore", invalid="ignore")
def _scene_in(path: Path, files: dict[str, bytes], meta: Any) -> Arrays:
    """Return the arrays of `Gaussians`; what is missing or of a wrong kind raises any error."""
    count = meta["count"]
    found = f"version {meta['version']} of {count} Gaussians"
    usual = meta["version"] == 2 and count >= 1
    require(path, "meta.json", usual, found, "version 2, at least one")

    def picture(part, index):
        return _pixels(path, files[meta[part]["files"][index]], count)

    steps = picture("means", 0)[:, :3] + picture("means", 1)[:, :3] * 256.0
    low, high = (_numbers(meta["means"][end]).reshape(3) for end in ("mins", "maxs"))
    logs = low + steps / 65535 * (high - low)
    means = np.sign(logs) * np.expm1(np.abs(logs))
    quats = picture("quats", 0)
    largest = quats[:, 3] - LARGEST_TAG
    least = largest.min()
    require(path, "quats", least >= 0, f"a largest component {least}", "0 to 3")
    quaternions = with_largest(largest, (quats[:, :3] / 255 - 0.5) * np.sqrt(2))
    colors = picture("sh0", 0)
    harmonics = _numbers(meta["sh0"]["codebook"])[colors[:, :3]][:, None]
    if "shN" in meta:
        table = meta["shN"]
        rows = table["count"]
        bands = table["bands"]
        fits = bands in (1, 2, 3) and 1 <= rows <= 2**PALETTE_BITS
        expected = "at most 65536 rows of 1 to 3 bands"
        require(path, "shN", fits, f"{rows} rows of {bands} bands", expected)
        coefficients = (bands + 1) ** 2 - 1
        line = PALETTE_LINE * coefficients
        most = -(-rows // PALETTE_LINE) * line
        places = _pixels(path, files[table["files"][0]], most, line)[:, :3]
        palette = _numbers(table["codebook"])[
            places.reshape(-1, coefficients, 3)[:rows]
        ]
        labels = picture("shN", 1)
        rest = palette[labels[:, 0] + labels[:, 1] * 256]
        harmonics = np.concatenate([harmonics, rest], 1)
    log_scales = _numbers(meta["scales"]["codebook"])[picture("scales", 0)[:, :3]]
    arrays = means, quaternions, log_scales, logit(colors[:, 3] / 255), harmonics
    return [np.asarray(x, np.float32) for x in arrays]


def _numbers(values: Any) -> Float32[ndarray, "n"]:
    return np.array(values, np.float64).astype(np.float32).reshape(-1)


def _codebook(
    values: Float[ndarray, "g c"],
) -> tuple[list[float], UInt8[ndarray, "g c"]]:
    """Return 256 numbers and the place of each value's nearest among them."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    sums = np.concatenate([[0], np.cumsum(ordered)])
    ranks = np.linspace(0, len(ordered) - 1, 256)
    even = np.linspace(ordered[0], ordered[-1], 256)
    book = (np.interp(ranks, np.arange(len(ordered)), ordered) + even) / 2
    # Of Lloyd's algorithm.
    rounds = 20
    for _ in range(rounds):
        edges = np.searchsorted(ordered, (book[1:] + book[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(edges)
        book = np.where(counts > 0, np.diff(sums[edges]) / np.maximum(counts, 1), book)
    book = book.astype(np.float32)
    places = np.searchsorted((book[1:] + book[:-1]) / 2, values)
    return book.tolist(), places.astype(np.uint8)


def _palette(vectors: Vectors) -> tuple[Indices, Float[ndarray, "p n"]]:
    """Return which of at most 2^16 means stands for each vector, and these.

    Every group is cut in two at its mean, along the coefficient that varies most in it.
    """
    if len(vectors) <= 2**PALETTE_BITS:
        return np.arange(len(vectors)), vectors
    labels = np.zeros(len(vectors), np.int64)
    rows = np.arange(len(vectors))
    for _ in range(PALETTE_BITS):
        means = _group_means(labels, vectors)
        spread = _group_means(labels, vectors.astype(np.float64) ** 2) - means**2
        axis = spread.argmax(1)[labels]
        upper = vectors[rows, axis] > means[labels, axis]
        labels = np.unique(2 * labels + upper, return_inverse=True)[1]
    return labels, _group_means(labels, vectors)


def _group_means(labels: Indices, vectors: Vectors) -> Float[ndarray, "p n"]:
    sums = np.stack([np.bincount(labels, column) for column in vectors.T], 1)
    return sums / np.bincount(labels)[:, None]


def _names(*stems: str) -> list[str]:
    return [f"{stem}.webp" for stem in stems]


def _pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise FormatError(
            path, "file", "no reader of WebP", "one: pip install pillow"
        ) from None
    return Image


def _to_webp(path: Path, pixels: Integer[ndarray, "g c"], width: int) -> bytes:
    """Return the picture of so many pixels a line, opaque, the last one filled up with zeros."""
    height = -(-len(pixels) // width)
    filled = np.zeros((height * width, 4), np.uint8)
    filled[: len(pixels), 3] = 255
    filled[: len(pixels), : pixels.shape[1]] = pixels
    stream = io.BytesIO()
    picture = _pillow(path).fromarray(filled.reshape(height, width, 4))
    picture.save(stream, "WEBP", lossless=True, exact=True)
    return stream.getvalue()


def _read_zip(path: Path) -> dict[str, bytes]:
    """Return the files in a ZIP by their names; their checksums are compared."""
    existing_file(path, "a .sog file")
    packings = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    with (
        damage_of(path, "file", "a ZIP with meta.json"),
        zipfile.ZipFile(path) as bundle,
    ):
        members = [x for x in bundle.infolist() if x.compress_type in packings]
        size = sum(member.file_size for member in members)
        packed = sum(member.compress_size for member in members)
        fits = size <= MOST_BYTES and packed <= path.stat().st_size
        found = f"{size} bytes in {packed}"
        require(path, "file", fits, found, f"at most {MOST_BYTES}, once each")
        return {member.filename: bundle.read(member) for member in members}


def _read_folder(path: Path) -> dict[str, bytes]:
    """Return the files of an unpacked scene by their names."""
    existing_file(path / "meta.json", "the table of a SOG scene")
    paths = [
        x for x in path.iterdir() if x.suffix in (".json", ".webp") and x.is_file()
    ]
    with damage_of(path, "folder", "files that can be read"):
        size = sum(x.stat().st_size for x in paths)
        fits = size <= MOST_BYTES
        require(path, "folder", fits, f"{size} bytes", f"at most {MOST_BYTES}")
        return {x.name: x.read_bytes() for x in paths}


def _pixels(
    path: Path, content: bytes, count: int, width: int | None = None
) -> Int[ndarray, "n 4"]:
    """Return the first pixels of a picture, of a width where one is expected."""
    with _pillow(path).open(io.BytesIO(content)) as picture:
        line, lines = picture.size
        fits = line * lines >= count and line == (width or line)
        expected = f"{count} pixels" + (f", {width} a line" if width else "")
        require(path, "picture", fits, f"{line} x {lines}", expected)
        pixels = np.asarray(picture.convert("RGBA")).reshape(-1, 4)
    return pixels[:count].astype(np.int32)
