"""Hostile and damaged input: each is read, or refused in words; else the exit code is 1.

    python tests/attacks.py [PART OF A NAME ...] [--seed 0] [--rounds 30]

`damage/KIND` reads files with bytes or fields changed, or their end gone, within 2 s of the
processor and 1 GiB; none with a checksum, or cut short, gives another result in silence.

All others are commands on links, devices, full disks, strange arrays and numbers, in
strange environments, or ended by a signal. A command passes if it works within 90 s of the
processor, or refuses in at most six lines within 15 s, both in 2 GiB; and if it changes no
file outside of its folder and leaves no half file.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TESTS = Path(__file__).resolve().parent
SECONDS_TO_REFUSE = 15  # of the processor
SECONDS_TO_WORK = 90
SECONDS_TO_READ = 2  # of the processor, a damaged file
SECONDS_TO_WAIT = 600  # by the clock, after which a command is ended
MOST_MEMORY = 2 * 2**30  # bytes of a command
MOST_MEMORY_OF_A_FILE = 2**30  # bytes that reading one may take
REFUSED = 2  # exit code
IN_WORDS = re.compile(r"(.*: )?found .+, expected .+", re.DOTALL)  # of `input_errors`

JOBS = {
    "render": "render run --size 16 --orbit_seconds 0.1",
    "lift": "lift run --lift.steps 2 --lift.capacity 50 --lift.distillation none",
    "run": "run in.mp4 --config small.py --depth depth.npy --checkpoint prior.safetensors "
    "--out out --size 16 --orbit_seconds 0.1 --lift.steps 2 --lift.capacity 50",
    "train": "train --config small.py --out training --training.steps 2",
    "import": "data import capture --out imported --frames 4",
    "encode": "data encode --config small.py --dataset data --out encoded",
    "procedural": "data procedural --out worlds --scenes 2 --views 2 --frames 2",
    "gltf": "data gltf assets --out rendered --clips 2 --frames 2",
    "check": "data check data --out checked",
    "evaluate": "evaluate run",
}
TARGETS = ("x.ply", "x.4d.ply", "x.splat", "x.spz", "x.sog", "x.glb", "x.html")
JOBS |= {f"convert {target}": f"convert splats run {target}" for target in TARGETS}
Change = Callable[[Path, Path], object]  # of the command's folder and somebody else's


class Attack(NamedTuple):
    """One command, `full4d` and `words`, on something hostile."""

    name: str
    words: str
    prepare: Change = lambda here, home: None
    shell: str = ":"  # lines before it, which limit it or change its environment
    alarm: int = 0  # a signal that is sent to the command; 0 sends none
    codes: tuple[int, ...] = (0, REFUSED)  # exit codes that pass


def wrong_answer(attack: Attack, world: Path, folder: Path) -> str:
    """Run an attack in a copy of `world`; return what is wrong with its answer, or ""."""
    here = folder / "here"
    home = folder / "home"
    shutil.copytree(world, here, symlinks=True)
    home.mkdir()
    attack.prepare(here, home)
    before = content(home)
    full4d = [sys.executable, "-m", "full4d_jax.cli", *attack.words.split()]
    command = ["sh", "-c", f'{attack.shell}\nexec "$@"', "sh", *full4d]
    with subprocess.Popen(
        command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        end = threading.Timer(SECONDS_TO_WAIT, process.kill)
        end.start()
        if attack.alarm:
            time.sleep(np.random.default_rng([*attack.name.encode()]).uniform(2, 8))
            os.kill(process.pid, attack.alarm)
        text = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        end.cancel()
        process.returncode = code = os.waitstatus_to_exitcode(status)
    # A line of progress is overwritten by the next one.
    progress = re.compile(r": (\d+/\d+|done in |stopped after )")
    lines = [x for x in text.splitlines() if x.strip() and not progress.search(x)]
    seconds = usage.ru_utime + usage.ru_stime
    memory = usage.ru_maxrss * 2**10
    after = content(home)
    worked = code in (0, os.EX_TEMPFAIL)  # a training was stopped, and saved
    reasons = [f"changed {x}" for x in before | after if before.get(x) != after.get(x)]
    if code != -signal.SIGKILL:
        reasons += [f"left {path.name}" for path in here.rglob(".*.partial-*")]
    if code not in attack.codes:
        reasons.append(f"exit code {code}")
    if "Traceback" in text:
        reasons.append("a traceback")
    elif not (worked or code < 0 or "2>&-" in attack.shell or 0 < len(lines) < 7):
        reasons.append(f"{len(lines)} lines")
    if seconds > (SECONDS_TO_WORK if worked else SECONDS_TO_REFUSE):
        reasons.append(f"{seconds:.0f} s")
    if memory > MOST_MEMORY:
        reasons.append(f"{memory / 2**30:.1f} GiB")
    return f"{', '.join(reasons)}: {''.join(lines[-1:])[:300]}" if reasons else ""


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder, and the names of the folders."""
    return {
        str(x.relative_to(folder)): x.read_bytes() if x.is_file() else b"a folder"
        for x in folder.rglob("*")
    }


def linked(place: str, target: str = "") -> Change:
    """Return a change: a name links to `target`, or to a file or folder of the user."""

    def change(here: Path, home: Path) -> None:
        link = here / place.rstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        theirs = home / link.name
        if place.endswith("/"):
            theirs.mkdir()
            theirs /= "0000.ply"
        theirs.write_text("of the user")
        link.symlink_to(target or home / link.name)

    return change


def links() -> Iterator[Attack]:
    """Yield output folders in which names of output are links to what is the user's."""
    shown = "orbit.mp4 bullet.mp4 scene.html scene.png report.json .lock"
    stages = "source.npz depth.npz grid.npz scene.npz .scene.fit.npz config.json"
    train = "metrics.jsonl prior.safetensors checkpoints/ checkpoints/2/ sheets/ .lock"
    index = "index.json README.md dataset_info.json shards/"
    names = {
        "render": ("run/", shown),
        "lift": ("run/", ".scene.fit.npz .lock"),
        "run": ("out/", f"{shown} {stages} grid.mp4"),
        "train": ("training/", f"{train} checkpoints/2.orbax-checkpoint-tmp/"),
        "import": (".imported.partial/", ".lock"),
        "encode": ("encoded/", index),
        "procedural": ("worlds/", f"{index} .lock"),
        "gltf": ("rendered/", index),
        "check": ("checked/", "check.json clip-00000.png"),
        "evaluate": ("run/", "scores.jsonl consistency.json consistency.md"),
        **{f"convert {target}": ("", target) for target in TARGETS},
    }
    for job, (folder, files) in names.items():
        for file in files.split():
            codes = (REFUSED,) if file == ".lock" else (0, REFUSED)
            change = linked(folder + file)
            yield Attack(f"link/{job} {file}", JOBS[job], change, codes=codes)


def places() -> Iterator[Attack]:
    """Yield names of files that are devices, of the kernel, or lists of other files."""
    for name in ("/proc/self/maps", "/dev/zero", "/dev/stdin"):
        yield Attack(f"place/run {name}", f"run {name} --out out")
        yield Attack(f"place/depth {name}", JOBS["run"].replace("depth.npy", name))
        yield Attack(f"place/poses {name}", f"{JOBS['run']} --poses {name}")
        yield Attack(f"place/checkpoint {name}", f"sample in.mp4 --checkpoint {name}")
        for words, file in (
            (JOBS["lift"], "run/grid.npz"),
            (JOBS["lift"], "run/config.json"),
            (JOBS["render"], "run/scene.npz"),
            ("convert splats scene.ply y.splat", "scene.ply"),
            (JOBS["check"], "data/index.json"),
            (JOBS["import"], "capture/a.mp4"),
            (JOBS["gltf"], "assets/arm.glb"),
        ):
            change = linked(file, name)
            yield Attack(f"place/{file} {name}", words, change, codes=(REFUSED,))
    for start in (
        b"ffconcat version 1.0\nfile in.mp4\n",
        b"#EXTM3U\n#EXTINF:1,\nin.mp4\n",
    ):
        write = partial(lambda x, here, home: (here / "a.mp4").write_bytes(x), start)
        name = f"place/playlist {start[:8]!r}"
        yield Attack(name, "run a.mp4", write, codes=(REFUSED,))


def arrays() -> Iterator[Attack]:
    """Yield arrays of other types, and with numbers beyond all bounds."""

    def change(file: str, name: str, wrong: Any, here: Path, home: Path) -> None:
        named: dict[str, Any] = dict(np.load(here / file))
        named[name] = wrong(named[name])
        np.savez(here / file, **named)

    kinds: dict[str, Callable[[Any], Any]] = {
        **{kind: partial(np.asarray, dtype=kind) for kind in (">f4", ">f8", "g", "f2")},
        **{f"{x}": partial(np.full_like, fill_value=x) for x in (1e30, 1e-40, np.nan)},
    }
    readers = {
        "run/scene.npz": ("convert x.html", "means log_scales velocities"),
        "run/grid.npz": ("lift", "times intrinsics world_to_camera depth"),
        "run/depth.npz": ("lift", "path_unit"),
    }
    for kind, wrong in kinds.items():
        for file, (job, names) in readers.items():
            for name in names.split():
                prepare = partial(change, file, name, wrong)
                yield Attack(f"array/{job} {name} {kind}", JOBS[job], prepare)


def numbers() -> Iterator[Attack]:
    """Yield numbers that no machine holds, for options that take one."""
    options = {
        "procedural": "first scenes views frames height width shards jobs",
        "import": "frames stride size jobs fps",
        "convert x.html": "instants seconds time",
        "render": "size orbit_seconds sweep",
        "lift": "lift.capacity lift.harmonics",
        "run": "views rows seconds fps size azimuth fov",
        "train": "mesh.data training.batch data.views data.frames data.height model.width "
        "model.layers model.heads model.ffn",
    }
    for job, names in options.items():
        for name in names.split():
            for value in ("99999999999", "-1"):
                words = f"--{name} {value}"
                yield Attack(f"number/{job} {words}", f"{JOBS[job]} {words}")


def machines() -> Iterator[Attack]:
    """Yield full disks, strange environments, streams that are gone, and signals."""
    full = "ulimit -f 0; trap '' XFSZ; export JAX_ENABLE_COMPILATION_CACHE=false"
    # Full disks of the others: test_chaos.
    for job in JOBS.keys() - {"lift", "run", "render", "train"}:
        yield Attack(f"disk/{job}", JOBS[job], shell=full, codes=(REFUSED,))
    for line in (
        "export XLA_FLAGS=--xla_nothing=1",
        "export JAX_PLATFORMS=nothing",
        "ulimit -v 2097152",
        "mkdir gone; cd gone; rmdir ../gone",
    ):
        yield Attack(f"machine/{line}", JOBS["render"], shell=line, codes=(REFUSED,))
    for stream in ("0<&-", "1>&-", "2>&-"):
        line = f"exec {stream}"
        yield Attack(f"machine/{stream}", JOBS["render"], shell=line, codes=(0,))
    long = {"train": f"{JOBS['train']}00", "view": "view run"}
    short = {job: words for job, words in JOBS.items() if not job.startswith("convert")}
    for job, words in (short | long).items():
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Before Python listens it ends by the signal; a training that saved says 75.
            codes = (0, 128 + number, -number, os.EX_TEMPFAIL)
            yield Attack(
                f"signal/{job} {number.name}", words, alarm=number, codes=codes
            )


def make_world(folder: Path) -> None:
    """Write whole files of every kind that the commands read."""
    from skinned_arm import write_arm
    from small_files import write_small_files
    from small_run import small_scene, write_run
    from textured_room import Clips, make_room

    import gaussians
    from input_pipeline.datasets.dataset import write_dataset

    write_run(folder / "run", small_scene())
    write_small_files(folder, columns=80, frames=8)
    rooms = Clips([make_room(views=3, height=64, width=64)])
    write_dataset(folder / "data", rooms, name="room")
    (folder / "assets").mkdir()
    write_arm(folder / "assets/arm.glb")
    gaussians.save_ply(folder / "scene.ply", small_scene().gaussians)


class Kind(NamedTuple):
    """A kind of files, the path of a whole one, and what reads it."""

    name: str
    path: Path
    read: Callable[[Path], Any]
    is_checked: bool = False  # by a checksum over all of its bytes


def kinds(world: Path) -> Iterator[Kind]:
    """Yield whole files of every kind."""
    import cv2
    from small_run import read_run, small_scene
    from spz_versions import as_version_2, as_version_4

    import gaussians as g
    from full4d_jax.media.video_io import read_video
    from full4d_jax.models.tensor_files import read_tensors
    from full4d_jax.models.weights import load_params
    from full4d_jax.source.depth_stage import depth_from_file
    from input_pipeline import transforms
    from input_pipeline.datasets.dataset import damaged_files, open_dataset
    from input_pipeline.datasets.records import from_bytes, to_bytes
    from input_pipeline.importers.detect import read_captures
    from input_pipeline.media_files import read_picture
    from input_pipeline.plain_files import load_arrays
    from input_pipeline.procedural.gltf_mesh import load_skinned_mesh
    from input_pipeline.schema import validate

    scene = small_scene()
    assert isinstance(scene, g.DynamicGaussians)
    for save, load, name, is_checked in (
        (g.save_ply, g.load_any_ply, "a.ply", False),
        (g.save_packed_ply, g.load_any_ply, "packed.ply", False),
        (g.save_splat, g.load_splat, "a.splat", False),
        (g.save_sog, g.load_sog, "a.sog", True),
        (g.save_spz, g.load_spz, "a.spz", True),
    ):
        save(world / name, scene.gaussians)
        yield Kind(name, world / name, load, is_checked)
    g.save_dynamic_ply(world / "a.4d.ply", scene)
    yield Kind("a.4d.ply", world / "a.4d.ply", g.load_any_ply)
    (world / "2.spz").write_bytes(as_version_2(world / "a.spz"))
    (world / "4.spz").write_bytes(as_version_4(world / "a.spz"))
    yield Kind("2.spz", world / "2.spz", g.load_spz, is_checked=True)
    yield Kind("4.spz", world / "4.spz", g.load_spz)
    weights = world / "prior.safetensors"
    yield Kind("weights", weights, load_params, is_checked=True)
    shutil.copy(TESTS / "full4d_jax/models/goldens/tensors.pth", world)
    yield Kind("pth", world / "tensors.pth", read_tensors)
    yield Kind("npz", world / "run/grid.npz", load_arrays, is_checked=True)
    yield Kind("npy", world / "depth.npy", lambda x: depth_from_file(x, 2, 32, 32))
    yield Kind("gltf", world / "assets/arm.glb", load_skinned_mesh)
    film = partial(read_video, height=24, width=32, frames=6)
    yield Kind("film", world / "in.mp4", lambda path: film(path).frames)
    for name in ("config.json", "source.npz", "depth.npz", "grid.npz", "scene.npz"):
        yield Kind(f"run {name}", world / "run" / name, lambda x: read_run(x.parent))

    data = world / "data"
    (shard,) = data.glob("*.array_record-*")
    clip = open_dataset(data)[0]

    def record(path: Path) -> None:
        transforms.decode(validate(from_bytes(path.read_bytes())), height=16, width=24)

    def dataset(path: Path) -> Any:
        if told := damaged_files(data):
            raise ValueError(f"data: found {told}, expected whole files")
        return to_bytes(open_dataset(data)[0])

    (world / "record").write_bytes(to_bytes(clip))
    (world / "a.jpg").write_bytes(clip.frames[0, 0])
    (world / "depth16").write_bytes(clip.depth16[0, 0])
    cv2.imwrite(str(world / "a.png"), transforms.decode_jpeg(clip.frames[0, 0]))
    yield Kind("index", data / "index.json", dataset)
    yield Kind("shard", shard, dataset, is_checked=True)
    yield Kind("record", world / "record", record)
    yield Kind(
        "jpeg", world / "a.jpg", lambda x: transforms.decode_jpeg(x.read_bytes())
    )
    yield Kind("png", world / "a.png", read_picture, is_checked=True)
    depth = world / "depth16"
    yield Kind(
        "depth16", depth, lambda x: transforms.decode_depth(x.read_bytes()), True
    )
    cameras = world / "capture/cameras.json"
    yield Kind(
        "cameras", cameras, lambda x: read_captures(x.parent, "cameras_json", 10.0)
    )
    yield from checkpoints(world / "checkpoints")


def checkpoints(folder: Path) -> Iterator[Kind]:
    """Yield the files of a training's checkpoint."""
    sys.path.insert(0, str(TESTS / "full4d_jax/training"))
    from tiny_run import first

    from full4d_jax.config import Config
    from full4d_jax.training.checkpoints.manager import Checkpoints
    from full4d_jax.training.checkpoints.resume import run_record
    from full4d_jax.training.run_state import start_at, start_or_resume

    start = start_at(first())
    record = run_record(Config(), None)

    def resume(path: Path) -> Any:
        copy = folder.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        told = io.StringIO()
        with contextlib.redirect_stderr(told), Checkpoints(copy, keep=2) as saved:
            state = start_or_resume(saved, start, record, folder).state
        # Reads that Orbax gave up may print tracebacks of their own, whenever they are collected.
        lines = told.getvalue().splitlines()
        damage = " ".join(line for line in lines if line.startswith("WARNING"))
        if damage:
            raise ValueError(f"checkpoint: found {damage}, expected a whole one")
        return state

    with Checkpoints(folder, keep=2) as saved:
        start_or_resume(saved, start, record, folder).save(saved, {})
    files = [path for path in folder.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    yield Kind("checkpoint", largest, resume, is_checked=True)
    (metadata,) = folder.rglob("_CHECKPOINT_METADATA")
    yield Kind("checkpoint metadata", metadata, resume)


WRONG: list[Any] = [
    *(None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x"),
    *("9" * 5000, "../../etc/passwd", "<b>&\x1b[31m\u202e", "\ud800"),
    *([], {}, [[[1.0]]], [0] * 5000),
]
LENGTHS = [0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**62, 2**64 - 1]


def change_bytes(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes as a bad disk, a broken download or a stranger leaves them."""
    data = bytearray(whole)
    edge = min(len(data), 512)
    last = len(data) - 1
    near = int(rng.integers(edge))
    anywhere = int(rng.integers(last + 1))
    place = int(rng.choice([near, last - near, anywhere]))
    end = min(len(data), place + int(rng.integers(1, 400)))
    match rng.integers(7):
        case 0:
            data[place] ^= 1 << int(rng.integers(8))
        case 1 | 2:
            size = end - place
            data[place:end] = rng.bytes(size) if rng.integers(2) else bytes(size)
        case 3:
            del data[place:]
        case 4:
            del data[place:end]
        case 5:
            data[place:place] = data[place:end]
        case _:  # an integer that is a length, perhaps
            size = int(rng.choice([1, 2, 4, 8]))
            length = LENGTHS[rng.integers(len(LENGTHS))] % 2 ** (8 * size)
            data[place : place + size] = length.to_bytes(size, "little")
    return bytes(data)


def change_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Return JSON in which a field is gone, renamed, of another type or absurd."""
    value = json.loads(data)
    places: list[tuple[Any, Any]] = []
    inside = [value]
    while inside:
        found = inside.pop()
        if isinstance(found, dict | list):
            keys = list(found if isinstance(found, dict) else range(len(found)))
            places += [(found, key) for key in keys]
            inside += [found[key] for key in keys]
    if not places:
        return b"[]"
    parent, key = places[rng.integers(len(places))]
    match rng.integers(5):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        case 2:
            parent[key] = [parent[key]]
        case 3 if isinstance(parent[key], float):
            parent[key] *= float(rng.choice([-1, 0, 1e-6, 1e6, 1e30]))
        case _:
            parent[key] = WRONG[rng.integers(len(WRONG))]
    return json.dumps(value).encode()


def change_npz(data: bytes, rng: np.random.Generator) -> bytes:
    """Return arrays of which one is gone, or has another name, shape, type or values."""
    named: dict[str, Any] = dict(np.load(io.BytesIO(data)))
    name = sorted(named)[rng.integers(len(named))]
    array = named.pop(name)
    others = [array[None], array.reshape(-1)[:0], np.repeat(array[None], 70, 0)]
    others += [np.array("<b>\x1b[31m"), np.zeros(array.shape, "M8[s]")]
    others += [np.full(array.shape, x, np.float32) for x in (99, np.nan, -1e30)]
    if rng.integers(6):  # else it is gone
        named[name if rng.integers(6) else f"{name}_"] = others[
            rng.integers(len(others))
        ]
    file = io.BytesIO()
    np.savez(file, **named)
    return file.getvalue()


def change_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Return weights with a header that is wrong."""
    (size,) = struct.unpack_from("<Q", data)
    text = change_json(data[8 : 8 + size], rng)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


CONTENTS = {".json": change_json, ".npz": change_npz, ".safetensors": change_header}


def read_damaged(kind: Kind, rounds: int, seed: int) -> Iterator[str]:
    """Read damaged files of a kind; yield a line for each that was answered wrongly."""
    from full4d_jax.session.machine import disk_error

    whole = kind.path.read_bytes()
    expected = mark(kind.read(kind.path))
    for round_ in range(rounds):
        rng = np.random.default_rng([seed, round_, *kind.name.encode()])
        change = CONTENTS.get(kind.path.suffix * (round_ % 2), change_bytes)
        data = change(whole, rng)
        is_cut = len(data) < len(whole) and whole.startswith(data)
        must_match = change is change_bytes and (kind.is_checked or is_cut)
        kind.path.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS_TO_READ)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                found = kind.read(kind.path)
            if must_match and not warned and mark(found) != expected:
                yield f"round {round_}: another result, without a word"
        except Exception as error:
            in_words = isinstance(error, ValueError) and IN_WORDS.match(str(error))
            if not in_words and disk_error(error) is None:
                last = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(last.filename).name}:{last.lineno}"
                yield f"round {round_}: {type(error).__name__} at {place}: {error!s:.100}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            kind.path.write_bytes(whole)


def mark(result: Any) -> str:
    """Return a hash of the arrays and bytes that were read."""
    import jax

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(result):
        if isinstance(leaf, bytes):
            digest.update(leaf)
        elif isinstance(leaf, np.ndarray | np.generic | jax.Array):
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def main() -> int:
    """Return 1 where anything is answered otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; else all run")
    parser.add_argument("--seed", type=int, default=0, help="decides what is damaged")
    parser.add_argument("--rounds", type=int, default=30, help="damaged files a kind")
    options = parser.parse_args()
    # Programs are compiled once for all attacks.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    os.environ["PYTHONPATH"] = str(TESTS.parent)

    def too_long(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS_TO_READ} s of the processor")

    def is_asked(name: str) -> bool:
        return not options.names or any(part in name for part in options.names)

    bad = 0
    with tempfile.TemporaryDirectory(prefix="attacks-") as scratch:
        world = Path(scratch) / "world"
        world.mkdir()
        make_world(world)
        for attack in chain(links(), places(), arrays(), numbers(), machines()):
            if is_asked(attack.name):
                folder = Path(scratch) / "one"
                folder.mkdir()
                wrong = wrong_answer(attack, world, folder)
                shutil.rmtree(folder)
                bad += bool(wrong)
                print(f"{attack.name}{wrong and ': BAD: '}{wrong}", flush=True)
        known = [kind for kind in kinds(world) if is_asked(f"damage/{kind.name}")]
        # A GiB more than this process has now.
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MOST_MEMORY_OF_A_FILE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        signal.signal(signal.SIGPROF, too_long)
        for kind in known:
            wrong = "; ".join(read_damaged(kind, options.rounds, options.seed))
            bad += bool(wrong)
            print(f"damage/{kind.name}{wrong and ': BAD: '}{wrong}", flush=True)
    print(f"{bad} answered otherwise than they should")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
