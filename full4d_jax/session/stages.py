"""Stages that save what they made, so that running again continues where the last run ended.

A stage is a function from inputs to named arrays, kept as `NAME.npz` in the output folder. Beside
the arrays lies the fingerprint of everything the stage depends on: its settings, the files it reads
and the fingerprints of the stages before it. Where that still holds the stage is loaded, not run;
a stage made from others than those that lie there now is never used.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import duration
from input_pipeline.footage import ADDRESS, UNREADABLE

Arrays = dict[str, ndarray]
FORMAT = 2  # of what stages save; raise it when one computes something else from the same inputs
PLACE = ("dataset", "split", "clip", "view", "views", "instants", "unit")  # in a data set


@dataclass
class Stages:
    """The output folder of one run, and what its stages took.

    folder: where everything is written.
    say: prints a line for people.
    seconds: by stage, how long it ran, in this run or when it was made.
    fingerprints: by stage, of everything that it depends on.
    arrays: by stage, what it made.
    """

    folder: Path
    say: Callable[[str], None] = print
    seconds: dict[str, float] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)

    def run(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The stage's arrays: loaded if made from the same `inputs` before, else made and saved."""
        before = self.fingerprints.copy()
        mark = fingerprint(name, inputs, before)
        path = self.folder / f"{name}.npz"
        saved = read_arrays(path)
        if str(saved.get("fingerprint", "")) == mark:
            self.say(f"{name}: kept from {path}")
            return self._keep(name, saved)
        self.say(f"{name} ...")
        start = time.perf_counter()
        arrays = make()
        seconds = time.perf_counter() - start
        marks = {"fingerprint": mark, "before": json.dumps(before), "seconds": seconds}
        saved = arrays | {key: np.array(value) for key, value in marks.items()}
        save_arrays(path, saved)
        self.say(f"{name}: {duration(seconds)}")
        return self._keep(name, saved)

    def finished(self, name: str, verb: str) -> Arrays:
        """The arrays of a stage that an earlier run made from the stages that lie there now.

        Raises:
          InputError: there are none; `verb` makes them.
        """
        path, do = self.folder / f"{name}.npz", f"run full4d {verb} --out {self.folder} first"
        saved = read_arrays(path)
        if "before" not in saved:
            raise InputError("output folder", path, "no finished stage", f"a saved {name}", do)
        for earlier, mark in json.loads(str(saved["before"])).items():
            if self._mark(earlier) not in ("", mark):
                found = f"made from another {earlier} than the one there"
                raise InputError("output folder", path, found, f"a {name} made from it", do)
        return self._keep(name, saved)

    def _mark(self, name: str) -> str:
        """The fingerprint of what a stage made, empty where there is nothing."""
        if name not in self.fingerprints:
            return str(read_arrays(self.folder / f"{name}.npz").get("fingerprint", ""))
        return self.fingerprints[name]

    def _keep(self, name: str, saved: Arrays) -> Arrays:
        """Note what a stage is made of; what it made is left."""
        self.fingerprints[name] = str(saved["fingerprint"])
        self.seconds[name] = float(saved["seconds"])
        marks = ("fingerprint", "before", "seconds")
        self.arrays[name] = {key: value for key, value in saved.items() if key not in marks}
        return self.arrays[name]


def fingerprint(name: str, inputs: Mapping[str, Any], before: Mapping[str, str]) -> str:
    """A hash of settings (dataclasses, numbers, strings, arrays) and of the contents of paths."""
    text = json.dumps([FORMAT, name, dict(inputs), dict(before)], sort_keys=True, default=_describe)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def save_arrays(path: Path, arrays: Mapping[str, ndarray]) -> None:
    """Write an .npz, see `whole_file`."""
    named: dict[str, Any] = dict(arrays)
    with whole_file(path) as partial:
        np.savez_compressed(partial, **named)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that appears under its name only when it is complete."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    yield partial
    partial.replace(path)


def open_folder(path: str | Path) -> Path:
    """Make the output folder and try to write into it, before any work.

    Raises:
      InputError: it is a file or in object storage, or nothing can be written there.
    """
    path = Path(path)
    if ADDRESS.match(str(path)):  # a folder of that name would be made here
        found, expected = "an address of object storage", "a folder on a file system"
        do = "write it to a disk, then copy it (docs/data.md)"
        raise InputError("output folder", path, found, expected, do)
    do = "give a folder that you may write to as --out"
    if path.exists() and not path.is_dir():
        raise InputError("output folder", path, "a file", "a folder", do)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise InputError("output folder", path, error.strerror, "a writable folder", do) from None
    return path


def read_arrays(path: Path) -> Arrays:
    """What an .npz holds; nothing when there is none or it cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except UNREADABLE:
        return {}


def _describe(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        content = value.read_bytes() if value.is_file() else b""  # the stage itself will refuse it
        return hashlib.sha256(content).hexdigest()
    if isinstance(value, np.ndarray):
        return [list(value.shape), str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()]
    raise TypeError(f"cannot fingerprint {type(value)}")
