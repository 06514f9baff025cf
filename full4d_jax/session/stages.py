"""Stages that save their results, so that the same command resumes where the last run ended.

A stage is a function from inputs to named arrays, kept as `NAME.npz` in the output folder. Beside
the arrays stands the fingerprint of everything the stage depends on: its settings, the files it
reads and the fingerprints of the stages before it. Where the fingerprint still holds, the stage is
loaded, not run; a stage made from others than those in the folder now is never used.

`session.stage_arrays` lists what each of them saves.
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

from full4d_jax.session.errors import InputError, input_errors, log
from full4d_jax.session.files import Arrays, read_arrays, save_arrays
from full4d_jax.session.progress import duration
from full4d_jax.session.stage_arrays import MARKS, STAGES, check_saved
from input_pipeline.plain_files import (
    file_hash,
    load_arrays,
    parse_json,
    require_layout,
)

# Raise it when a stage computes something else from the same inputs.
STAGE_VERSION = 23


@dataclass
class Stages:
    """The output folder of one run, and its finished stages.

    Attributes:
      folder: where everything is written.
      say: prints a line for people.
      seconds: how long each stage ran, in this run or when it was made.
      fingerprints: hash of everything that each stage depends on.
      arrays: what each stage made.
      started: `time.perf_counter()` at the start.
    """

    folder: Path
    say: Callable[[str], None] = log
    seconds: dict[str, float] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[], Arrays],
        *,
        after: str | None = None,
    ) -> Arrays:
        """Return a stage's arrays: loaded if made from the same inputs before, else made and saved.

        Args:
          name: name of the stage.
          inputs: everything it depends on beside the stages before it.
          make: makes the arrays.
          after: the one earlier stage that it reads; None if it may read all of them.

        Raises:
          InputError: there is a folder where they belong.
        """
        before = self.before(after)
        mark = fingerprint(name, inputs, before)
        path = self.folder / f"{name}.npz"
        # Refuse it before the work.
        if path.is_dir():
            do = "move it away"
            raise InputError("output folder", path, "a folder", "a file or nothing", do)
        saved = read_arrays(path)
        if str(saved.get("fingerprint", "")) == mark:
            try:
                check_saved(name, saved, str(path))
                self.say(f"{name}: kept from {path}")
                return self._warn_and_keep(name, saved)
            except ValueError as error:
                self.say(f"{error}; it is computed again")
        self.say(f"{name} ...")
        with self.timed(name):
            arrays = make()
        seconds = self.seconds[name]
        marks = {"fingerprint": mark, "before": json.dumps(before), "seconds": seconds}
        saved = arrays | {key: np.array(value) for key, value in marks.items()}
        save_arrays(path, saved)
        self.say(f"{name}: {duration(seconds)}")
        return self._warn_and_keep(name, saved)

    def before(self, after: str | None = None) -> dict[str, str]:
        """Return the fingerprints of all earlier stages, or of the one that is named."""
        return {after: self.fingerprints[after]} if after else self.fingerprints.copy()

    def finished(self, name: str) -> Arrays:
        """Return the arrays of a stage that an earlier run made from the stages there now.

        Raises:
          InputError: There are none; the message names the verb that makes them.
        """
        path = self.folder / f"{name}.npz"
        verb = "lift" if name == "scene" else "sample SOURCE --out"
        do = f"run full4d {verb} {self.folder} first"
        if not path.exists():
            expected = f"a saved {name}"
            raise InputError("output folder", path, "no finished stage", expected, do)
        with input_errors("output folder", do):
            saved = load_arrays(path)
            check_saved(name, saved, str(path))
            place = f"{path}, before"
            before = parse_json(str(saved["before"]), place)
            require_layout(before, {f"{stage}?": str for stage in STAGES}, place)
        for earlier in before.keys() & STAGES.keys():
            if self._mark(earlier) not in ("", before[earlier]):
                found = f"made from another {earlier} than the one there"
                expected = f"a {name} made from it"
                raise InputError("output folder", path, found, expected, do)
        return self._keep(name, saved)

    @property
    def warnings(self) -> list[str]:
        """Warnings of the stages, one sentence each, without repetitions."""
        texts = [str(arrays.get("warning", "")) for arrays in self.arrays.values()]
        return list(dict.fromkeys(line for text in texts for line in text.splitlines()))

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record the seconds of work that saves no arrays."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def _mark(self, name: str) -> str:
        """Return the fingerprint of a stage's saved arrays, empty where there are none."""
        if name not in self.fingerprints:
            return str(read_arrays(self.folder / f"{name}.npz").get("fingerprint", ""))
        return self.fingerprints[name]

    def _warn_and_keep(self, name: str, saved: Arrays) -> Arrays:
        """Log the new warnings of a stage, a reason to stop the command early, and remember it."""
        earlier = self.warnings
        for line in str(saved.get("warning", "")).splitlines():
            if line not in earlier:
                self.say(f"warning: {line}")
        return self._keep(name, saved)

    def _keep(self, name: str, saved: Arrays) -> Arrays:
        """Remember a stage; return its arrays without the marks beside them."""
        self.fingerprints[name] = str(saved["fingerprint"])
        self.seconds[name] = float(saved["seconds"])
        self.arrays[name] = {
            key: value for key, value in saved.items() if key not in MARKS
        }
        return self.arrays[name]


def fingerprint(name: str, inputs: Mapping[str, Any], before: Mapping[str, str]) -> str:
    """Return a hash of settings (dataclasses, numbers, texts, arrays) and of files' contents."""
    text = json.dumps(
        [STAGE_VERSION, name, dict(inputs), dict(before)],
        sort_keys=True,
        default=_describe,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _describe(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        # The stage itself will refuse it.
        return file_hash(value) if value.is_file() else hashlib.sha256().hexdigest()
    if isinstance(value, np.ndarray):
        mark = hashlib.sha256(value.tobytes()).hexdigest()
        return [list(value.shape), str(value.dtype), mark]
    raise TypeError(f"cannot fingerprint {type(value)}")
