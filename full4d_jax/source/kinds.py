"""Recognizes what a path on the command line is, by its ending or by the files in the folder.

That decides on the options of a command: `choose_source`.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from full4d_jax.config.experiment import Config
from full4d_jax.session.errors import InputError
from input_pipeline.addresses import address_of

VIDEO = "a video"
SPLATS = "a splat file"
ARRAYS = "an .npz file"
WRITTEN = "a scene in a format that is only written"
GLTF = "a glTF file"
RECORD3D = "a Record3D file"
RUN = "the folder of a run"
RUNS = "a folder of runs"
DATASET = "a data set"
CAPTURE = "a capture"
FILMS = "a folder of films without cameras"
# Other files are read as videos.
ENDINGS = {
    **dict.fromkeys((".ply", ".splat", ".spz", ".sog"), SPLATS),
    **dict.fromkeys((".4dgs", ".html"), WRITTEN),
    ".npz": ARRAYS,
    ".glb": GLTF,
    ".r3d": RECORD3D,
}
STAGES = ("source.npz", "depth.npz", "grid.npz", "scene.npz")
ADVICE = {
    CAPTURE: "make a data set of it with full4d data import",
    RECORD3D: "make a data set of it with full4d data import",
    FILMS: "say where the cameras stand, docs/data.md",
    SPLATS: "look at it with full4d view, or write it with full4d convert splats",
    RUN: "go on there with full4d lift, render, view or evaluate",
}


def kind_of(path: Path) -> str:
    """Return what lies at a path.

    Raises:
      InputError: there is nothing, or what nothing here reads.
    """
    try:
        if kind := _kind_of(path):
            return kind
        reason = "no such file or folder"
        if path.exists():
            reason = "a folder that is none of these"
    # Such as a name that is too long, or a folder that one may not read.
    except OSError as error:
        reason = error.strerror
    expected = f"{VIDEO}, {DATASET}, {CAPTURE}, {RUN} or {SPLATS}"
    do = "give another path; docs/data.md has the layouts of captures"
    raise InputError("source", path, reason, expected, do)


def _kind_of(path: Path) -> str:
    """Return what lies at a path; empty for nothing, and for what nothing here reads."""
    # A command has local copies of all else.
    if address_of(path):
        return DATASET
    if not path.is_dir():
        return ENDINGS.get(path.suffix.lower(), VIDEO) if path.exists() else ""
    if (path / "index.json").exists():
        return DATASET
    if any((path / name).exists() for name in STAGES):
        return RUN
    if is_unpacked_sog(path):
        return SPLATS
    if any(path.glob("*/grid.npz")):
        return RUNS
    from input_pipeline.importers.detect import find_scenes
    from input_pipeline.media_files import VIDEO_FOLDERS, find_videos

    try:
        find_scenes(path)
    except ValueError:
        return FILMS if find_videos(path, VIDEO_FOLDERS) else ""
    return CAPTURE


def is_unpacked_sog(path: Path) -> bool:
    """Return whether a path is a folder with the files of a .sog."""
    return all((path / name).is_file() for name in ("meta.json", "means_l.webp"))


def require_kind(path: Path, kinds: Collection[str]) -> str:
    """Return what lies at a path, one of `kinds`.

    Raises:
      InputError: it is something else.
    """
    kind = kind_of(path)
    if kind not in kinds:
        expected = " or ".join(kinds) or "none"
        do = ADVICE.get(kind, "give another path")
        raise InputError("source", path, kind, expected, do)
    return kind


class SourceOptions:
    """The base of the dataclasses of options of one kind of source; a command takes several.

    Attributes:
      path_kinds: what SOURCE, the first field of its own, may be; "" where it may be left out.
      selecting_flags: options of which one selects this class among those for the same SOURCE.
      model_needs_cameras: whether it is for models that need cameras, or for those without.
    """

    path_kinds: ClassVar[tuple[str, ...]] = ("",)
    selecting_flags: ClassVar[tuple[str, ...]] = ()
    model_needs_cameras: ClassVar[bool] = True

    @property
    def given_path(self) -> Path | None:
        """SOURCE, where it is not what is taken by default."""
        if not any(self.path_kinds):
            return None
        first = next(x for x in fields(self) if not x.kw_only)  # type: ignore[arg-type]
        path = getattr(self, first.name)
        return None if path == first.default else path


def choose_source(
    candidates: Sequence[Any], path: str, words: Sequence[str], config: Config | None
) -> Any:
    """Return the options class that decides what a command does with its source.

    Its subclasses `OneViewOptions`, `RowAndColumnOptions`, `FittedOptions` are the kinds of a run.

    Args:
      candidates: the options classes of a verb.
      path: SOURCE, which decides first; empty where there is none.
      words: the command line; of it only the names of options count.
      config: the experiment; None for a verb that takes none.

    Raises:
      InputError: the verb takes no such source.
    """
    needs_cameras = config is None or config.model.needs_cameras
    fitting = [x for x in candidates if x.model_needs_cameras == needs_cameras]
    fitting = fitting or candidates
    kinds = [kind for x in fitting for kind in x.path_kinds if kind]
    kind = require_kind(Path(path), kinds) if path else ""
    fitting = [x for x in fitting if kind in x.path_kinds]
    flags = {word.partition("=")[0].replace("-", "_") for word in words}
    named = [x for x in fitting if flags & {f"__{flag}" for flag in x.selecting_flags}]
    plain = [x for x in fitting if not x.selecting_flags]
    return (named or plain or fitting)[0]
