"""Where the bits of `full4d run` differ between cores and versions, and by how much.

    python tests/same_bits.py --out OUT [--python OTHER/bin/python ...]

One small film is run on all cores, again, with one core, with one core and `NPROC` of all, and by
other Pythons with their packages. A line for each says which stages have arrays of other bits than
those of the first run, the largest difference as a share of the array's largest value, how far the
film of the orbit is from the first one's in PSNR, and `moving_psnr`. It ends with exit code 1 where
the first run repeats, or one core with `NPROC`, in other bits.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from soak import Film, write

from full4d_jax.session.stages import MARKS

REPOSITORY = Path(__file__).parents[1]
STAGES = ("source", "depth", "grid", "scene")
FILM = Film(96, 64, Fraction(12), 1.0, "libx264", Fraction(1), 0, "ball", focal=True)
OPTIONS = "--quality draft --seconds 1 --rows 32 --size 32 --orbit_seconds 0.2"


class Case(NamedTuple):
    """One run.

    Attributes:
      name: what is told of it.
      python: the interpreter.
      cores: those that it may use.
      nproc: the variable of that name; "" is none.
      is_same: whether its bits must be those of the first run.
    """

    name: str
    python: str
    cores: list[int]
    nproc: str = ""
    is_same: bool = False


def cases(others: list[str]) -> Iterator[Case]:
    """Yield all runs; the first is what the others are compared with."""
    cores = sorted(os.sched_getaffinity(0))
    yield Case("all cores", sys.executable, cores, is_same=True)
    yield Case("all cores, again", sys.executable, cores, is_same=True)
    if len(cores) > 1:
        count = str(len(cores))
        yield Case(f"one core, NPROC={count}", sys.executable, cores[:1], count, is_same=True)
        yield Case("one core", sys.executable, cores[:1])
    for python in others:
        yield Case(versions(python), python, cores)


def versions(python: str) -> str:
    """Return the versions of an interpreter and of its jax."""
    program = "import sys, jax; print('Python', sys.version.split()[0], 'jax', jax.__version__)"
    return subprocess.check_output([python, "-c", program], text=True).strip()


def run(case: Case, film: Path, out: Path) -> None:
    """Make a run; programs are compiled anew, for a cache may hold those of other cores."""
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    environment |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | ({"NPROC": case.nproc} if case.nproc else {})
    command = [case.python, "-m", "full4d_jax.cli", "run", str(film), "--out", str(out)]
    subprocess.run(
        [*command, *OPTIONS.split()],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=partial(os.sched_setaffinity, 0, case.cores),
    )


def difference(a: Path, b: Path) -> float | None:
    """Return the largest difference of two files of arrays; None where all bits are the same.

    It is a share of the largest value of its array, and infinite where shapes differ.
    """
    largest = None
    with np.load(a) as first, np.load(b) as second:
        for name in set(first.files) - set(MARKS):
            x = first[name]
            y = second[name]
            if x.shape != y.shape:
                return float("inf")
            if x.tobytes() != y.tobytes():
                apart = np.abs(x.astype(float) - y).max() / np.abs(x.astype(float)).max()
                largest = max(largest or 0.0, float(apart))
    return largest


def in_words(apart: float | None) -> str:
    """Return what `difference` found in a word or two."""
    if apart is None:
        return "same"
    return f"{apart:.1e}" if np.isfinite(apart) else "other shapes"


def orbit_psnr(a: Path, b: Path) -> float:
    """Return the PSNR between two films of the orbit, dB."""
    import av

    films = []
    for path in (a, b):
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        films.append(np.stack(frames).astype(float))
    mse = float(np.mean((films[0] - films[1]) ** 2))
    return 10 * np.log10(255**2 / mse) if mse else float("inf")


def main() -> None:
    """Exit code 1 where bits differ that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="an empty folder for the runs")
    parser.add_argument("--python", nargs="*", default=[], help="other interpreters")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    film = options.out / "in.mp4"
    write(FILM, film, np.random.default_rng(0))
    first = options.out / "0"
    bad = 0
    print(f"compared with {versions(sys.executable)}, {len(os.sched_getaffinity(0))} cores")
    for number, case in enumerate(cases(options.python)):
        out = options.out / str(number)
        run(case, film, out)
        apart = {x: difference(first / f"{x}.npz", out / f"{x}.npz") for x in STAGES}
        told = [in_words(x) for x in apart.values()]
        bad += case.is_same and any(x is not None for x in apart.values())
        psnr = json.loads((out / "report.json").read_text())["moving_psnr"]
        orbit = orbit_psnr(first / "orbit.mp4", out / "orbit.mp4")
        row = ", ".join(f"{stage} {x}" for stage, x in zip(STAGES, told, strict=True))
        print(f"{case.name}: {row}; orbit {orbit:.1f} dB, moving_psnr {psnr:.3f}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
