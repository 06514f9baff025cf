"""Stages that save what they made, so that running again continues where the last run ended.

A stage is a function from inputs to named arrays, kept as `NAME.npz` in the output folder. Beside
the arrays stands the fingerprint of everything the stage depends on: its settings, the files it
reads and the fingerprints of the stages before it. Where the fingerprint still holds, the stage is
loaded, not run; a stage made from others than those in the folder now is never used.

    source.npz  frames (v t h w 3) uint8 of the views that have pictures, the source first; given
                (v t), which of them are there; times (t) seconds; note and warning, text;
                depth_of, text, the views whose depth is known. Where known: intrinsics (v 3 3)
                pixels and world_to_camera (v t 4 4), depth (v t h w), still points of a path in its
                own unit (point_instants, point_pixels, point_depth), and the place in a data set:
                dataset (a hash), split, clip, view, views (v), instants (t), unit. Of a capture
                only the first view's frames: the others are in grid.npz, the depth in depth.npz.
    depth.npz   depth (t h w) of the source or, of a capture, (v t h w), 0 = unknown, (v t 0 0) if
                nobody knows any; of, text,
                "the source" or "all views"; path_unit, how many units of the source's path a unit
                of the world has, 1 if none is said. A model without poses has none. Format 2 had no
                `of` and is read.
    grid.npz    frames (v t h w 3) uint8, intrinsics, world_to_camera; if generated, projection
                (v-1 t h w 3) uint8, warning, and enlarged, whether it is larger than what the
                prior was trained on (format 3 had none). Without poses: frames and visible (v t).
                Of a capture: held_out (v t), the pictures that are not fitted, and if there are any
                masks (v t h w) of the subject and cloud (n 6), points to start from.
    scene.npz   the fields of the Gaussians and of their motion (`scene.scene_arrays`); of a
                generated grid source_psnr, dB; of a capture fitted_psnr, held_out_psnr (NaN for
                none) and background (3), the colour behind the scene.

World, unit and axes are those of `full4d_jax.cameras`.
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

from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import Arrays, read_arrays, save_arrays
from full4d_jax.session.progress import duration
from input_pipeline.plain_files import parse_json

FORMAT = 4  # of what stages save; raise it when one computes something else from the same inputs
MADE_BY = {"source": "sample", "depth": "sample", "grid": "sample", "scene": "lift"}
NEEDED = {"source": "before", "depth": "depth", "grid": "frames", "scene": "means"}
MARKS = ("fingerprint", "before", "seconds")  # beside the arrays of a stage
PLACE = ("dataset", "split", "clip", "view", "views", "instants", "unit")  # in a data set


@dataclass
class Stages:
    """The output folder of one run, and the stages that are finished there.

    Attributes:
      folder: where everything is written.
      say: prints a line for people.
      seconds: how long each stage ran, in this run or when it was made.
      fingerprints: hash of everything that each stage depends on.
      arrays: what each stage made.
    """

    folder: Path
    say: Callable[[str], None] = print
    seconds: dict[str, float] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)

    def run(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return a stage's arrays: loaded if made from the same inputs before, else made and saved.

        Args:
          name: name of the stage.
          inputs: everything it depends on beside the stages before it.
          make: makes the arrays.
        """
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

    def finished(self, name: str) -> Arrays:
        """Return the arrays of a stage that an earlier run made from the stages there now.

        Raises:
          InputError: There are none; the message names the verb that makes them.
        """
        path = self.folder / f"{name}.npz"
        do = f"run full4d {MADE_BY[name]} --out {self.folder} first"
        saved = read_arrays(path)
        if not {*MARKS, NEEDED[name]} <= saved.keys():
            raise InputError("output folder", path, "no finished stage", f"a saved {name}", do)
        with input_errors("output folder", do):
            before = parse_json(str(saved["before"]), f"{path}, before")
        if not isinstance(before, dict) or not before.keys() <= MADE_BY.keys():
            found = f"stages {before!r:.60}"
            raise InputError("output folder", path, found, "stages of a run", do)
        for earlier, mark in before.items():
            if self._mark(earlier) not in ("", mark):
                found = f"made from another {earlier} than the one there"
                raise InputError("output folder", path, found, f"a {name} made from it", do)
        return self._keep(name, saved)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long something took that saves no arrays."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def _mark(self, name: str) -> str:
        """Return the fingerprint of what a stage made, empty where there is nothing."""
        if name not in self.fingerprints:
            return str(read_arrays(self.folder / f"{name}.npz").get("fingerprint", ""))
        return self.fingerprints[name]

    def _keep(self, name: str, saved: Arrays) -> Arrays:
        """Remember a stage; return its arrays without the marks beside them."""
        self.fingerprints[name] = str(saved["fingerprint"])
        self.seconds[name] = float(saved["seconds"])
        self.arrays[name] = {key: value for key, value in saved.items() if key not in MARKS}
        return self.arrays[name]


def fingerprint(name: str, inputs: Mapping[str, Any], before: Mapping[str, str]) -> str:
    """Return a hash of settings (dataclasses, numbers, texts, arrays) and of files' contents."""
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
