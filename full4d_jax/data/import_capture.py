"""Import a capture from disk as a data set: `full4d data import`."""

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from full4d_jax.data.build import Card, is_done, train_and_test, write_files
from full4d_jax.data.clip_page import preview
from full4d_jax.data.data_options import Writing
from full4d_jax.media import pictures
from full4d_jax.session import buckets, fields, files, progress, stages
from full4d_jax.session.errors import InputError, input_errors, log
from full4d_jax.source.depth.any_network import estimator_mark, load_estimator
from full4d_jax.source.films_without_cameras import find_captures, read_scene_captures
from input_pipeline.addresses import PROBE, address_of, stored_files
from input_pipeline.capture import Capture, turned
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.datasets import dataset, shards
from input_pipeline.depth_alignment import WithDepth
from input_pipeline.importers import detect, record3d
from input_pipeline.whole_files import require_own

PREVIEW = "preview.png"
DO = "see docs/data.md"


class Cut(NamedTuple):
    """Options for cutting clips from a capture; see `CaptureClips`."""

    frames: int | None = None
    stride: int = 1
    size: int | None = None
    instants: tuple[int, int | None] = (0, None)
    film: bool = False


def import_folder(
    path: Path,
    out: Path,
    *,
    layout: str | None,
    fps: float | None,
    license: str,
    cut: Cut,
    test: float,
    writing: Writing,
    turns: Mapping[str, int],
    depth: str | None,
    follow_links: bool,
) -> None:
    """Find the layout, read the cameras, cut clips and write the dataset under its name at once.

    A part of several, and what is written to object storage, has the name itself; with the last
    file the dataset is done. Depth is estimated on all devices of this host.

    Raises:
      InputError: unknown layout, files that do not fit, damaged videos, an output that is there.
    """
    _check(path, layout)
    if writing.part == (0, 1):
        _require_new(out)
    fits = not depth or writing.jobs == 1
    fields.require_option("jobs", writing.jobs, fits, "1 with --depth")
    estimate = load_estimator(depth) if depth else None
    with contextlib.ExitStack() as reading:
        with input_errors("capture", DO):
            # The layout is recognized, and cameras are read, before any video is decoded.
            folder = reading.enter_context(record3d.unpacked(path))
            inside = None if follow_links else folder
            captures = _read(folder, layout, fps, inside=inside)
            if license:
                captures = [capture._replace(license=license) for capture in captures]
            captures = turned(captures, turns)
            clips = CaptureClips(captures, **cut._asdict())
        if clips.left_out:
            print(f"unused: {clips.left_out} instants that fill no clip; see --frames")
        # An interrupted import of another cut, or of cameras mended since, must not go on.
        about = f"imported from {path.name} by full4d data import; {cut}, fps {fps}"
        mark = _mark(captures, folder, buckets.stored_marks(path))
        about += f", licence {license}, cameras and clocks {mark}"
        about += f", depth by {estimator_mark(depth)}" if depth else ""
        notes = [f"{x.scene_id}: {x.note}" for x in captures if x.note]
        about += "".join(f"; {note}" for note in dict.fromkeys(notes))
        # Clips are decoded, and depth estimated, as they are written.
        filled = WithDepth(clips, clips.scene_ids, estimate) if estimate else clips
        if estimate:
            writing = writing._replace(threads=jax.local_device_count())
        missing = _write(out, filled, about, writing, test=test)
    if not is_done(out, missing):
        return
    for line in (
        f"{out}: {len(clips)} clips of {len(set(clips.scene_ids))} scenes",
        f"look at {out / PREVIEW}: frames of the first clip, and its cameras",
        f"next: full4d data check {out}",
    ):
        print(buckets.shown(line))


def _write(
    out: Path, clips: shards.ClipSource, about: str, writing: Writing, *, test: float
) -> int:
    """Write clips as a data set with a preview, a whole one on disk under its name at once.

    Returns:
      The number of files that other parts have not written yet.
    """
    at_once = writing.part == (0, 1) and not address_of(out)
    folder = out
    if at_once:
        files.open_folder(out.parent)
        folder = out.with_name(f".{out.name}.partial")
        require_own(folder)
    files.hold_dataset(folder, writing.part)
    name = re.sub(r"[^a-z0-9]", "_", out.name.lower()).strip("_") or "capture"
    try:
        with input_errors("capture", DO):
            card = Card(name, train_and_test(test), about)
            if missing := write_files(folder, clips, writing, card):
                return missing
            first = dataset.open_dataset(folder)[0]
            pictures.save_picture(folder / PREVIEW, preview(first))
    except ValueError:
        if at_once:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if at_once:
        (folder / files.LOCK).unlink(missing_ok=True)
        folder.replace(out)
    return 0


def _read(
    path: Path, layout: str | None, fps: float | None, *, inside: Path | None
) -> list[Capture]:
    """Read all captures below a path, and describe the first ones."""
    if layout:
        if not detect.LAYOUTS[layout].matches(path):
            found = f"nothing of the layout {layout}"
            raise ValueError(f"{path}: found {found}, expected {detect.needs(layout)}")
        scenes = [(path, layout, "--layout says so", [])]
        skipped = []
    else:
        scenes, skipped = find_captures(path)
    captures = []
    most_described = 5
    folders = [folder.name for folder, *_ in scenes]
    for number, (folder, name, why, other_layouts) in enumerate(scenes):
        read = read_scene_captures(folder, name, fps, inside=inside)
        # Scene 1 of day 1 and scene 1 of day 2 are not one scene.
        if folders.count(folder.name) > 1:
            renamed = {folder.name: f"{folder.parent.name}-{folder.name}"}
            read = [
                x._replace(scene_id=renamed.get(x.scene_id, x.scene_id)) for x in read
            ]
        captures += read
        if number >= most_described:
            continue
        log(f"{folder}: {name}, since {why}")
        if other_layouts:
            log(f"  also fits: {', '.join(other_layouts)}; choose by --layout")
        for capture in read:
            _describe(capture)
    if skipped:
        names = ", ".join(skipped[:most_described])
        names += ", ..." * (len(skipped) > most_described)
        log(f"{path}: skipped {len(skipped)} folders of unknown layout: {names}")
    if len(scenes) > most_described:
        print(f"and {len(scenes) - most_described} more folders")
    return captures


def _describe(capture: Capture) -> None:
    views = capture.views
    counts = sorted({len(view.timestamps) for view in views})
    span = max(x.timestamps[-1] for x in views) - min(x.timestamps[0] for x in views)
    extras = [
        kind for kind in ("depth", "masks") if any(getattr(x, kind) for x in views)
    ]
    frames = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unit = f"{capture.unit:g} m" if capture.unit else "unknown"
    line = f"  {capture.scene_id}: {len(views)} views of {frames} frames"
    line += f", {progress.duration(span)}, world unit {unit}"
    log(line + f", with {' and '.join(extras)}" * bool(extras))
    for note in filter(None, capture.note.split("; ")):
        log(f"  note: {note}")
    if capture.warning:
        log(f"  warning: {capture.warning}")


def _mark(captures: list[Capture], folder: Path, marks: Mapping[str, str]) -> str:
    """Return a hash of what importers read: times, lenses, poses, units of depth, stamps of files.

    A stamp is the store's mark, else the size and the time of the last change; reading all files
    would take as long as importing them.
    """

    def described(value: Any) -> Any:
        if isinstance(value, Path):
            return _stamp(value, folder, marks)
        return [described(x) for x in value] if isinstance(value, tuple) else value

    views = [[x.scene_id, x.generated, described(x.views)] for x in captures]
    return stages.fingerprint("captures", {"views": views}, {})


def _stamp(file: Path, folder: Path, marks: Mapping[str, str]) -> list[str | int]:
    name = os.path.relpath(file, folder)
    # Else that of the archive in which it came.
    mark = marks.get(name, marks.get(""))
    if mark is not None:
        return [name, mark]
    stat = file.stat()
    return [name, stat.st_size, stat.st_mtime_ns]


def _require_new(out: Path) -> None:
    """Refuse to write a whole data set to a path that exists.

    In object storage, where files have their names at once, an import that was stopped goes on.

    Raises:
      InputError: something is there, or it cannot be seen.
    """
    is_there = out.exists()
    if address := address_of(out):
        with input_errors("output", "see docs/pods.md, Buckets"):
            names = [
                name for name in stored_files(address) if not name.startswith(PROBE)
            ]
        is_there = bool(names) and not any(map(dataset.FILE.fullmatch, names))
    if is_there:
        do = "choose another --out"
        raise InputError("dataset", out, "something there", "a new name", do)


def _check(path: Path, layout: str | None) -> None:
    """Refuse a path without a capture, and an unknown layout; raises InputError."""
    do = "give the folder of the capture"
    if not (path.is_dir() or (path.exists() and record3d.is_packed(path))):
        found = "a file" if path.exists() else "no such folder"
        raise InputError("capture", path, found, "a folder or a .r3d file", do)
    fits = layout is None or layout in detect.LAYOUTS
    fields.require_option("layout", layout, fits, ", ".join(detect.LAYOUTS))
