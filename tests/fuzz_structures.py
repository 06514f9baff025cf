"""Mutations of what is in a file, so that it opens and says something wrong.

JSON with fields that are gone, renamed, of another type or of absurd size; arrays of other shapes,
types and values; boxes of a video that are gone, doubled or in another order; words of a command.
"""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from full4d_jax.models.safetensors_files import CHECKSUM

HUGE = 10**400  # no float holds it
STRANGE = "<b>&\x1b[31m\u202e"
WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, HUGE, -HUGE, 1e-320, 1e38, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "x", "9" * 5000, "../../etc/passwd", STRANGE),
    *(
        "\ud800",
        "nan",
        [],
        {},
        [[]],
        [[[1.0]]],
        [1, [2]],
        ["x"] * 3,
        [0] * 5000,
        {"a": 1},
        {"": []},
    ),
]
WORDS = [
    *("", "-1", "0", "1", "nan", "inf", "1e400", "9" * 400, "None", "True", "x" * 3000, STRANGE),
    *("/dev/null", "/dev/zero", "..", "--", "-", "=", "[]", "1 2", "\udcff", "../../etc/passwd"),
]
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"meta"}
DTYPES = ["f2", "f8", "i1", "i8", "u1", "u8", "?", "c8", "U3", "S3", "M8[s]", "V4"]


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """Return JSON with one thing wrong somewhere in it."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places:
        return _wrong(rng)
    parent, key = places[rng.integers(len(places))]
    found = parent[key]
    match rng.integers(9):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        case 2:  # what stands elsewhere in the same file
            other, name = places[rng.integers(len(places))]
            parent[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
        case 3:
            parent[key] = [found]
        case 4 if isinstance(found, list) and found:
            parent[key] = found[:-1] if rng.integers(2) else found + found[-1:]
        case 5:
            for _ in range(int(rng.choice([60, 600]))):
                found = [found]
            parent[key] = found
        case 6 if isinstance(parent, dict):
            parent[rng.choice(["x", "", "__class__", STRANGE])] = _wrong(rng)
        case 7 if isinstance(found, int | float) and not isinstance(found, bool):
            factor = rng.choice([-1, 0, 1e-6, 1e6, 1e30])
            parent[key] = type(found)(found * factor) if np.isfinite(found) else 0
        case _:
            parent[key] = _wrong(rng)
    return value


def mutate_arrays(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return named arrays of which one is gone, renamed or another."""
    names = sorted(arrays)
    name = names[rng.integers(len(names))]
    others = {key: value for key, value in arrays.items() if key != name}
    match rng.integers(10):
        case 0:
            return others
        case 1:
            return others | {f"{name}_": arrays[name]}
        case 2:
            return arrays | {name: arrays[names[rng.integers(len(names))]]}
        case _:
            return arrays | {name: mutate_array(arrays[name], rng)}


def mutate_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an array of another shape, type or with other values."""
    axis = int(rng.integers(max(array.ndim, 1)))
    match rng.integers(9):
        case 0:
            return np.asarray(array[None])
        case 1 if array.ndim:
            return np.asarray(array.take(0, axis))
        case 2 if array.ndim > 1:
            return array.swapaxes(axis, int(rng.integers(array.ndim)))
        case 3 if array.ndim:  # none, all but one, or many along an axis
            count = array.shape[axis]
            many = int(rng.choice([0, max(count - 1, 0), count + 1, 70]))
            return array.take(np.arange(many) % max(count, 1) if count else [], axis)
        case 4:
            return np.array(rng.choice(["", "x", "{}", "[]", STRANGE]))
        case 5:
            return np.array(rng.choice([0, -1, np.nan, 1e30]))
        case 6:
            try:
                return array.astype(DTYPES[rng.integers(len(DTYPES))])
            except (ValueError, TypeError):
                return np.zeros(array.shape, "V4")
        case _ if array.dtype.kind in "fiub":
            changed = array.astype(np.result_type(array, np.float32)).copy()
            value = rng.choice([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e30, -1e30])
            if rng.integers(2) and changed.size:
                changed.flat[rng.integers(changed.size)] = value
            else:
                changed[...] = value
            with np.errstate(all="ignore"):
                return changed.astype(array.dtype)
        case _:
            return np.array([str(array)] * 2)


def mutate_words(words: list[str], rng: np.random.Generator) -> list[str]:
    """Return the words of a command with one that is gone, doubled, misspelt or another."""
    words = list(words)
    place = int(rng.integers(len(words))) if words else 0
    match rng.integers(7) if words else 6:
        case 0:
            del words[place]
        case 1:
            words.insert(place, words[place])
        case 2:
            words[place] = words[place][:-1]
        case 3:
            words[place : place + 2] = ["=".join(words[place : place + 2])]
        case 4:
            other = int(rng.integers(len(words)))
            words[place], words[other] = words[other], words[place]
        case _:
            wrong = str(rng.choice(WORDS))
            words[place : place + int(rng.integers(2))] = [wrong]
    return words


def _wrong(rng: np.random.Generator) -> Any:
    return WRONG[rng.integers(len(WRONG))]


def _keys(parent: Any) -> Any:
    return parent if isinstance(parent, dict) else range(len(parent))


def _places(value: Any) -> Any:
    """Yield every container in JSON with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(_keys(value)):
            yield value, key
            yield from _places(value[key])


def _json(data: bytes, rng: np.random.Generator) -> bytes:
    return json.dumps(mutate_json(json.loads(data), rng)).encode()


def _lines(data: bytes, rng: np.random.Generator) -> bytes:
    rows = [json.loads(line) for line in data.splitlines()]
    return b"".join(json.dumps(row).encode() + b"\n" for row in mutate_json(rows, rng))


def _npy(data: bytes, rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    np.save(file, mutate_array(np.load(io.BytesIO(data)), rng))
    return file.getvalue()


def _npz(data: bytes, rng: np.random.Generator) -> bytes:
    file, arrays = io.BytesIO(), dict(np.load(io.BytesIO(data)))
    np.savez(file, **mutate_arrays(arrays, rng))  # type: ignore[arg-type]
    return file.getvalue()


def _safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Tensors of other shapes, a header that is wrong, or metadata that are."""
    (size,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    told = header.get("__metadata__", {})
    told.pop(CHECKSUM, None)  # what is changed here would be refused for its checksum alone
    match rng.integers(3):
        case 0:
            arrays = mutate_arrays(load(save_as_float(header, body)), rng)
            known = {k: np.ascontiguousarray(x) for k, x in arrays.items() if x.dtype.kind in "fiu"}
            return save(known, told)
        case 1 if told:
            name = sorted(told)[rng.integers(len(told))]
            told[name] = json.dumps(mutate_json(json.loads(told[name]), rng))
        case _:
            header = mutate_json(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def save_as_float(header: dict[str, Any], body: bytes) -> bytes:
    """Return a file of the same tensors as float16, for numpy knows no bfloat16."""
    tensors = {name: told for name, told in header.items() if name != "__metadata__"}
    for told in tensors.values():
        told["dtype"] = told["dtype"].replace("BF16", "F16")
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + body


def _glb(data: bytes, rng: np.random.Generator) -> bytes:
    (size,) = struct.unpack_from("<I", data, 12)
    text = json.dumps(mutate_json(json.loads(data[20 : 20 + size]), rng)).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    return head + text + rest


def _boxes(data: bytes) -> list[list[Any]]:
    """Return the boxes of an mp4: kind, and content or the boxes inside."""
    found, place = [], 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        size = size if size >= 8 else len(data) - place
        content = data[place + 8 : place + size]
        found.append([kind, _boxes(content) if kind in CONTAINERS - {b"meta"} else content])
        place += size
    return found


def _joined(boxes: list[list[Any]]) -> bytes:
    packed = b""
    for kind, content, *size in boxes:
        body = content if isinstance(content, bytes) else _joined(content)
        packed += struct.pack(">I4s", size[0] if size else len(body) + 8, kind) + body
    return packed


def _mp4(data: bytes, rng: np.random.Generator) -> bytes:
    boxes = _boxes(data)
    lists, stack = [], [boxes]
    while stack:
        lists.append(here := stack.pop())
        stack += [box[1] for box in here if isinstance(box[1], list)]
    here = lists[rng.integers(len(lists))]
    if not here:
        return data[: len(data) // 2]
    place = int(rng.integers(len(here)))
    kind, content = here[place][:2]
    match rng.integers(7):
        case 0:
            del here[place]
        case 1:
            here.insert(place, here[place])
        case 2:
            here.append(here.pop(place))
        case 3:
            here[place] = [rng.choice([b"free", b"moov", b"trak", b"stts", b"ctts"]), content]
        case 4:
            here[place] = [kind, content, int(rng.choice([0, 1, 7, 8, 2**31, 2**32 - 1]))]
        case 5 if kind not in CONTAINERS:
            here[place] = [kind, b""]
        case _:  # a number of a box: a time, a count, a size, a rate
            numbers = [box for box in here if isinstance(box[1], bytes) and len(box[1]) >= 8]
            if numbers:
                box = numbers[rng.integers(len(numbers))]
                at = 4 * int(rng.integers(min(len(box[1]) // 4, 30)))
                value = int(rng.choice([0, 1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1]))
                box[1] = box[1][:at] + struct.pack(">I", value) + box[1][at + 4 :]
    return _joined(boxes)


def _words(data: bytes, rng: np.random.Generator) -> bytes:
    words = mutate_words(data.decode(errors="surrogateescape").split("\n"), rng)
    return "\n".join(words).encode(errors="surrogateescape")


STRUCTURES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".glb": _glb,
    ".mp4": _mp4,
    ".words": _words,
}
