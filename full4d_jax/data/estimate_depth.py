"""Estimated depth for a capture that has none, in the units of its cameras."""

from pathlib import Path

import numpy as np

from full4d_jax.data.build import build_dataset
from full4d_jax.media.pictures import color_depth, contact_sheet, save_picture
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.files import Arrays, open_folder, save_arrays
from full4d_jax.session.progress import Progress
from full4d_jax.source.capture_source import load_capture
from full4d_jax.source.depth.estimators import estimator_mark, load_estimator
from full4d_jax.source.options import DepthKind
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.depth_alignment import MIN_MATCHES, Scale, WithDepth, estimate_missing_depth
from input_pipeline.schema import Example, make_example
from input_pipeline.selection import evenly
from input_pipeline.transforms import encode_jpeg

SHOWN_INSTANTS = 4  # instants on the picture
Chosen = tuple[str, DepthKind | None]  # a network, and what its values are


def estimate_capture_depth(
    capture: Path, network: Chosen, out: Path, scale: Scale = "matches"
) -> None:
    """Write `out`, the capture with depth, and a picture of it beside; say how well it fits.

    Raises:
      InputError: an unusable name, capture or estimator, depth that is there already, or views that
        share too little for the scale of their depth.
    """
    if out.suffix != ".npz" or out.is_dir():
        raise InputError("output", out, f"ending {out.suffix!r}", "a file X.npz", "rename --out")
    arrays = load_capture(capture)
    if "depth" in arrays:
        do = "use it as it is, or leave depth out of the file"
        raise InputError("capture", f"{capture}, depth", "depth", "none", do)
    example = to_example(arrays, capture.name)
    estimate = load_estimator(*network)
    open_folder(out.parent)
    try:
        with Progress("depth", example.frames.size) as report:
            aligned = estimate_missing_depth(example, estimate, report, scale)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        reason, _, expected = str(error).partition(": found ")[2].partition(", expected ")
        where = str(error).partition(": depth")[0]
        do = (
            f"it needs {MIN_MATCHES} points that two views share, and an estimator that follows "
            "them: give measured depth, views nearer to each other, another --depth_network, or, "
            "for a rig around a subject, --scale axes"
        )
        raise InputError("depth", where, reason, expected, do) from None
    depth = np.stack([aligned[view][0] for view in range(len(example.frames))])
    save_arrays(out, arrays | {"depth": depth})
    _draw(out.with_suffix(".png"), arrays["frames"], depth)
    for view, (_, line) in aligned.items():
        print(f"view {view}: {line.note}")
    print(f"depth: {out}, picture: {out.with_suffix('.png')}")
    print(f"next: full4d lift {out} --out out/lifted")


def estimate_dataset_depth(
    dataset: Path, network: Chosen, out: Path, split: str, scale: Scale = "matches"
) -> None:
    """Write the clips of a split into another dataset, with depth in every view.

    Raises:
      InputError: an unusable dataset, estimator or folder, or views that share too little for the
        scale of their depth.
    """
    do = "choose another dataset, --out, --split, --depth_network or --scale"
    with input_errors("dataset", do):
        records = open_dataset(dataset, split)
    clips = WithDepth(records, records.scene_ids, load_estimator(*network), scale)
    about = f"The split {split} of a dataset ({records.content}), "
    about += f"depth by {estimator_mark(network[0])} ({scale})."
    build_dataset(out, clips, name="depth", splits={split: 1.0}, about=about, do=do)
    print(f"next: full4d data check {out} --split {split}")


def to_example(arrays: Arrays, name: str) -> Example:
    """Return a capture as a record of one clip without depth, a second between its frames."""
    frames = arrays["frames"]
    v, t = frames.shape[:2]
    files = np.empty((v, t), object)
    for i, j in np.ndindex(v, t):
        files[i, j] = encode_jpeg(frames[i, j])
    cameras = arrays["intrinsics"], arrays["world_to_camera"]
    times = np.arange(t, dtype=np.float32)
    return make_example(files, *cameras, times, scene_id=name, fps=1.0, source=name, license="")


def _draw(path: Path, frames: np.ndarray, depth: np.ndarray) -> None:
    """Frames and depth of every view, at some instants."""
    v, t = depth.shape[:2]
    shown = evenly(t, SHOWN_INSTANTS)
    rows = [row for i in range(v) for row in (frames[i, shown], color_depth(depth[i, shown]))]
    names = [name for i in range(v) for name in (f"view {i}", "depth")]
    sheet = contact_sheet(np.stack(rows), rows=names, columns=[f"frame {j}" for j in shown])
    save_picture(path, sheet)
