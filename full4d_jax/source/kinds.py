"""What a path on the command line is: told by its ending, or by what lies in the folder."""

from collections.abc import Collection
from pathlib import Path

from full4d_jax.session.errors import InputError

VIDEO, SPLATS, ARRAYS = "a video", "a splat file", "an .npz file"
RUN, RUNS = "the folder of a run", "a folder of runs"
DATASET, CAPTURE = "a data set", "a capture"
ENDINGS = {".ply": SPLATS, ".splat": SPLATS, ".npz": ARRAYS}  # other files are read as videos
STAGES = ("source.npz", "depth.npz", "grid.npz", "scene.npz")
ADVICE = {
    CAPTURE: "make a data set of it with full4d data import",
    RUN: "go on there with full4d lift, render, view or evaluate",
}


def kind_of(path: Path) -> str:
    """Return what lies at a path.

    Raises:
      InputError: there is nothing, or a folder that nothing here reads.
    """
    expected = f"{VIDEO}, {DATASET}, {CAPTURE}, {RUN} or {SPLATS}"
    if not path.exists():
        raise InputError("source", path, "no such file or folder", expected, "give another path")
    if not path.is_dir():
        return ENDINGS.get(path.suffix, VIDEO)
    if (path / "index.json").exists():
        return DATASET
    if any((path / name).exists() for name in STAGES):
        return RUN
    if any(path.glob("*/grid.npz")):
        return RUNS
    from input_pipeline.importers.detect import find_scenes

    try:
        find_scenes(path)
    except ValueError:
        do = "see docs/data.md for the layouts of captures, or give another path"
        raise InputError("source", path, "a folder that is none of these", expected, do) from None
    return CAPTURE


def require_kind(path: Path, kinds: Collection[str]) -> str:
    """Return what lies at a path, one of `kinds`.

    Raises:
      InputError: it is something else.
    """
    kind = kind_of(path)
    if kind not in kinds:
        expected = " or ".join(kinds) or "none"
        raise InputError("source", path, kind, expected, ADVICE.get(kind, "give another path"))
    return kind
