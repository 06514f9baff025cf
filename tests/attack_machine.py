"""Attacks by numbers, environments, streams and signals."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from attack_world import ASSETS, ENCODE, IMPORT, LIFT, RENDER, RUN, TRAIN, WORLDS
from attacks import Attack

HUGE = "99999999999"


def machine_attacks() -> Iterator[Attack]:
    """Yield all of them."""
    yield from numbers()
    yield from machines()
    yield from signals()


def numbers() -> Iterator[Attack]:
    """Numbers that no machine holds, for options that take one."""
    splats = ["convert", "splats", "run", "x.html"]
    scenes = ["evaluate", "--config", "small.py", "--checkpoint", "prior.safetensors"]
    inspect = ["inspect", "--config", "small.py"]
    check = ["data", "check", "data"]
    depth = ["depth", "in.mp4"]
    sides = ("views", "frames", "height", "width")
    # Those that fit memory at any value, or whose progress tells how long they take.
    unbounded = ("seed", "lift.steps", "sampler.steps", "training.steps", "training.keep")
    options: tuple[tuple[list[str], tuple[str, ...]], ...] = (
        (WORLDS, ("first", "scenes", *sides, "shards", "jobs")),
        (ASSETS, ("clips", *sides, "shards", "jobs")),
        (IMPORT, ("frames", "stride", "size", "jobs", "fps")),
        (ENCODE, ("shards",)),
        (splats, ("instants", "seconds", "time")),
        (RENDER, ("size", "orbit_seconds", "sweep")),
        (LIFT, ("lift.capacity", "lift.harmonics", "seed", "lift.steps")),
        (RUN, ("views", "rows", "seconds", "fps", "size", "azimuth", "fov")),
        (TRAIN, ("mesh.data", "training.batch", *(f"data.{side}" for side in sides))),
        (TRAIN, ("model.width", "model.layers", "model.heads", "model.ffn", "training.keep")),
        (depth, ("rows", "seconds", "fps", "fov")),
        (scenes, ("scenes", "first")),
        (inspect, ("devices", "slices")),
        (["view", "run"], ("port", "seconds")),
        (check, ("clips", "instants")),
    )
    for words, names in options:
        verb = " ".join(words[: 1 + (words[0] in ("data", "convert"))])
        for name in names:
            for value in (HUGE, "-1", "1000000000"):
                if value == "1000000000" and name in unbounded:
                    continue
                yield Attack(f"number/{verb} --{name} {value}", [*words, f"--{name}", value])
    yield Attack("number/train --mesh.data 0", [*TRAIN, "--mesh.data", "0"], codes=(0,))


def machines() -> Iterator[Attack]:
    """Environments that name nothing, too little memory, and streams that are gone."""
    small = RENDER[:2]

    def fresh(words: list[str], **variables: str) -> Callable[[], object]:
        """Return a limit that starts the command anew, in another environment."""

        def limit() -> None:
            os.environ.update(variables)
            os.execv(sys.executable, [sys.executable, "-m", "full4d_jax.cli", *words])

        return limit

    for text in ("--xla_nothing=1", "nonsense", "--xla_force_host_platform_device_count=x"):
        again = fresh(RENDER, XLA_FLAGS=text)
        yield Attack(f"machine/XLA_FLAGS {text}", RENDER, limit=again, codes=(2,))
    again = fresh(RENDER, JAX_PLATFORMS="nothing")
    yield Attack("machine/JAX_PLATFORMS", RENDER, limit=again, codes=(2,))
    again = fresh(["render", "été"], PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    yield Attack("machine/ascii", small, limit=again, codes=(2,))

    def addresses(most: int) -> Callable[[], object]:
        return lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))

    for most in (2**30, 2**31, 2**31 + 2**29):
        yield Attack(f"machine/{most >> 20} MiB of addresses", RENDER, limit=addresses(most))

    def gone(name: str) -> Callable[[], object]:
        def limit() -> None:
            os.close({"stdin": 0, "stdout": 1, "stderr": 2}[name])
            setattr(sys, name, None)

        return limit

    for name in ("stdin", "stdout", "stderr"):
        yield Attack(f"machine/render without {name}", RENDER, limit=gone(name), codes=(0,))
        yield Attack(
            f"machine/help without {name}", ["run", "--help"], limit=gone(name), codes=(0,)
        )

    def gone_folder() -> None:
        place = Path("gone")
        place.mkdir()
        os.chdir(place)
        Path("../gone").rmdir()

    yield Attack("machine/no working directory", RENDER, limit=gone_folder, codes=(2,))


def signals() -> Iterator[Attack]:
    """SIGTERM and SIGHUP at some instants of every verb."""
    jobs = {"render": RENDER, "lift": LIFT, "import": IMPORT, "procedural": WORLDS}
    jobs |= {"gltf": ASSETS, "train": [*TRAIN, "--training.steps", "400"], "view": ["view", "run"]}
    jobs |= {"evaluate": ["evaluate", "run"], "check": ["data", "check", "data"]}
    for name, words in jobs.items():
        for number in (signal.SIGTERM, signal.SIGHUP):
            codes = (0, 128 + number)
            alarm = (number, 1.5)
            yield Attack(f"signal/{name} {number.name}", words, alarm=alarm, codes=codes)
