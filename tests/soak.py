"""Many different films through `full4d run --quality draft`, one after another in one process.

    python tests/soak.py --films 20 --seed 0 [--minutes 15] [--start 12] [--real FOLDER] [--rows 64]

Films differ in shape, rate, length, codec, rotation, pixel shape, what moves, noise, light and what
their file tells of itself; with --real the videos of a folder come first. Each line begins with its
film's number, and --start goes on from a number with the same films. A run passes if it ends
with exit code 0, or 2 and one line; if its scene opens; and if its `moving_psnr` is plausible. The
last lines say how often each warning came, and how much memory the process gained after its third
run. Compiled programs are dropped after each run, so that what it gains is a leak.
"""

import argparse
import contextlib
import gc
import io
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

PSNR = (8.0, 60.0)  # dB of moving pixels that a scene may have
SIDES = ((96, 64), (64, 96), (128, 72), (80, 80), (160, 64), (66, 98), (320, 180), (640, 96))
RATES = (Fraction(12), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(5))
CODECS = {"libx264": ".mp4", "libx265": ".mov", "mpeg4": ".avi", "libvpx-vp9": ".webm"}
VIDEOS = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"}
SCENES = ("ball", "pan", "still", "noise", "fade", "cut")


class Film(NamedTuple):
    """What one film is like.

    Attributes:
      width: pixels.
      height: pixels.
      rate: frames a second.
      seconds: its length.
      codec: FFmpeg's name of the encoder.
      aspect: width of a pixel in heights.
      turn: degrees in the file's rotation flag.
      scene: what it shows.
      focal: whether the file tells the focal length, as phones do.
    """

    width: int
    height: int
    rate: Fraction
    seconds: float
    codec: str
    aspect: Fraction
    turn: int
    scene: str
    focal: bool


def draw_film(rng: np.random.Generator) -> Film:
    """Return a random film."""
    width, height = SIDES[rng.integers(len(SIDES))]
    return Film(
        width=width,
        height=height,
        rate=RATES[rng.integers(len(RATES))],
        seconds=float(rng.choice([0.4, 1.0, 2.5, 6.0])),
        codec=list(CODECS)[rng.integers(len(CODECS))],
        aspect=Fraction(int(rng.choice([1, 1, 1, 4])), int(rng.choice([1, 1, 3]))),
        turn=int(rng.choice([0, 0, 90, 180, 270])),
        scene=SCENES[rng.integers(len(SCENES))],
        focal=bool(rng.integers(2)),
    )


def pictures(film: Film, rng: np.random.Generator) -> np.ndarray:
    """Return the frames (t h w 3) of a film, uint8."""
    import cv2

    count = max(1, round(film.seconds * film.rate))
    shape = (film.height + 40, film.width + 80, 3)
    wide = cv2.GaussianBlur(rng.integers(0, 255, shape).astype(np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, np.empty_like(wide), 0, 255, cv2.NORM_MINMAX)
    frames = np.empty((count, film.height, film.width, 3), np.uint8)
    for i in range(count):
        share = i / max(count - 1, 1)
        left = round(40 * share) if film.scene == "pan" else 20
        frame = wide[20 : 20 + film.height, left : left + film.width].copy()
        if film.scene in ("ball", "fade"):
            centre = round(film.width * (0.2 + 0.6 * share)), film.height // 2
            cv2.circle(frame, centre, film.height // 6, (240, 40, 40), -1)
        if film.scene == "fade":
            frame = (frame * (1 - 0.8 * share)).astype(np.uint8)
        if film.scene == "noise":
            noise = rng.normal(0, 25, frame.shape)
            frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
        if film.scene == "cut" and share > 0.5:
            frame = 255 - frame
        frames[i] = frame
    return frames


def write(film: Film, path: Path, rng: np.random.Generator) -> None:
    """Write a film; an encoder that is not there is replaced by H.264."""
    import av

    codec = film.codec if film.codec in av.codecs_available else "libx264"
    options = {"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        if film.focal:
            container.metadata["com.apple.quicktime.camera.focal_length.35mm_equivalent"] = "26"
        stream = container.add_stream(codec, rate=film.rate)
        assert isinstance(stream, av.VideoStream)
        stream.width = film.width
        stream.height = film.height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = film.aspect
        stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for picture in pictures(film, rng):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    if film.turn and path.suffix in (".mp4", ".mov"):
        turn_flag(path, film.turn)


def turn_flag(path: Path, degrees: int) -> None:
    """Set the rotation in the track header of a file, as a phone that is held upright does."""
    import struct

    data = bytearray(path.read_bytes())
    place = data.rfind(b"tkhd") + 4
    angle = np.deg2rad(degrees)
    turn = np.round([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)]).astype(int)
    a, b, c, d = (int(x) << 16 for x in turn)
    start = place + (40 if data[place] == 0 else 52)  # version 1 has longer times
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


def memory() -> float:
    """Return the MiB that this process holds, but for compiled programs, which are dropped."""
    jax.clear_caches()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def run(path: Path, out: Path, rows: int) -> tuple[str, list[str], float | None]:
    """Return what is wrong with a run, its warnings, and its `moving_psnr`."""
    from full4d_jax.cli import main
    from full4d_jax.scene.any_scene import open_scene

    said = io.StringIO()
    words = ["run", str(path), "--quality", "draft", "--out", str(out), "--rows", str(rows)]
    words += ["--seconds", "1", "--size", str(rows), "--orbit_seconds", "0.2"]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main(words)
    except Exception as error:
        return f"{type(error).__name__}: {error}", [], None
    if code == 2:
        lines = [line for line in said.getvalue().splitlines() if line.startswith("full4d:")]
        return "" if len(lines) == 1 else "no line", [f"refused: {lines[-1][:200]}"], None
    if code:
        return f"exit code {code}", [], None
    report = json.loads((out / "report.json").read_text())
    psnr = report.get("moving_psnr")
    wrong = "" if open_scene(out).count else "an empty scene"
    if psnr is not None and not PSNR[0] <= psnr <= PSNR[1]:
        wrong = f"moving_psnr {psnr}"
    return wrong, report["warnings"], psnr


def main() -> None:
    """Exit code 1 where a run went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=20, help="random films")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no new film after these")
    parser.add_argument("--start", type=int, default=0, help="number of the first film to run")
    parser.add_argument("--seed", type=int, default=0, help="decides the films")
    parser.add_argument("--real", type=Path, help="a folder of videos to take first")
    parser.add_argument("--rows", type=int, default=64, help="short side of the results")
    options = parser.parse_args()
    listed = sorted(options.real.iterdir()) if options.real else []
    real = [path for path in listed if path.suffix.lower() in VIDEOS]
    warned: Counter[str] = Counter()
    held: list[float] = []
    bad = 0
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        for number in range(options.start, len(real) + options.films):
            if time.perf_counter() - begin > 60 * options.minutes:
                break
            rng = np.random.default_rng([options.seed, number])
            if number < len(real):
                path = real[number]
                name = path.name
            else:
                film = draw_film(rng)
                path = Path(scratch) / f"{number}{CODECS[film.codec]}"
                write(film, path, rng)
                name = f"{film.width}x{film.height} {float(film.rate):.2f}/s {film.seconds} s "
                name += f"{film.codec} pixels {film.aspect} turned {film.turn} {film.scene}"
            start = time.perf_counter()
            out = Path(scratch) / "out"
            wrong, warnings, psnr = run(path, out, options.rows)
            shutil.rmtree(out, ignore_errors=True)
            held.append(memory())
            bad += bool(wrong)
            # Numbers differ from film to film, the kind of a warning does not.
            warned.update({"".join(c for c in line if not c.isdigit())[:60] for line in warnings})
            score = "" if psnr is None else f"{psnr:.1f} dB"
            row = f"{time.perf_counter() - start:6.1f} s {held[-1]:6.0f} MiB {score:>8}"
            print(f"{number:4} {'BAD ' if wrong else '    '}{row} {name} {wrong}", flush=True)
            for line in warnings:
                print(f"        {line[:200]}", flush=True)
    gained = held[-1] - held[min(2, len(held) - 1)]
    hourly = 3600 * len(held) / (time.perf_counter() - begin)
    print(f"{len(held)} runs, {hourly:.0f} an hour, {bad} wrong, {gained:+.0f} MiB after the third")
    print("warnings:")
    for line, count in warned.most_common():
        print(f"  {count} {line}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
