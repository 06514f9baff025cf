"""Compare what films say of themselves with what is read: `python tests/film_facts.py`.

All orientations, transfers, scans and containers, and starts .25 s apart. Each film must come as
the formulas have it, or be refused in one line. Prints what does not come and a table. The exit
status is 1 if anything is silently wrong. Takes two minutes.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float
from wave_films import FPS, HLG, PQ, SDR, srgb, wave, write_waves

from input_pipeline.video_files import decode_frames, frame_times, read_frames

FRAMES = 50
# Seconds.
START_STEP = 0.25
# Levels of 255, for chroma's sampling, rounding and the encoder.
MEAN_ERROR = 2.5
TRANSFERS = {"SDR": SDR, "HLG": HLG, "PQ": PQ}
OUTCOMES = ("equal", "refused", "silent")
# Matrices of ISO/IEC 14496-12, 6.2.2: a pixel at p, q is shown at a p + c q, b p + d q.
ORIENTATIONS = [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)] + [
    (0, x, y, 0) for x in (1, -1) for y in (1, -1)
]
UPRIGHT = ORIENTATIONS[0]
# The last three store no orientation.
CONTAINERS = {
    "mp4": ORIENTATIONS,
    "mov": ORIENTATIONS,
    "mkv": ORIENTATIONS,
    "ts": [UPRIGHT],
    "mts": [UPRIGHT],
    "vob": [UPRIGHT],
}


class Film(NamedTuple):
    """What a film says of itself."""

    container: str
    transfer: str
    is_interlaced: bool
    orientation: tuple[int, int, int, int]


def films() -> Iterator[Film]:
    """Yield all films that their container can carry."""
    for container, orientations in CONTAINERS.items():
        transfers = ["SDR"] if container == "vob" else list(TRANSFERS)
        for film in product(transfers, (False, True), orientations):
            yield Film(container, *film)


def codec(film: Film) -> str:
    """Return the encoder that a camera would use."""
    if film.container == "vob":
        return "mpeg2video"
    return "libx264" if film.is_interlaced or film.transfer == "SDR" else "libx265"


def write(film: Film, folder: Path) -> Path:
    """Return the path of a film; those that differ in the container are encoded once."""
    encoded = folder / f"{codec(film)}_{film.transfer}_{film.is_interlaced}.mkv"
    if not encoded.exists():
        field = "tff" if film.is_interlaced else ""
        signal = TRANSFERS[film.transfer]
        write_waves(encoded, codec(film), signal, frames=FRAMES, first_field=field)
    path = folder / f"film.{film.container}"
    one = 1 << 16
    a, b, c, d = (one * x for x in film.orientation)
    with av.open(str(encoded)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        if film.orientation != UPRIGHT:
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return path


def expected_picture(film: Film, number: int) -> Float[np.ndarray, "h w 3"]:
    """Return a frame's picture, upright."""
    stored = srgb(wave(number / FPS), TRANSFERS[film.transfer])
    a, b, c, d = film.orientation
    q, p = np.indices(stored.shape[:2])
    columns, rows = a * p + c * q, b * p + d * q
    columns, rows = columns - columns.min(), rows - rows.min()
    upright = np.zeros((rows.max() + 1, columns.max() + 1, 3))
    upright[rows, columns] = stored
    return upright


def verdict(film: Film, path: Path) -> str:
    """Return "equal", "refused: " and the line, or what is silently wrong."""
    try:
        return difference(film, path) or "equal"
    except ValueError as error:
        return f"refused: {error}"


def difference(film: Film, path: Path) -> str:
    """Return the first difference from what is expected; "" where there is none.

    Raises:
      ValueError: the film is refused.
    """
    times = frame_times(path)
    pictures = [frame.picture for frame in decode_frames(path)]
    if len(pictures) != FRAMES or np.abs(times - np.arange(FRAMES) / FPS).max() > 1e-3:
        return f"{len(pictures)} frames, times up to {times[-1]:g} s"
    for number, picture in enumerate(pictures):
        expected = expected_picture(film, number)
        if picture.shape != expected.shape:
            return f"shape {picture.shape[:2]} of {expected.shape[:2]}"
        error = np.abs(picture - expected).mean()
        if error > MEAN_ERROR:
            return f"frame {number} is {error:.1f} levels off"
    for start in np.arange(0, times[-1], START_STEP):
        number = int(np.searchsorted(times, start - 1e-6))
        read = next(read_frames(path, times[number : number + 1]))
        if not np.array_equal(read, pictures[number]):
            return f"another picture from {start:g} s"
    return ""


def main() -> int:
    """Print the table and return the exit status."""
    rows: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        for film in films():
            result = verdict(film, write(film, Path(name)))
            outcome = result.partition(":")[0]
            if outcome not in OUTCOMES:
                outcome = "silent"
            if outcome != "equal":
                print(*film, result)
            scan = "interlaced" if film.is_interlaced else "progressive"
            row = f"{film.container:9} {film.transfer:8} {scan:11}"
            rows.setdefault(row, Counter())[outcome] += 1
    print("container transfer scan        equal refused silent")
    for row, count in rows.items():
        print(row, *(f"{count[outcome]:6}" for outcome in OUTCOMES))
    silent = sum(count["silent"] for count in rows.values())
    print(f"{silent} silent")
    return int(silent > 0)


if __name__ == "__main__":
    sys.exit(main())
