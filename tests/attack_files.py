"""Attacks by files: links, devices, full disks, strange arrays, contents and pictures."""

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attack_world import ASSETS, ENCODE, IMPORT, LIFT, RENDER, RUN, TRAIN, WORLDS
from attacks import Attack, most_file_bytes

PLY = ("x.ply", "x.4d.ply", "x.ftgs.ply", "x.compressed.ply")
TARGETS = (*PLY, "x.4dgs", "x.splat", "x.spz", "x.sog", "x.glb", "x.html")  # of `convert splats`


def file_attacks() -> Iterator[Attack]:
    """Yield all of them."""
    yield from links()
    yield from places()
    yield from full_disks()
    yield from arrays()
    yield from contents()
    yield from pictures()


def linked(
    folder: str, files: tuple[str, ...] = (), folders: tuple[str, ...] = ()
) -> Callable[[Path, Path], None]:
    """Return a change that puts links to somebody else's files and folders into a folder.

    Each leads to a file, or a folder with a file, of its own.
    """

    def change(here: Path, home: Path) -> None:
        for name in (*files, *folders):
            target = home / name.replace("/", "_")
            if name in folders:
                target.mkdir()
                (target / "0000.ply").write_text("of the user")
            else:
                target.write_text("of the user")
            place = here / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(target)

    return change


def links() -> Iterator[Attack]:
    """Output folders in which names of output are links to files and folders of the user."""
    lock = (".lock",)
    for name, words, folder in (
        ("render", RENDER, "run"),
        ("lift", LIFT, "run"),
        ("run", RUN, "out"),
        ("train", TRAIN, "training"),
        ("procedural", WORLDS, "worlds"),
        ("import", IMPORT, ".imported.partial"),
    ):
        yield Attack(f"link/{name} lock", words, linked(folder, lock), codes=(2,))
    pictures = ("orbit.mp4", "bullet.mp4", "scene.html", "scene.png", "report.json", "scene.json")
    yield Attack("link/render", RENDER, linked("run", pictures), codes=(0,))
    films = ("grid.mp4", "grid.png", "config.json", ".scene.fit.npz", "scene.fit.npz", "fit.npz")
    made = ("source.npz", "depth.npz", "grid.npz", "scene.npz", *films, *pictures)
    yield Attack("link/run", RUN, linked("out", made), codes=(0,))
    yield Attack("link/lift", LIFT, linked("run", ("partial.npz", *pictures, *films[3:])))
    metrics = ("metrics.jsonl", "bad_batches.jsonl")
    for name in metrics:
        yield Attack(f"link/train {name}", TRAIN, linked("training", (name,)))
    yield Attack("link/train", TRAIN, linked("training", ("prior.json", "prior.safetensors")))
    steps = ("checkpoints/0", "checkpoints/2")
    steps += ("checkpoints/1.orbax-checkpoint-tmp", "checkpoints/2.orbax-checkpoint-tmp")
    for name in ("checkpoints", "tensorboard", "sheets", *steps):
        yield Attack(f"link/train {name}", TRAIN, linked("training", folders=(name,)))
    written = ("index.json", "README.md", "features.json", "dataset_info.json")
    yield Attack("link/procedural", WORLDS, linked("worlds", written))
    yield Attack("link/procedural folder", WORLDS, linked("worlds", folders=("shards",)))
    yield Attack("link/encode", ENCODE, linked("encoded", written))
    yield Attack("link/encode folder", ENCODE, linked("encoded", folders=("shards",)))
    yield Attack("link/gltf", ASSETS, linked("rendered", written))
    deeper = ["data", "depth", "data", "--out", "deeper"]
    yield Attack("link/data depth", deeper, linked("deeper", written))
    depth = ["depth", "in.mp4", "--rows", "32", "--out", "x.npy"]
    yield Attack("link/depth", depth, linked("", ("x.npy", "x.png")), codes=(0,))
    for target in TARGETS:
        words = ["convert", "splats", "run", target]
        yield Attack(f"link/convert {target}", words, linked("", (target,)), codes=(0, 2))
    instants = ["convert", "splats", "run", "instants", "--instants", "2"]
    yield Attack("link/convert instants", instants, linked("instants", ("0000.ply", "0001.ply")))
    yield Attack("link/import", IMPORT, linked("", folders=(".imported.partial",)))
    scores = ("scores.jsonl", "consistency.json", "consistency.md", "evaluation.md")
    yield Attack("link/evaluate", ["evaluate", "run"], linked("run", scores), codes=(0,))
    scenes = ["evaluate", "--config", "small.py", "--scenes", "1", "--out", "scored"]
    scenes += ["--checkpoint", "prior.safetensors"]
    for files, folders in ((("scores.jsonl",), ()), ((), (".shown",)), (scores[1:], ())):
        name = (*files, *folders)[0]
        yield Attack(f"link/evaluate {name}", scenes, linked("scored", files, folders))
    check = ["data", "check", "data", "--out", "checked"]
    yield Attack("link/check", check, linked("checked", ("check.json", "clip-00000.png")))


def led(name: str, target: str) -> Callable[[Path, Path], None]:
    """Return a change that puts a link to a file of the system in a place."""

    def change(here: Path, home: Path) -> None:
        (here / name).unlink(missing_ok=True)
        (here / name).symlink_to(target)

    return change


def places() -> Iterator[Attack]:
    """Names of files that are devices, of the kernel, or look like addresses."""

    for name in ("/proc/self/maps", "/dev/zero", "/dev/stdin", "/proc/self/mem"):
        yield Attack(f"place/run {name}", ["run", name, "--out", "out"])
        depth = [name if word == "depth.npy" else word for word in RUN]
        yield Attack(f"place/depth {name}", depth)
        yield Attack(f"place/poses {name}", [*RUN, "--poses", name])
        yield Attack(f"place/checkpoint {name}", ["sample", "in.mp4", "--checkpoint", name])
        yield Attack(f"place/config {name}", ["run", "in.mp4", "--config", name])
        yield Attack(f"place/grid {name}", LIFT, led("run/grid.npz", name), codes=(2,))
        yield Attack(f"place/config.json {name}", LIFT, led("run/config.json", name), codes=(2,))
        yield Attack(f"place/scene {name}", RENDER, led("run/scene.npz", name), codes=(2,))
        splats = ["convert", "splats", "x.ply", "y.splat"]
        yield Attack(f"place/splats {name}", splats, led("x.ply", name), codes=(2,))
        index = ["data", "check", "data"]
        yield Attack(f"place/index {name}", index, led("data/index.json", name), codes=(2,))
        yield Attack(f"place/film {name}", IMPORT, led("capture/a.mp4", name), codes=(2,))
        yield Attack(f"place/asset {name}", ASSETS, led("assets/arm.glb", name), codes=(2,))
    for start in ("ffconcat version 1.0\nfile in.mp4\n", "#EXTM3U\n#EXTINF:1,\nin.mp4\n"):
        listed = ["run", "list.mp4", "--out", "out"]
        yield Attack(f"place/playlist {start[:8]}", listed, written("list.mp4", start), codes=(2,))


def written(name: str, text: str) -> Callable[[Path, Path], None]:
    """Return a change that writes a text file."""

    def change(here: Path, home: Path) -> None:
        (here / name).write_text(text)

    return change


def full_disks() -> Iterator[Attack]:
    """Files that may not grow, as on a full disk."""
    for target in (*TARGETS, "instants"):
        words = ["convert", "splats", "run", target]
        yield Attack(f"disk/convert {target}", words, limit=most_file_bytes(100), codes=(2,))
    jobs = {"render": RENDER, "lift": LIFT, "run": RUN, "train": TRAIN, "import": IMPORT}
    jobs |= {"procedural": WORLDS, "gltf": ASSETS, "check": ["data", "check", "data"]}
    jobs |= {"depth": ["depth", "in.mp4", "--rows", "32"], "evaluate": ["evaluate", "run"]}
    jobs |= {"data depth": ["data", "depth", "data", "--out", "x"]}
    for name, words in jobs.items():
        yield Attack(f"disk/{name}", words, limit=most_file_bytes(300), codes=(2,))


def changed_array(
    file: str, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> Callable[[Path, Path], None]:
    """Return a change of one array in the folder of a run."""

    def apply(here: Path, home: Path) -> None:
        with np.load(here / file) as stored:
            content = {key: stored[key] for key in stored.files}
        content[name] = change(content[name])
        named: dict[str, Any] = content
        np.savez(here / file, **named)

    return apply


def arrays() -> Iterator[Attack]:
    """Arrays of other types, and numbers beyond all bounds."""
    kinds = {
        "big endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
        "long double": lambda x: x.astype(np.longdouble),
        "half": lambda x: x.astype(np.float16),
        "1e30": lambda x: np.full_like(x, 1e30),
        "1e-40": lambda x: np.full_like(x, 1e-40),
        "fortran": np.asfortranarray,
    }
    for kind, change in kinds.items():
        for name in ("means", "log_scales", "velocities", "harmonics"):
            words = ["convert", "splats", "run", "x.html"]
            file = changed_array("run/scene.npz", name, change)
            yield Attack(f"array/scene {name} {kind}", words, file)
        for name in ("times", "intrinsics", "world_to_camera", "depth"):
            file = changed_array("run/grid.npz", name, change)
            yield Attack(f"array/lift {name} {kind}", LIFT, file)
        for name in ("times", "world_to_camera"):
            file = changed_array("run/grid.npz", name, change)
            yield Attack(f"array/render {name} {kind}", RENDER, file)
        yield Attack(
            f"array/evaluate times {kind}",
            ["evaluate", "run"],
            changed_array("run/grid.npz", "times", change),
        )
    spread = changed_array("run/grid.npz", "times", lambda x: np.linspace(0, 1e30, len(x)))
    for verb in (LIFT, RENDER, ["evaluate", "run"], ["convert", "splats", "run", "x.html"]):
        yield Attack(f"array/{verb[0]} times to 1e30", verb, spread)
    for value in (1e-300, 1e300, 0.0, -1.0):
        unit = changed_array("run/depth.npz", "path_unit", lambda x, value=value: np.asarray(value))
        yield Attack(f"array/lift unit {value}", LIFT, unit)
        yield Attack(f"array/evaluate unit {value}", ["evaluate", "run"], unit)

    def deep(here: Path, home: Path, value: float = 1e-38, kind: Any = np.float32) -> None:
        np.save(here / "depth.npy", np.full((2, 32, 32), value, kind))

    for value in (1e-38, 1e-300, 1e30, 1e300, np.inf, -1.0):
        for dtype in (np.float32, np.float64, np.longdouble, ">f4"):
            with np.errstate(over="ignore"):
                file = partial(deep, value=value, kind=dtype)
            yield Attack(f"array/depth {value} {np.dtype(dtype).str}", RUN, file)

    def posed(here: Path, home: Path, scale: float = 1e30) -> None:
        poses = np.tile(np.eye(4), (2, 1, 1))
        poses[1, 0, 3] = scale
        table = {
            "world_to_camera": poses.tolist(),
            "intrinsics": [[40, 0, 30], [0, 40, 20], [0, 0, 1]],
            "image_size": [60, 40],
            "times": [0, 1 / 12],
        }
        (here / "poses.json").write_text(json.dumps(table))

    for scale in (1e-30, 1e30, 1e300):
        yield Attack(
            f"array/poses {scale}", [*RUN, "--poses", "poses.json"], partial(posed, scale=scale)
        )


def contents() -> Iterator[Attack]:
    """Files that open and say something that cannot be."""

    def weights(here: Path, home: Path, shape: Any, dtype: str = "F32", end: int = 0) -> None:
        header = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}
        text = json.dumps(header).encode()
        (here / "x.safetensors").write_bytes(
            struct.pack("<Q", len(text)) + text + bytes(max(end, 0))
        )

    train = [*TRAIN, "--model.codec", "wan21", "--model.codec_stride", "8"]
    train += ["--model.patch", "2", "--codec_weights", "x.safetensors"]
    for shape in ([0, 2**62], [2**62, 0, 4], [2**40, 2**40], [-1, 4], ["4"], [1.5], None, 4):
        file = partial(weights, shape=shape)
        yield Attack(f"content/codec {shape}", train, file)
        yield Attack(
            f"content/prior {shape}", ["sample", "in.mp4", "--checkpoint", "x.safetensors"], file
        )
        yield Attack(
            f"content/network {shape}",
            ["depth", "in.mp4", "--depth_network", "x.safetensors"],
            file,
        )

    def animation(here: Path, home: Path, name: Any = 5, key: str = "animations") -> None:
        path = here / "assets/arm.glb"
        data = path.read_bytes()
        size = struct.unpack_from("<I", data, 12)[0]
        document = json.loads(data[20 : 20 + size])
        document[key][0]["name"] = name
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        rest = data[20 + size :]
        head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
        path.write_bytes(head + text + rest)

    for name in (5, None, [], {}, "x" * 5000, "\ud800", "a/../b"):
        yield Attack(f"content/animation {str(name)[:8]!r}", ASSETS, partial(animation, name=name))

    def index(here: Path, home: Path, change: Callable[[dict], object]) -> None:
        path = here / "data/index.json"
        table = json.loads(path.read_text())
        change(table)
        path.write_text(json.dumps(table))

    def without(name: str) -> Callable[[dict], object]:
        return lambda table: [file.pop(name) for file in table["files"].values()]

    readers = {
        "check": ["data", "check", "data"],
        "lift": ["lift", "data", "--lift.steps", "2"],
        "run": ["run", "data", "--config", "small.py", "--checkpoint", "prior.safetensors"],
        "train": [*TRAIN, "--data.records", "data"],
        "depth": ["data", "depth", "data", "--out", "x"],
        "encode": ENCODE,
        "evaluate": ["evaluate", "data", "--config", "small.py", "--split", "train"],
    }
    for verb, words in readers.items():
        for name in ("sha256", "bytes"):
            file = partial(
                index,
                change=lambda table, name=name: [x.pop(name, 0) for x in table["files"].values()],
            )
            yield Attack(f"content/index {verb} without {name}", words, file)
        for value in (None, 5, []):
            file = partial(
                index,
                change=lambda table, value=value: [
                    x.update(sha256=value) for x in table["files"].values()
                ],
            )
            yield Attack(f"content/index {verb} sha256 {value!r}", words, file)


def film(
    here: Path, width: int, height: int, pixels: tuple[int, int] = (4, 3), name: str = "in.mp4"
) -> None:
    """Write a film of another shape, or whose pixels have another one."""
    from fractions import Fraction

    import av
    from tagged_films import set_pixel_shape

    with av.open(str(here / name), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for i in range(12):
            picture = np.full((height, width, 3), 20 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    set_pixel_shape(here / name, *pixels)


def shaped(
    folder: str, name: str, width: int, height: int, pixels: tuple[int, int] = (4, 3)
) -> Callable[[Path, Path], None]:
    """Return a change that writes a film; arguments as of `film`."""
    return lambda here, home: film(here / folder, width, height, pixels, name)


def large_picture(here: Path, home: Path, name: str = "x.png") -> None:
    """Write a PNG of 13,000 x 13,000 pixels."""
    from PIL import Image

    (here / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (13000, 13000)).save(here / name, compress_level=1)


def large_capture(here: Path, home: Path) -> None:
    """Write a capture of two such pictures."""
    table = []
    for i, name in enumerate("ab"):
        (here / f"capture/{name}.mp4").unlink()
        large_picture(here, home, f"capture/{name}/0.png")
        pose = np.eye(4)
        pose[0, 3] = i
        lens = [[9000.0, 0, 6500], [0, 9000.0, 6500], [0, 0, 1]]
        table.append({"name": name, "intrinsics": lens, "world_to_camera": pose.tolist()})
    (here / "capture/cameras.json").write_text(json.dumps({"cameras": table}))


def pictures() -> Iterator[Attack]:
    """Films and pictures of shapes that no camera has."""
    depth = ["depth", "in.mp4", "--rows", "32", "--out", "x.npy"]
    for width, height in ((4000, 2), (2, 4000), (2, 2)):
        shape = f"{width}x{height}"
        yield Attack(f"picture/depth {shape}", depth, shaped("", "in.mp4", width, height))
        change = shaped("capture", "a.mp4", width, height)
        yield Attack(f"picture/import {shape}", IMPORT, change)
    for pixels in ((1000, 1), (1, 1000), (2**31 - 1, 1)):
        shape = f"pixels {pixels[0]}:{pixels[1]}"
        change = shaped("", "in.mp4", 64, 48, pixels)
        yield Attack(f"picture/depth {shape}", depth, change, codes=(2,))
        change = shaped("capture", "a.mp4", 64, 48, pixels)
        yield Attack(f"picture/import {shape}", IMPORT, change, codes=(2,))
    yield Attack("picture/depth 13000", ["depth", "x.png"], large_picture, codes=(2,))
    small = ["data", "import", "capture", "--out", "imported", "--fps", "8", "--size", "64"]
    yield Attack("picture/import 13000", small, large_capture, codes=(2,))
    textures = [*WORLDS, "--worlds", "rich", "--textures", "textures"]
    change = partial(large_picture, name="textures/a.png")
    yield Attack("picture/textures 13000", textures, change, codes=(2,))
