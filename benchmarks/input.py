"""Times the way from records on disk to batches in memory; one JSON line comes last.

    python benchmarks/input.py [--sizes 256x256 384x672 --seconds 4 --turns 3 --threads 0]
    python benchmarks/input.py --film

Records of 4 views and 8 instants with JPEG files of smooth noise (`bytes_per_pixel` says how
large) are written to a temporary folder and read in random order; with --film records of 4 views
and 24 instants as films, of which windows of 8 instants are read that start anywhere.
`frames_per_second`, of those wanted: read, parse, decode, check sizes, stack, by
`input_pipeline.make_loader` with `--threads` threads (0: as many as cores). Against it, on the same
cores: `raw`, the same bytes, already in memory, decoded to sRGB in as many threads and thrown away,
JPEG files by OpenCV, films by PyAV (whose frames before the window are decoded, no more);
`torch`, a PyTorch DataLoader with as many worker processes, which reads and decodes the same
records by the same functions (null without torch, the extra `parity`).
All take turns, by CPU time of all threads and processes (which other work on the machine disturbs
least), as if that many cores were busy all the time. Rates are the best of the turns, ratios the
median. The three numbers asked for stand first, the worst over the sizes; `sizes` has all.
`peak_memory_mib` is the process's own after its turns, `batch_mib` what one batch takes.
"""

import argparse
import importlib.util
import itertools
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import psutil

from input_pipeline import Example, make_loader, pinhole
from input_pipeline.datasets.dataset import Records, open_dataset, write_dataset
from input_pipeline.h264 import is_stream
from input_pipeline.loader import Filling
from input_pipeline.schema import make_example
from input_pipeline.selection import choose_times, select
from input_pipeline.transforms import decode_into, encode_view

VIEWS = 4
INSTANTS = 8
BATCH = 4
FILM_INSTANTS = 24
CLIPS = 48
FILMS = 12


class Frames(NamedTuple):
    """The frames of one record or a batch of them, and their cameras."""

    frames: np.ndarray
    intrinsics: np.ndarray
    world_to_camera: np.ndarray


class Decoded:
    """Decoded clips by index, for other loaders; each process opens the files itself."""

    def __init__(self, folder: str, height: int, width: int):
        self.folder = folder
        self.height = height
        self.width = width
        self.records: Records | None = None

    def __len__(self) -> int:
        """Number of clips."""
        return len(open_dataset(self.folder))

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return the clip."""
        self.records = self.records or open_dataset(self.folder)
        return load(
            window(self.records[index], np.random.default_rng()),
            self.height,
            self.width,
        )


@dataclass(frozen=True)
class NoiseClips:
    """Clips of smooth noise, some of it fine: about as many bytes a pixel as real footage."""

    count: int
    views: int
    frames: int
    height: int
    width: int
    film: bool = False
    """One noise that wanders, below a little fresh grain, as H.264; else JPEG files."""

    @property
    def scene_ids(self) -> list[str]:
        """Names, one for each clip."""
        return [f"noise-{i}" for i in range(self.count)]

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.count

    def __getitem__(self, index: int) -> Example:
        """Return the clip."""
        generator = np.random.default_rng(index)
        v = self.views
        t = self.frames
        pictures = self._film if self.film else self._pictures
        files = np.stack(
            [encode_view(pictures(generator), self.film) for _ in range(v)]
        )
        return make_example(
            files,
            np.stack([pinhole.intrinsics_from_fov(60.0, self.height, self.width)] * v),
            np.tile(np.eye(4), (v, t, 1, 1)),
            np.arange(t) / 24,
            scene_id=f"noise-{range(self.count)[index]}",
            fps=24.0,
            source="noise",
            license="Apache-2.0",
        )

    def _pictures(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        return (_noise(generator, self.height, self.width) for _ in range(self.frames))

    def _film(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        far = 3 * self.frames
        whole = _noise(generator, self.height + far, self.width + far)
        for j in range(self.frames):
            part = whole[2 * j : 2 * j + self.height, 3 * j : 3 * j + self.width]
            grain = generator.normal(0, 0.7, part.shape)
            yield np.clip(part + grain, 0, 255).astype(np.uint8)


def main() -> None:
    """Measure, print progress, then the JSON line."""
    parser = size_options("Times reading and decoding of records.")
    parser.add_argument(
        "--film", action="store_true", help="films instead of JPEG files"
    )
    options = parser.parse_args()
    threads, sizes = at_each_size(options, partial(measure, film=options.film))
    over = [x["over_torch_dataloader"] for x in sizes.values()]
    worst = {
        "frames_per_second": min(x["frames_per_second"] for x in sizes.values()),
        "fraction_of_raw_decode": min(
            x["fraction_of_raw_decode"] for x in sizes.values()
        ),
        "over_torch_dataloader": None if None in over else min(over),
    }
    print(json.dumps({**worst, "threads": threads, "sizes": sizes}))


def measure(
    height: int,
    width: int,
    threads: int,
    seconds: float,
    turns: int,
    film: bool = False,
) -> dict[str, Any]:
    """Measure all readers at one size."""
    instants, count = (FILM_INSTANTS, FILMS) if film else (INSTANTS, CLIPS)
    clips = NoiseClips(count, VIEWS, instants, height, width, film)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(folder, clips, name="noise", shards=4)
        records = open_dataset(folder)
        parts = [part for example in records for part in windows(example)]
        size = sum(len(file) for example in records for file in example.frames.flat)
        readers: dict[str, Callable[[], Iterator[int]]] = {
            "ours": partial(ours, records, height, width, threads),
            "raw": partial(raw, parts, threads),
        }
        if importlib.util.find_spec("torch"):
            readers["torch"] = partial(dataloader, folder, height, width, threads)
        rates = {name: np.zeros(turns) for name in readers}
        peak = 0.0
        for turn in range(turns):
            for name, reader in readers.items():
                rates[name][turn] = rate(reader(), seconds, threads)
                if name == "ours" and not peak:
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    best = {name: float(each.max()) for name, each in rates.items()}
    over = {
        name: float(np.median(rates["ours"] / each)) for name, each in rates.items()
    }
    torch = best.get("torch")
    return {
        "frames_per_second": round(best["ours"], 1),
        "fraction_of_raw_decode": round(over["raw"], 3),
        "over_torch_dataloader": torch and round(over["torch"], 3),
        "raw_frames_per_second": round(best["raw"], 1),
        "torch_frames_per_second": torch and round(torch, 1),
        "bytes_per_pixel": round(
            size / len(clips) / VIEWS / clips.frames / height / width, 3
        ),
        "batch_mib": round(BATCH * VIEWS * INSTANTS * height * width * 3 / 2**20, 1),
        "peak_memory_mib": round(peak),
    }


def rate(frames: Iterator[int], seconds: float, threads: int) -> float:
    """Frames a second on so many undisturbed cores, after a batch that starts everything."""
    # Of the turn before, not gone yet.
    leftover = psutil.Process().children(recursive=True)
    next(frames)
    start = time.perf_counter()
    before = cpu_seconds(leftover)
    count = 0
    for batch in frames:
        count += batch
        if time.perf_counter() - start > seconds:
            break
    return count / (cpu_seconds(leftover) - before) * threads


def cpu_seconds(leftover: list[psutil.Process]) -> float:
    """Return the CPU seconds of this process and its living children, but for some."""
    mine = [x for x in psutil.Process().children(recursive=True) if x not in leftover]
    return time.process_time() + sum(sum(process.cpu_times()[:2]) for process in mine)


def ours(records: Records, height: int, width: int, threads: int) -> Iterator[int]:
    """Frames of each batch of the loader."""
    loader = make_loader(
        records,
        seed=0,
        batch_size=BATCH,
        transform=window,
        filling=into_batch(height, width),
        threads=threads,
    )
    for batch in loader:
        yield int(np.prod(batch.frames.shape[:3]))


def window(example: Example, generator: np.random.Generator) -> Example:
    """Select all views and some instants in a row, as training does."""
    times = choose_times(generator, example.frames.shape[1], INSTANTS)
    return select(example, np.arange(VIEWS), times)


def windows(example: Example) -> Iterator[np.ndarray]:
    """Yield the files of every window: on average as many pictures before them as `window` has."""
    for start in range(example.frames.shape[1] - INSTANTS + 1):
        yield select(
            example, np.arange(VIEWS), np.arange(start, start + INSTANTS)
        ).frames


def raw(parts: list[np.ndarray], threads: int) -> Iterator[int]:
    """Decode the files (v t) and throw the pictures away."""

    def one(part: np.ndarray) -> int:
        for files in part:
            (raw_film if is_stream(files[0]) else raw_jpeg)(files)
        return part.size

    with ThreadPoolExecutor(threads) as pool:
        waiting = [
            pool.submit(one, part) for part in itertools.islice(parts, 2 * threads)
        ]
        for part in itertools.cycle(parts):
            yield waiting.pop(0).result()
            waiting.append(pool.submit(one, part))


def raw_jpeg(files: np.ndarray) -> None:
    """Decode JPEG files by OpenCV."""
    for file in files:
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)


def raw_film(pieces: np.ndarray) -> None:
    """Decode a film by PyAV; frames in the window get colours by the quickest converter."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = decoder.parse(b"".join(pieces)) + decoder.parse(b"")
    for number, packet in enumerate(packets, len(pieces) - len(packets)):
        for frame in decoder.decode(packet):
            if number >= 0:
                cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420)


def dataloader(folder: str, height: int, width: int, workers: int) -> Iterator[int]:
    """Made by processes of PyTorch."""
    import torch

    loader = torch.utils.data.DataLoader(
        Decoded(folder, height, width),  # type: ignore[arg-type]
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    while True:
        for batch in loader:
            yield int(np.prod(batch["frames"].shape[:3]))


def into_batch(height: int, width: int) -> Filling:
    """Decodes frames where they stand in their batch, as training does."""

    def allocate(example: Example, n: int) -> Frames:
        views, instants = example.frames.shape
        return Frames(
            np.empty((n, views, instants, height, width, 3), np.uint8),
            np.empty((n, views, 3, 3), np.float32),
            np.empty((n, views, instants, 4, 4), np.float32),
        )

    def fill(example: Example, batch: Frames, row: int) -> None:
        batch.intrinsics[row] = decode_into(example, batch.frames[row])
        batch.world_to_camera[row] = example.world_to_camera

    return Filling(allocate, fill)


def load(example: Example, height: int, width: int) -> dict[str, np.ndarray]:
    """Load one record, for loaders that stack (their processes do not know `Frames`)."""
    filling = into_batch(height, width)
    batch = filling.allocate(example, 1)
    filling.fill(example, batch, 0)
    return {name: field[0] for name, field in batch._asdict().items()}


def size_options(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that `at_each_size` takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--sizes", nargs="+", default=["256x256", "384x672"], help="HxW"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    return parser


def rows_and_columns(size: str) -> tuple[int, int]:
    """Return rows and columns of an option like 384x672."""
    height, _, width = size.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise SystemExit(f"--sizes: found {size}, expected HxW such as 256x256")
    return int(height), int(width)


def at_each_size(
    options: argparse.Namespace, measure: Callable[..., dict[str, Any]]
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return threads, and `measure(height, width, threads, seconds, turns)` by size."""
    for name in ("seconds", "turns"):
        if getattr(options, name) <= 0:
            raise SystemExit(
                f"--{name}: found {getattr(options, name)}, expected above 0"
            )
    threads = options.threads or len(os.sched_getaffinity(0))
    sizes = {}
    for size in options.sizes:
        sizes[size] = measure(
            *rows_and_columns(size), threads, options.seconds, options.turns
        )
        print(f"{size}: {sizes[size]}", flush=True)
    return threads, sizes


def _noise(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    total = np.full((height, width, 3), 128, np.float32)
    for cells, strength in ((4, 90), (16, 50), (64, 30), (128, 12)):
        rows = max(2, cells * height // width)
        coarse = generator.normal(size=(rows, cells, 3)).astype(np.float32)
        total += strength * cv2.resize(coarse, (width, height))
    return np.clip(total, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
