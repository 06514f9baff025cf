"""Damaged files whose result differs from the whole file's without a word.

    python tests/fuzz_silence.py --rounds 100 --seed 0 [KIND ...]

Bytes of a whole file are changed, as a bad disk or a broken download does. A result is silent if it
is another one than that of the whole file and nothing was said: no refusal, no warning, no note of
damage. Kinds with a checksum must never be silent, and no kind where a file ends too early. Other
damage to kinds without a checksum is counted.
"""

import argparse
import hashlib
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
HOLE = 400  # bytes that are zeroed at most
EDGE = 64  # bytes at a file's start that say what it is, and are left whole in films


class Kind(NamedTuple):
    """Files of one kind.

    Attributes:
      whole: the bytes of a whole file.
      ending: of its name.
      read: returns what is read, and what was said of damage.
      is_checked: whether the format has a checksum over all of its bytes.
    """

    whole: bytes
    ending: str
    read: Callable[[Path], tuple[Any, str]]
    is_checked: bool


def quiet(read: Callable[[Path], Any]) -> Callable[[Path], tuple[Any, str]]:
    """Return a reader that says nothing of damage."""
    return lambda path: (read(path), "")


def kinds(scratch: Path) -> dict[str, Kind]:
    """Return whole files by the name of their kind."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    import cv2
    from fuzz_folders import small_scene
    from spz_versions import as_version_2, as_version_4

    import gaussians
    from full4d_jax.models.weights import load_params, save_params
    from full4d_jax.scene.scene_arrays import to_arrays
    from full4d_jax.session.files import save_arrays
    from input_pipeline.footage import read_picture
    from input_pipeline.plain_files import load_array, load_arrays
    from input_pipeline.transforms import decode_depth, encode_depth

    scene = small_scene()
    gaussians.save_spz(scratch / "a.spz", scene.gaussians)
    gaussians.save_sog(scratch / "a.sog", scene.gaussians)
    gaussians.save_ply(scratch / "a.ply", scene.gaussians)
    save_arrays(scratch / "a.npz", to_arrays(scene))
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8), (9, 9), 0)
    cv2.imwrite(str(scratch / "a.png"), picture)
    depth = encode_depth(rng.uniform(1, 9, (48, 64)))
    (scratch / "depth.png").write_bytes(depth)
    np.save(scratch / "a.npy", rng.uniform(1, 9, (2, 16, 16)).astype(np.float32))
    save_params(scratch / "a.safetensors", {"a": rng.normal(size=(32, 16))}, {"prior_rows": 64})

    def bytes_of(name: str) -> bytes:
        return (scratch / name).read_bytes()

    def params_of(path: Path) -> Any:
        return load_params(path)[0]

    def depth_of(path: Path) -> Any:
        return decode_depth(path.read_bytes())

    read_spz = quiet(gaussians.load_spz)
    spz = scratch / "a.spz"
    found = {
        "spz": Kind(bytes_of("a.spz"), ".spz", read_spz, True),
        "spz2": Kind(as_version_2(spz), ".spz", read_spz, True),
        "spz4": Kind(as_version_4(spz), ".spz", read_spz, False),
        "sog": Kind(bytes_of("a.sog"), ".sog", quiet(gaussians.load_sog), True),
        "ply": Kind(bytes_of("a.ply"), ".ply", quiet(gaussians.load_ply), False),
        "depth": Kind(
            bytes_of("a.npy"), ".npy", quiet(lambda path: load_array(path, "depth")), False
        ),
        "weights": Kind(bytes_of("a.safetensors"), ".safetensors", quiet(params_of), True),
        "npz": Kind(bytes_of("a.npz"), ".npz", quiet(load_arrays), True),
        "png": Kind(bytes_of("a.png"), ".png", quiet(read_picture), True),
        "depth16": Kind(depth, ".png", quiet(depth_of), True),
    }
    return found | checkpoints(scratch) | data_set(scratch / "set") | films(scratch)


def checkpoints(scratch: Path) -> dict[str, Kind]:
    """Return the largest file of a training's checkpoint, which has marks of its arrays."""
    from fuzz_folders import instead, saved_training

    folder = scratch / "training"
    resume = saved_training(folder)
    files = [path for path in (folder / "whole").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    return {
        "checkpoint": Kind(largest.read_bytes(), ".bin", partial(instead, largest, resume), True)
    }


def data_set(folder: Path) -> dict[str, Kind]:
    """Return the shard of a data set, whose pictures have no checksums but whose records have."""
    from textured_room import make_room

    from input_pipeline.datasets.dataset import damaged_files, open_dataset, write_dataset
    from input_pipeline.datasets.records import to_bytes

    class Rooms(list[Any]):
        scene_ids = ("room",)

    write_dataset(folder, Rooms([make_room(views=2, height=16, width=24)]), name="room")
    (shard,) = folder.glob("*.array_record-*")
    whole = shard.read_bytes()

    def read(path: Path) -> tuple[Any, str]:
        shard.write_bytes(path.read_bytes())
        try:
            return to_bytes(open_dataset(folder)[0]), " ".join(damaged_files(folder))
        finally:
            shard.write_bytes(whole)

    return {"shard": Kind(whole, ".array_record", read, True)}


def films(scratch: Path) -> dict[str, Kind]:
    """Return a film of a picture that moves, and what `run` reads of it."""
    import cv2

    from full4d_jax.media.video import read_video, write_video

    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (160, 320, 3)).astype(np.uint8), (0, 0), 3)
    frames = np.stack([wide[:128, 4 * i : 4 * i + 160] for i in range(36)])
    write_video(scratch / "a.mp4", frames, 12)

    def read(path: Path) -> tuple[Any, str]:
        video = read_video(path, height=64, width=80, frames=12, fps=4)
        return video.frames, "damage" if "damaged" in video.note else ""

    return {"film": Kind((scratch / "a.mp4").read_bytes(), ".mp4", read, False)}


def damage(whole: bytes, rng: np.random.Generator, first: int) -> tuple[bytes, bool]:
    """Return bytes with some changed behind the first ones, or the end gone, and whether it is."""
    data = bytearray(whole)
    place = int(rng.integers(first, len(data)))
    match rng.integers(4):
        case 0:
            data[place] ^= 1 << int(rng.integers(8))
        case 1:
            end = min(len(data), place + int(rng.integers(1, HOLE)))
            data[place:end] = bytes(end - place)
        case 2:
            end = min(len(data), place + int(rng.integers(1, HOLE)))
            data[place:end] = rng.bytes(end - place)
        case _:
            del data[place:]
    return bytes(data), len(data) < len(whole)


def mark(result: Any) -> str:
    """Return a hash of what was read."""
    import jax

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(result):
        content = leaf if isinstance(leaf, bytes) else np.asarray(leaf)
        digest.update(content if isinstance(content, bytes) else content.tobytes())
        digest.update(b"" if isinstance(content, bytes) else str(content.shape).encode())
    return digest.hexdigest()


def outcome(kind: Kind, path: Path, expected: str) -> str:
    """Return how a file was answered: refused, told, same or silent."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            result, said = kind.read(path)
        except Exception:  # that each is told in words is what `fuzz_readers` looks at
            return "refused"
    if said or raised:
        return "told"
    return "same" if mark(result) == expected else "silent"


def main() -> None:
    """Exit code 1 where a kind with a checksum was silent, or a file that ends too early."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="kinds; all where none is named")
    parser.add_argument("--rounds", type=int, default=100, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0, help="decides the files")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="silence-") as scratch:
        known = kinds(Path(scratch))
        for name in options.names or known:
            kind = known[name]
            path = Path(scratch) / f"damaged{kind.ending}"
            path.write_bytes(kind.whole)
            expected = mark(kind.read(path)[0])
            counts: Counter[str] = Counter()
            for round_ in range(options.rounds):
                rng = np.random.default_rng([options.seed, round_, *name.encode()])
                content, is_cut = damage(kind.whole, rng, 0 if kind.is_checked else EDGE)
                path.write_bytes(content)
                answer = outcome(kind, path, expected)
                counts[answer] += 1
                if answer == "silent" and (kind.is_checked or is_cut):
                    bad += 1
                    print(f"  silent: {name}, seed {options.seed}, round {round_}", flush=True)
            said = ", ".join(f"{counts[x]} {x}" for x in ("refused", "told", "same", "silent"))
            note = "" if kind.is_checked else " (no checksum)"
            print(f"{name}: {options.rounds} files, {said}{note}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
