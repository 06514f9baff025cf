"""Stages that save what they made, so that running again continues where the last run ended.

A stage is a function from inputs to named arrays, kept as `NAME.npz` in the output folder. Beside
the arrays lies the fingerprint of everything the stage depends on: its settings, the files it reads
and the fingerprints of the stages before it. Where that still holds the stage is loaded, not run;
a stage made from others than those that lie there now is never used.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from full4d_jax.session.errors import InputError
from full4d_jax.session.files import Arrays, read_arrays, save_arrays
from full4d_jax.session.progress import duration

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


def _describe(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        content = value.read_bytes() if value.is_file() else b""  # the stage itself will refuse it
        return hashlib.sha256(content).hexdigest()
    if isinstance(value, np.ndarray):
        return [list(value.shape), str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()]
    raise TypeError(f"cannot fingerprint {type(value)}")
