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
import zlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, Integer, UInt8
from numpy import ndarray

from gaussians.formats.packed_ply import curve
from gaussians.formats.scene_files import (
    FormatError,
    arrays_to_write,
    check_finite,
    existing_file,
    logit,
    sigmoid,
    smallest_three,
    to_levels,
    unit_quaternions,
    with_largest,
)
from gaussians.types import Gaussians

LARGEST_TAG = 252
PALETTE_BITS = 16
LINE = 64  # rows of the palette in a line of its picture
ROUNDS = 20  # of Lloyd's algorithm
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_BYTES = 2**28  # of all files in the ZIP
LONGEST_SIDE = 16383  # of WebP
STAMP = (1980, 1, 1, 0, 0, 0)


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
    low, high = logs.min(0), logs.max(0)
    steps = np.rint((logs - low) / np.where(high > low, high - low, 1) * 65535).astype(np.uint16)
    # The unit length gives back the largest component; the others have a smaller range.
    largest, three = smallest_three(unit_quaternions(quaternions))
    quats = np.column_stack([to_levels(three / np.sqrt(2) + 0.5), LARGEST_TAG + largest])
    # Scales and colours crowd around few values, so 256 entries chosen for them beat even steps.
    scale_book, scales = _codebook(log_scales)
    color_book, colors = _codebook(harmonics[:, 0])
    pictures = {
        "means_l": _opaque(steps & 255),
        "means_u": _opaque(steps >> 8),
        "quats": quats.astype(np.uint8),
        "scales": _opaque(scales),
        "sh0": np.column_stack([colors, to_levels(sigmoid(logits))]),
    }
    meta = {
        "version": 2,
        "count": len(means),
        "means": {
            "mins": low.tolist(),
            "maxs": high.tolist(),
            "files": _names("means_l", "means_u"),
        },
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
        files["shN_labels"] = _to_webp(path, _opaque(both), width)
        centroids = _opaque(places.reshape(-1, 3))
        files["shN_centroids"] = _to_webp(path, centroids, LINE * coefficients)
        meta["shN"] = {
            "count": len(palette),
            "bands": round((coefficients + 1) ** 0.5) - 1,
            "codebook": book,
            "files": _names("shN_centroids", "shN_labels"),
        }
    # A fixed date makes equal scenes equal files. WebP is compressed already: ZIP stores it.
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(zipfile.ZipInfo(f"{name}.webp", STAMP), content)
        bundle.writestr(zipfile.ZipInfo("meta.json", STAMP), json.dumps(meta))


def load_sog(path: str | Path) -> Gaussians:
    """Read a scene, in the order of its pixels.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not such a scene.
    """
    path = existing_file(path, "a .sog file")
    files = _read_zip(path)
    try:
        meta = json.loads(files.get("meta.json", b""))
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "meta.json", error, "JSON") from error
    if _field(path, meta, "version", int) != 2:
        raise FormatError(path, "meta.json: version", meta["version"], 2)
    count = _field(path, meta, "count", int)
    if count < 1:
        raise FormatError(path, "meta.json: count", count, "at least 1")
    means_low = _picture(path, files, meta, "means", 0, count)
    means_high = _picture(path, files, meta, "means", 1, count)
    quats = _picture(path, files, meta, "quats", 0, count)
    scales = _picture(path, files, meta, "scales", 0, count)
    colors = _picture(path, files, meta, "sh0", 0, count)
    low, high = (_numbers(path, meta, f"means.{end}", 3) for end in ("mins", "maxs"))
    if (len(low), len(high)) != (3, 3):
        raise FormatError(path, "meta.json: means", f"{len(low)}, {len(high)} ends", "3 and 3")
    steps = means_low[:, :3] + means_high[:, :3] * 256.0
    logs = low + steps / 65535 * (high - low)
    with np.errstate(over="ignore"):
        means = (np.sign(logs) * np.expm1(np.abs(logs))).astype(np.float32)
    if not np.isfinite(means).all():
        raise FormatError(path, "meta.json: means", f"{np.abs(logs).max():g}", "finite positions")
    largest = quats[:, 3] - LARGEST_TAG
    if largest.min() < 0:
        raise FormatError(path, "quats", f"a largest component {largest.min()}", "0 to 3")
    quaternions = with_largest(largest, (quats[:, :3] / 255 - 0.5) * np.sqrt(2))
    mean = _looked_up(path, meta, "sh0", colors[:, :3])[:, None]
    rest = _rest(path, files, meta, count) if "shN" in meta else mean[:, :0]
    return Gaussians(
        means=jnp.asarray(means),
        quaternions=jnp.asarray(quaternions.astype(np.float32)),
        log_scales=jnp.asarray(_looked_up(path, meta, "scales", scales[:, :3])),
        logit_opacities=jnp.asarray(logit(colors[:, 3] / 255).astype(np.float32)),
        harmonics=jnp.asarray(np.concatenate([mean, rest], 1)),
    )


def _codebook(values: Float[ndarray, "g c"]) -> tuple[list[float], UInt8[ndarray, "g c"]]:
    """Return 256 numbers and the place of each value's nearest among them."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    sums = np.concatenate([[0], np.cumsum(ordered)])
    ranks = np.linspace(0, len(ordered) - 1, 256)
    even = np.linspace(ordered[0], ordered[-1], 256)
    book = (np.interp(ranks, np.arange(len(ordered)), ordered) + even) / 2
    for _ in range(ROUNDS):
        edges = np.searchsorted(ordered, (book[1:] + book[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(edges)
        book = np.where(counts > 0, np.diff(sums[edges]) / np.maximum(counts, 1), book)
    book = book.astype(np.float32)
    places = np.searchsorted((book[1:] + book[:-1]) / 2, values)
    return book.tolist(), places.astype(np.uint8)


def _palette(
    vectors: Float[ndarray, "g n"],
) -> tuple[Int[ndarray, "g"], Float[ndarray, "p n"]]:
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


def _group_means(
    labels: Int[ndarray, "g"], vectors: Float[ndarray, "g n"]
) -> Float[ndarray, "p n"]:
    sums = np.stack([np.bincount(labels, column) for column in vectors.T], 1)
    return sums / np.bincount(labels)[:, None]


def _rest(
    path: Path, files: dict[str, bytes], meta: dict[str, Any], count: int
) -> Float32[ndarray, "g n 3"]:
    """Return the coefficients of colour that depends on the direction."""
    bands = _field(path, meta, "shN.bands", int)
    rows = _field(path, meta, "shN.count", int)
    if bands not in (1, 2, 3) or not 1 <= rows <= 2**PALETTE_BITS:
        found = f"{rows} rows of {bands} bands"
        raise FormatError(path, "meta.json: shN", found, "at most 65536 rows of 1 to 3 bands")
    coefficients = (bands + 1) ** 2 - 1
    line = LINE * coefficients
    palette = _picture(path, files, meta, "shN", 0, -(-rows // LINE) * line, line)
    labels = _picture(path, files, meta, "shN", 1, count)
    which = labels[:, 0] + labels[:, 1] * 256
    if which.max() >= rows:
        raise FormatError(path, "shN labels", f"row {which.max()}", f"less than {rows}")
    places = palette.reshape(-1, coefficients, 4)[:rows, :, :3]
    return _looked_up(path, meta, "shN", places)[which]


def _names(*stems: str) -> list[str]:
    return [f"{stem}.webp" for stem in stems]


def _opaque(colors: Integer[ndarray, "g 3"]) -> UInt8[ndarray, "g 4"]:
    return np.column_stack([colors, np.full(len(colors), 255)]).astype(np.uint8)


def _pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise FormatError(path, "file", "no reader of WebP", "one: pip install pillow") from None
    return Image


def _to_webp(path: Path, pixels: UInt8[ndarray, "g 4"], width: int) -> bytes:
    """Return the picture of so many pixels a line, the last one filled up with zeros."""
    height = -(-len(pixels) // width)
    if max(width, height) > LONGEST_SIDE:
        raise FormatError(path, "scene", f"{len(pixels)} Gaussians", f"at most {LONGEST_SIDE}^2")
    filled = np.zeros((height * width, 4), np.uint8)
    filled[: len(pixels)] = pixels
    stream = io.BytesIO()
    picture = _pillow(path).fromarray(filled.reshape(height, width, 4))
    picture.save(stream, "WEBP", lossless=True, exact=True)
    return stream.getvalue()


def _read_zip(path: Path) -> dict[str, bytes]:
    """Return the files in a ZIP by their names; their checksums are compared."""
    try:
        with zipfile.ZipFile(path) as bundle:
            members = [x for x in bundle.infolist() if x.compress_type in PACKINGS]
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise zipfile.BadZipFile(f"more than {MOST_BYTES} bytes")
            if sum(member.compress_size for member in members) > path.stat().st_size:
                raise zipfile.BadZipFile("members of more bytes than the file has")
            return {member.filename: bundle.read(member) for member in members}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise FormatError(path, "file", error, "a ZIP with meta.json") from error


def _field(path: Path, meta: Any, name: str, kind: type) -> Any:
    """Return a field of nested tables, such as `means.files`, that is of a kind."""
    value = meta
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, kind):
        found = "none" if value is None else f"{type(value).__name__}"
        raise FormatError(path, f"meta.json: {name}", found, kind.__name__)
    return value


def _numbers(path: Path, meta: Any, name: str, most: int) -> Float32[ndarray, "n"]:
    values = _field(path, meta, name, list)
    if not 1 <= len(values) <= most or any(type(x) not in (int, float) for x in values):
        raise FormatError(path, f"meta.json: {name}", f"{len(values)} entries", f"{most} numbers")
    try:
        with np.errstate(over="ignore"):
            numbers = np.array(values, np.float64).astype(np.float32)
    except OverflowError as error:
        raise FormatError(path, f"meta.json: {name}", error, "finite numbers") from error
    check_finite(path, [f"meta.json: {name}"], numbers[:, None])
    return numbers


def _looked_up(
    path: Path, meta: Any, part: str, places: Int[ndarray, "*g 3"]
) -> Float32[ndarray, "*g 3"]:
    """Return the numbers at places of a part's codebook."""
    book = _numbers(path, meta, f"{part}.codebook", 256)
    if places.max() >= len(book):
        found = f"place {places.max()}"
        raise FormatError(path, f"{part} picture", found, f"less than {len(book)}")
    return book[places]


def _picture(
    path: Path,
    files: dict[str, bytes],
    meta: Any,
    part: str,
    index: int,
    count: int,
    width: int | None = None,
) -> Int[ndarray, "n 4"]:
    """Return the first pixels of one of a part's pictures, of a width where one is expected."""
    names = _field(path, meta, f"{part}.files", list)
    name = names[index] if index < len(names) else None
    if not isinstance(name, str) or name not in files:
        found = "no such file" if isinstance(name, str) else "no name"
        raise FormatError(path, f"meta.json: {part}.files", found, "a picture in the ZIP")
    image = _pillow(path)
    try:
        with image.open(io.BytesIO(files[name])) as picture:
            size = picture.size
            if size[0] * size[1] < count or size[0] != (width or size[0]):
                expected = f"{count} pixels" + (f", {width} a line" if width else "")
                raise FormatError(path, name, f"{size[0]} x {size[1]}", expected)
            pixels = np.asarray(picture.convert("RGBA")).reshape(-1, 4)
    except (OSError, SyntaxError, image.DecompressionBombError) as error:
        raise FormatError(path, name, error, "a whole picture") from error
    return pixels[:count].astype(np.int32)
