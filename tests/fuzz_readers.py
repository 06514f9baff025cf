"""Mutated files for every reader: each must be read or refused in words, quickly and in memory.

    python tests/fuzz_readers.py --rounds 20000 --seed 7 [READER ...]

Every other file is changed byte by byte, the others in what they say (`fuzz_structures`). Refused
in words is an `InputError`, or an error of the two lower packages that becomes one. Runs in a
process that may not allocate more than a GiB beyond what its libraries take. What goes wrong is
kept, and told as one line: the file, named after the reader, the seed and the round, and the error.
Crashes and hangs of native code end or stop this process; the file that caused it is then the
newest in the scratch folder.
"""

import argparse
import json
import math
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from fuzz_bytes import mutate
from fuzz_structures import STRUCTURES
from spz_versions import as_version_2, as_version_4

from full4d_jax.session.disk import disk_error
from full4d_jax.session.errors import InputError

MEMORY = 2**30  # bytes beyond what is in use at the start
SECONDS = 2  # of the processor, a file
PATIENCE = 30  # seconds a file, of which it may wait for a busy machine
REPOSITORY = Path(__file__).resolve().parent.parent
# As `session.errors.input_errors` takes them.
IN_WORDS = re.compile(r"(.*: )?found .+, expected .+", re.DOTALL)
Reader = tuple[list[bytes], str, Callable[[Path], object]]


def readers(scratch: Path) -> dict[str, Reader]:
    """By name: whole files, how their names end, and what reads them."""
    found = scenes(scratch) | networks(scratch) | clips(scratch)
    from fuzz_folders import folders
    from fuzz_importers import importers
    from fuzz_options import option_files

    named = importers(scratch, found["jpeg"][0][0]) | option_files(scratch)
    return found | named | folders(scratch)


def scenes(scratch: Path) -> dict[str, Reader]:
    """Return the files that `gaussians` reads, with their readers."""
    import jax.numpy as jnp

    import gaussians as g

    rng = np.random.default_rng(0)

    def scene(k: int) -> g.Gaussians:
        shapes = (3,), (4,), (3,), (), (k, 3)
        return g.Gaussians(*(jnp.asarray(rng.normal(size=(5, *s)), jnp.float32) for s in shapes))

    moving = [rng.normal(size=(5, *s)).astype(np.float32) for s in ((3,), (), (), ())]
    still, degree = scene(1), scene(4)
    g.save_ply(scratch / "a.ply", still)
    g.save_ply(scratch / "b.ply", degree)
    header, _, body = (scratch / "a.ply").read_bytes().partition(b"end_header\n")
    rows = np.frombuffer(body, "<f4").reshape(5, -1).tolist()
    text = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    (scratch / "c.ply").write_bytes(
        header.replace(b"binary_little_endian", b"ascii") + b"end_header\n" + text
    )
    g.save_dynamic_ply(scratch / "d.ply", g.DynamicGaussians(degree, *map(jnp.asarray, moving)))
    g.save_packed_ply(scratch / "e.ply", degree)
    g.save_splat(scratch / "f.splat", still)
    g.save_spz(scratch / "g.spz", degree)
    g.save_sog(scratch / "h.sog", degree)
    spz = scratch / "g.spz"
    packed = [spz.read_bytes(), as_version_2(spz), as_version_4(spz)]
    files = [(scratch / f"{name}.ply").read_bytes() for name in "abcde"]
    return {
        "ply": (files, ".ply", g.load_any_ply),
        "splat": ([(scratch / "f.splat").read_bytes()], ".splat", g.load_splat),
        "spz": (packed, ".spz", g.load_spz),
        "sog": ([(scratch / "h.sog").read_bytes()], ".sog", g.load_sog),
    }


def networks(scratch: Path) -> dict[str, Reader]:
    """Weights, and files of arrays."""
    from full4d_jax.models.torch_files import read_tensors
    from full4d_jax.models.weights import load_params, save_params
    from full4d_jax.session.files import read_arrays, save_arrays
    from full4d_jax.source.capture_source import open_capture
    from full4d_jax.source.depth.estimate import depth_from_file
    from full4d_jax.source.options import CaptureOptions

    tensors = {"a": {"b": np.ones((3, 4), np.float32)}, "c": np.zeros(5, np.float32)}
    save_params(scratch / "w.safetensors", tensors, {"model": {"width": 3}})
    weights = (scratch / "w.safetensors").read_bytes()
    pth = (REPOSITORY / "tests/full4d_jax/models/goldens/tensors.pth").read_bytes()
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, 0, 3] = 0.5
    capture = {
        "frames": np.zeros((2, 2, 16, 16, 3), np.uint8),
        "intrinsics": np.stack([np.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])] * 2),
        "world_to_camera": poses,
        "depth": np.ones((2, 2, 16, 16), np.float32),
    }
    save_arrays(scratch / "c.npz", capture)
    np.savez(scratch / "u.npz", **capture)
    np.save(scratch / "d.npy", np.ones((2, 8, 8), np.float32))
    packed, plain = (scratch / "c.npz").read_bytes(), (scratch / "u.npz").read_bytes()
    depth = (scratch / "d.npy").read_bytes()
    return {
        "safetensors": ([weights], ".safetensors", load_params),
        "tensors": ([weights], ".safetensors", read_tensors),
        "pth": ([pth], ".pth", read_tensors),
        "capture": ([packed, plain], ".npz", lambda path: open_capture(CaptureOptions(path))),
        "stage": ([packed], ".npz", read_arrays),
        "depth": ([depth], ".npy", lambda path: depth_from_file(path, 2, 8, 8)),
    }


def clips(scratch: Path) -> dict[str, Reader]:
    """Records, datasets, pictures, videos, camera paths and models."""
    from full4d_jax.media.video import read_video, write_video
    from full4d_jax.source.camera_paths import load_targets
    from input_pipeline import transforms
    from input_pipeline.datasets.dataset import open_dataset, write_dataset
    from input_pipeline.datasets.records import from_bytes, to_bytes
    from input_pipeline.procedural.gltf_mesh import load_skinned_mesh
    from input_pipeline.schema import Example, validate

    sys.path.insert(0, str(REPOSITORY / "tests"))
    from skinned_arm import write_arm
    from textured_room import make_room

    room = make_room(views=2, height=16, width=24)

    class Clips(list[Example]):
        scene_ids = ("room",)

    folder = scratch / "data"
    write_dataset(folder, Clips([room]), name="room")
    index, (shard,) = folder / "index.json", folder.glob("*.array_record-*")
    whole = {path: path.read_bytes() for path in (index, shard)}

    def record(path: Path) -> None:
        transforms.decode(validate(from_bytes(path.read_bytes())), height=16, width=24)

    def dataset(damaged: Path, path: Path) -> None:
        content = path.read_bytes()
        told = json.loads(whole[index])
        told["files"][shard.name]["bytes"] = len(content)
        index.write_text(json.dumps(told))  # so that the size of a damaged shard is right
        damaged.write_bytes(content)
        try:
            open_dataset(folder)[0]
        finally:
            for kept, before in whole.items():
                kept.write_bytes(before)

    def video(path: Path) -> None:
        read_video(path, height=16, width=16, frames=3)

    def cameras(path: Path) -> None:
        load_targets(path, frames=2, **size)

    size = {"height": 16, "width": 16}
    noise = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)
    write_video(scratch / "v.mp4", noise, 6)
    views = {"world_to_camera": room.world_to_camera.tolist(), "image_size": [24, 16]}
    views["intrinsics"] = room.intrinsics.tolist()
    write_arm(scratch / "a.glb")
    frame, depth = room.frames[0, 0], room.depth16[0, 0]
    return {
        "record": ([to_bytes(room)], ".record", record),
        "index": ([whole[index]], ".json", partial(dataset, index)),
        "shard": ([whole[shard]], ".array_record", partial(dataset, shard)),
        "jpeg": ([frame], ".jpg", lambda path: transforms.decode_jpeg(path.read_bytes())),
        "depth16": ([depth], ".png", lambda path: transforms.decode_depth(path.read_bytes())),
        "video": ([(scratch / "v.mp4").read_bytes()], ".mp4", video),
        "cameras": ([json.dumps(views).encode()], ".json", cameras),
        "gltf": ([(scratch / "a.glb").read_bytes()], ".glb", load_skinned_mesh),
    }


def failures(
    name: str, reader: Reader, folder: Path, rounds: int, seed: int, seconds: float = math.inf
) -> Iterator[str]:
    """A line for every mutated file that was neither read nor refused in words.

    After `seconds` of the processor no further file is made.
    """
    seeds, ending, read = reader
    end = time.process_time() + seconds
    for round_ in range(rounds):
        if time.process_time() > end:
            return
        rng = np.random.default_rng([seed, round_, *name.encode()])
        path = folder / f"{name}{ending}"
        whole = seeds[rng.integers(len(seeds))]
        wrong = STRUCTURES[ending] if ending in STRUCTURES and round_ % 2 else mutate
        path.write_bytes(wrong(whole, rng))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            read(path)
        except Exception as error:
            if _is_refusal(error):
                continue
            kept = path.rename(folder / f"{name}-{seed}-{round_}{ending}")
            trace = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(trace.filename).name}:{trace.lineno}"
            yield f"{kept}: {type(error).__name__} at {where}: {str(error)[:100]}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _is_refusal(error: Exception) -> bool:
    """Return whether a command would tell an error in one line, as `cli.main` does."""
    in_words = isinstance(error, ValueError) and IN_WORDS.match(str(error)) is not None
    return isinstance(error, InputError) or in_words or disk_error(error) is not None


def limit_memory() -> None:
    """Allow this process `MEMORY` bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Exit code 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="readers; all where none is named")
    parser.add_argument("--rounds", type=int, default=150, help="files for each reader")
    parser.add_argument("--seconds", type=float, default=math.inf, help="most for each reader")
    parser.add_argument("--seed", type=int, default=0, help="decides the files")
    options = parser.parse_args()

    def too_long(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s of the processor, or {PATIENCE} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGPROF, too_long)
    warnings.simplefilter("ignore")
    folder, bad = Path(tempfile.mkdtemp(prefix="fuzz-")), 0
    print(f"files in {folder}", flush=True)
    known = readers(folder)
    limit_memory()
    for name in options.names or known:
        read, start = known[name], time.perf_counter()
        for number, content in enumerate(read[0]):  # whole files must be read, or nothing is tested
            path = folder / f"whole-{number}{read[1]}"
            path.write_bytes(content)
            read[2](path)
        how = options.rounds, options.seed, options.seconds
        wrong = list(failures(name, read, folder, *how))
        bad += len(wrong)
        print(
            f"{name}: at most {options.rounds} files, {time.perf_counter() - start:.1f} s",
            flush=True,
        )
        print("".join(f"  {line}\n" for line in wrong), end="", flush=True)
    if not bad:
        shutil.rmtree(folder)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
