"""Writers of datasets, whole or in parts: of rendered clips, and of clips with estimated depth."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from full4d_jax.data.data_options import Writing
from full4d_jax.session import errors, progress
from full4d_jax.session.buckets import shown
from full4d_jax.source.depth.any_network import estimator_mark, load_estimator
from full4d_jax.source.options import DepthKind
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.datasets.shards import ClipSource
from input_pipeline.depth_alignment import Scale, WithDepth
from input_pipeline.procedural.clips import ProceduralClips, textures_mark
from input_pipeline.procedural.gltf_scene import GltfClips


class Card(NamedTuple):
    """Description of a dataset.

    Attributes:
      name: of the dataset.
      splits: shares of the scenes in each split.
      about: how the clips were made.
    """

    name: str
    splits: dict[str, float]
    about: str


def write_files(out: Path, clips: ClipSource, writing: Writing, card: Card) -> int:
    """Write a dataset with a progress bar; see `write_dataset`.

    Returns:
      The number of files that other parts have not written yet.
    """
    options: dict[str, Any] = writing._asdict() | {"shards": writing.shards or None}
    with progress.Progress(card.name, len(clips)) as report:
        return write_dataset(out, clips, **options, **card._asdict(), report=report)


def build_dataset(
    out: Path,
    clips: ClipSource,
    writing: Writing,
    card: Card,
    then: str,
    do: str = "choose another --out or option",
) -> bool:
    """Write a dataset, and print where its description lies and the next command.

    Args:
      out: folder of the dataset.
      clips: what to write.
      writing: how many files by how many processes.
      card: its description.
      then: the command that may follow.
      do: what to try where the build is refused.

    Returns:
      Whether all files are there now.

    Raises:
      InputError: the clips or the folder cannot be used.
    """
    with errors.input_errors("dataset", do):
        missing = write_files(out, clips, writing, card)
    if not is_done(out, missing):
        return False
    print(shown(f"{out}: {out / 'README.md'} describes it"))
    print(shown(f"next: full4d {then}"))
    return True


def is_done(out: Path, missing: int) -> bool:
    """Return whether no files are missing; if some are, print how many."""
    if missing:
        print(shown(f"{out}: {missing} files of other parts are still missing"))
    return not missing


def train_and_test(test: float) -> dict[str, float]:
    """Return splits in which `test` has this share of the scenes; with 0 there is none."""
    return {"train": 1 - test} | ({"test": test} if test else {})


def build_procedural(
    out: Path, clips: ProceduralClips, writing: Writing, *, test: float
) -> None:
    """Write procedural scenes; `test` is the share of that split, the rest as in `build_dataset`.

    Raises:
      InputError: there are no textures, or as in `build_dataset`.
    """
    last = clips.first + clips.count - 1
    depth = "all views" if clips.all_depth else "the source"
    about = (
        f"{clips.worlds.capitalize()} procedural scenes {clips.first} to {last}, {_size(clips)}, "
        f"depth of {depth}, {'masks of people, ' * clips.masks}rendered by full4d_jax."
    )
    if clips.textures:
        with errors.input_errors("option", "choose another --textures"):
            mark = textures_mark(clips.textures)
        about += f" Colours of pictures in {Path(clips.textures).name} ({mark})."
    then = f"train --config PRESET --data.records {out}"
    card = Card("procedural", train_and_test(test), about)
    build_dataset(out, clips, writing, card, then)


def build_gltf(out: Path, clips: GltfClips, writing: Writing, *, test: float) -> None:
    """Write clips of animated glTF assets; errors as in `build_dataset`."""
    names = ", ".join(asset.name for asset in clips.assets[:20])
    about = (
        f"{clips.count} clips of {len(clips.assets)} animated assets ({names}), {_size(clips)}, "
        f"targets within {clips.spread:g} degrees{', along one arc' * clips.orbit}, rendered by "
        "full4d_jax."
    )
    then = f"train --config PRESET --data.records {out} (or mixed, {out}=1 OTHER=3)"
    build_dataset(out, clips, writing, Card("gltf", train_and_test(test), about), then)


def _size(clips: ProceduralClips | GltfClips) -> str:
    return f"{clips.views} views of {clips.frames} frames of {clips.width}x{clips.height} pixels"


def estimate_dataset_depth(
    dataset: Path,
    network: tuple[str, DepthKind | None],
    out: Path,
    split: str,
    scale: Scale,
    writing: Writing,
) -> None:
    """Write the clips of a split, or a part of their files, with depth in every view.

    Args:
      dataset: the folder to read.
      network: that estimates it, on all devices of this host, and what its values are.
      out: folder of the new dataset.
      split: split to read and to write.
      scale: from points that views share, or from where all cameras look.
      writing: how many files, and which of them; all devices of this host estimate.

    Raises:
      InputError: an unusable dataset, estimator or folder, or views that share too little for the
        scale of their depth.
    """
    do = "choose another dataset, --out, --split, --depth_network or --scale"
    with errors.input_errors("dataset", do):
        records = open_dataset(dataset, split)
    clips = WithDepth(records, records.scene_ids, load_estimator(*network), scale)
    about = f"The split {split} of a dataset ({records.content}), "
    about += f"depth by {estimator_mark(network[0])} ({scale})."
    writing = writing._replace(threads=jax.local_device_count())
    then = f"data check {out} --split {split}"
    build_dataset(out, clips, writing, Card("depth", {split: 1.0}, about), then, do)
