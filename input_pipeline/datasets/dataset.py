"""Datasets: folders of records that `tfds.builder_from_directory` opens, written and read.

We read the records and the index only. tfds imports every Python module that `features.json` names,
so that opening a stranger's folder with tfds runs the stranger's code.

NAME-SPLIT.array_record-00000-of-00008   the records
dataset_info.json, features.json         for programs that use tfds; there when all records are
index.json                               sizes and hashes of the files, facts of every clip
README.md                                the card
shards/                                  what is known of each finished file
"""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from etils import epath
from tensorflow_datasets.core.dataset_info import DatasetIdentity
from tensorflow_datasets.core.splits import SplitDict

from input_pipeline import addresses, schema, whole_files
from input_pipeline.datasets.card import Facts, card, content_hash
from input_pipeline.datasets.records import FEATURES, from_bytes
from input_pipeline.datasets.shards import (
    FOLDER,
    ClipSource,
    Shard,
    encode_example,
    encoded_records,
    finished,
    intact,
    plan_id,
    plan_shards,
    write_shard,
)
from input_pipeline.plain_files import (
    check_field,
    file_hash,
    parse_json,
    read_regular,
    require_layout,
)

# Size of a file where their number is not given.
SHARD_BYTES = 2**28
INDEX = "index.json"
CLIP_LAYOUT = {
    **dict.fromkeys(("scene", "codec", "source", "license"), str),
    **dict.fromkeys(("views", "frames", "height", "width", "projections"), int),
    **dict.fromkeys(("film", "filled", "caption"), bool),
    "generated?": bool,
    "seconds": float,
    **{key: [int] for key in ("depth", "masks", "latents", "text")},
    "known_depth": [float],
}
LAYOUT = {
    "version": int,
    "content": str,
    "files": {str: {"bytes": int, "sha256": str}},
    "splits": {str: [CLIP_LAYOUT]},
}
FILE = re.compile(r"[a-z0-9_]+-[a-z0-9_]+\.array_record-\d{5}-of-\d{5}")


def write_dataset(
    folder: str | Path,
    clips: ClipSource,
    *,
    name: str,
    splits: Mapping[str, float] | None = None,
    shards: int | None = None,
    jobs: int = 1,
    threads: int = 1,
    part: tuple[int, int] = (0, 1),
    about: str = "",
    report: Callable[[int], None] = lambda _: None,
) -> int:
    """Write the missing files; with the last one the dataset is finished.

    Each file is written whole or not at all, so that a build that was stopped goes on where it
    was; files that are there are read, and written again where their SHA-256 is another. The files
    are the same, bit by bit, for all `jobs`, `threads` and parts.

    Args:
      folder: on a file system or in object storage, where each file is uploaded when it is done.
      clips: what to write.
      name: of the dataset, snake_case.
      splits: names and shares of the scenes (all clips of a scene are in one split); default: all
        are for training.
      shards: about how many files; default: as many as give each about 256 MiB.
      jobs: processes that make records.
      threads: of this process that make them instead, where clips wait for several devices.
      part: (i, n) writes every n-th file from the i-th on; others are for other programs.
      about: how the clips were made, for the card; also distinguishes builds.
      report: called with the number of clips of this part that are done.

    Returns:
      How many files of other parts are missing still; 0 when the dataset is done.

    Raises:
      ValueError: a clip breaks a promise of the schema, arguments make no sense, or files of
        another build are there.
    """
    folder = Path(folder)
    splits = dict(splits or {"train": 1.0})
    index, count = part
    scene_ids = list(clips.scene_ids)
    if shards is None and scene_ids:
        record, _ = encode_example(clips, 0, scene_ids[0])
        shards = math.ceil(len(record) * len(scene_ids) / SHARD_BYTES)
    plan = plan_shards(scene_ids, name=name, splits=splits, shards=shards or 1)
    mark = plan_id(plan, scene_ids, about)
    _check_same_build(folder, plan, mark)
    if not addresses.address_of(folder):
        whole_files.make_own_folder(folder / FOLDER)

    # Files of this part that are complete and unchanged are not written again.
    part_shards = plan[index::count]
    missing = [shard for shard in part_shards if not intact(folder, shard)]
    todo = [clip for shard in missing for clip in shard.clips]
    done = sum(len(shard.clips) for shard in part_shards) - len(todo)
    pairs = ((clip, scene_ids[clip]) for clip in todo)
    stream = _counted(encoded_records(clips, pairs, jobs, threads), done, report)
    for shard in missing:
        write_shard(folder, shard, stream, mark)
    # The program that writes the last missing file of all parts finishes the data set.
    entries = {
        shard.file: entry for shard in plan if (entry := finished(folder, shard))
    }
    missing_files = len(plan) - len(entries)
    if not missing_files:
        # Two builds may have begun at once.
        _check_same_build(folder, plan, mark)
        _finish(folder, name, plan, entries, about)
    return missing_files


class Records(Sequence[schema.Example]):
    """A split of a dataset: random access to its records, by any number of threads.

    Attributes:
      clips: the facts of every clip (`card.facts`).
      scene_ids: the scene of every clip.
      content: hash of the whole dataset.
    """

    def __init__(self, folder: str | Path, split: str):
        address = addresses.address_of(folder)
        self.folder = address or str(folder)
        self.split = split
        index = _index(folder)
        names = ", ".join(index["splits"])
        known = split in index["splits"]
        check_field(f"split of {folder}", known, repr(split), f"one of {names}")
        files = index["files"]
        sizes = _sizes(folder)
        for file, entry in files.items():
            found = f"{sizes[file]} bytes" if file in sizes else "no file"
            expected = f"{entry['bytes']} bytes"
            check_field(f"{self.folder}/{file}", found == expected, found, expected)
        self.clips: list[Facts] = index["splits"][split]
        self.scene_ids: list[str] = [clip["scene"] for clip in self.clips]
        self.content: str = index["content"]
        own = [file for file in sorted(files) if f"-{split}.array_record-" in file]
        paths = [f"{self.folder}/{file}" for file in own]
        # array_record reads gs:// itself.
        if address.startswith("s3://"):
            paths = [*map(_cached, paths, (files[file]["sha256"] for file in own))]
        where = f"dataset {folder}"
        try:
            self._source = ArrayRecordDataSource(paths)
        except (RuntimeError, ValueError) as error:
            found = str(error) or "a file that does not open"
            raise ValueError(f"{where}: found {found}, expected whole files") from None
        count = len(self._source)
        found = f"{count} records of the split {split}"
        check_field(where, count == len(self.clips), found, len(self.clips))

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, index: Any) -> Any:
        """Return one clip, or raise ValueError where its record is damaged."""
        place = range(len(self))[index]
        try:
            example = from_bytes(self._source[place])
        except (RuntimeError, ValueError) as error:
            found = f"clip {place} that does not read ({error}), expected a record"
            raise ValueError(f"dataset {self.folder}: found {found}") from None
        return example._replace(generated=self.clips[place].get("generated", False))


def _sizes(folder: str | Path) -> dict[str, int]:
    """Return the bytes of the files in a data set's folder."""
    if address := addresses.address_of(folder):
        return {k: file.size for k, file in addresses.stored_files(address).items()}
    files = [path for path in Path(folder).glob("*") if path.exists()]
    return {path.name: path.stat().st_size for path in files}


def _cached(address: str, sha256: str) -> str:
    """Return the path of a local copy of a file, which is made where there is none."""
    path = addresses.cache_folder() / "records" / sha256
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files.whole_file(path) as partial:
            addresses.download(address, partial)
            expected = f"sha256 {sha256[:16]}, as the index says"
            is_whole = file_hash(partial) == sha256
            check_field(address, is_whole, "damaged bytes", expected)
    return str(path)


def _index(folder: str | Path) -> dict[str, Any]:
    """Return the index of a data set, all of whose files lie in its folder."""
    address = addresses.address_of(folder)
    path = Path(folder, INDEX)
    expected = "a finished dataset; give the command that makes it again"
    check_field(f"dataset {folder}", address or path.exists(), f"no {INDEX}", expected)
    text = (
        addresses.read_stored(f"{address}/{INDEX}") if address else read_regular(path)
    )
    where = f"dataset {folder}, {INDEX}"
    index = parse_json(text, where)
    require_layout(index, {"version": int}, where)
    version = index["version"]
    expected = f"version {schema.SCHEMA_VERSION}, so make it again from its captures"
    check_field(where, version == schema.SCHEMA_VERSION, f"version {version}", expected)
    require_layout(index, LAYOUT, where)
    for file in index["files"]:
        expected = "a name like NAME-SPLIT.array_record-00000-of-00001"
        check_field(where, FILE.fullmatch(file), f"a file {file!r:.80}", expected)
    return index


def damaged_files(folder: str | Path) -> list[str]:
    """Return a line for each file of a finished dataset whose bytes have changed.

    All of them are read, about a second for each GB.
    """
    path = epath.Path(addresses.address_of(folder) or folder)
    hashes = {name: entry["sha256"] for name, entry in _index(folder)["files"].items()}
    found = {name: file_hash(path / name) for name in hashes}
    return [
        f"{path / name}: found SHA-256 {found[name]}, expected {digest}"
        for name, digest in hashes.items()
        if found[name] != digest
    ]


def open_dataset(folder: str | Path, split: str = "train") -> Records:
    """Open a split of a finished dataset.

    Args:
      folder: on a file system; or `gs://...`, whose records are read one by one; or `s3://...`,
        whose files are copied to the disk first.
      split: its name.

    Raises:
      ValueError: a library is missing or access denied; the dataset is not finished, a file has
        another size than it should, it was written in another version of the schema, or there is
        no such split.
    """
    return Records(folder, split)


def _check_same_build(folder: Path, plan: Sequence[Shard], mark: str) -> None:
    """Refuse a folder with files that are not of this build."""
    planned = {shard.file: shard for shard in plan}
    for name in sorted(_sizes(folder / FOLDER)):
        file = name.removesuffix(".json")
        if file == name:
            continue
        entry = finished(folder, planned[file]) if file in planned else {"plan": ""}
        expected = "files of the same clips, splits, shards and settings"
        is_ours = not entry or entry["plan"] == mark
        check_field(f"dataset {folder}", is_ours, f"{file} of another build", expected)


def _finish(
    folder: Path,
    name: str,
    plan: Sequence[Shard],
    entries: dict[str, dict[str, Any]],
    about: str,
) -> None:
    """Write the card, the files of tfds and, last, the index that makes the data set readable."""
    # The card sums up the facts that each shard recorded while it was written.
    splits: dict[str, list[Facts]] = {}
    for shard in plan:
        splits.setdefault(shard.split, []).extend(entries[shard.file]["clips"])
    size = sum(entry["bytes"] for entry in entries.values())
    digest = content_hash({file: entry["sha256"] for file, entry in entries.items()})
    page = card(name, about, splits, size, digest)
    whole_files.write_text(folder / "README.md", page)
    address = addresses.address_of(folder)
    # Killed builds leave partial files in a folder; a bucket has whole objects alone.
    if not address:
        for shard in plan:
            whole_files.remove_leftovers(folder / shard.file)

    # With these files `tfds.builder_from_directory` opens the folder without any code of ours.
    place = address or str(folder)
    template = tfds.core.ShardedFileTemplate(
        dataset_name=name, data_dir=epath.Path(place), filetype_suffix="array_record"
    )
    parts = []
    for split in splits:
        own = [shard for shard in plan if shard.split == split]
        part = tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard.clips) for shard in own],
            num_bytes=sum(entries[shard.file]["bytes"] for shard in own),
            filename_template=template,
        )
        parts.append(part)
    version = tfds.core.Version(f"{schema.SCHEMA_VERSION}.0.0")
    identity = DatasetIdentity(
        name=name, version=version, data_dir=place, module_name=""
    )
    info = tfds.core.DatasetInfo(builder=identity, features=FEATURES, description=page)
    info.set_file_format("array_record")
    info.set_splits(SplitDict(parts))
    # tfds writes in place, so its files are copied to theirs when they are whole.
    with TemporaryDirectory(prefix="full4d-") as scratch:
        info.write_to_directory(scratch)
        for path in sorted(Path(scratch).iterdir()):
            with whole_files.whole_file(folder / path.name) as partial:
                shutil.copyfile(path, partial)
    # Readers ask for the index first: written last, it never names a file that is not there.
    files = {
        k: {"bytes": v["bytes"], "sha256": v["sha256"]} for k, v in entries.items()
    }
    index = {
        "version": schema.SCHEMA_VERSION,
        "content": digest,
        "files": files,
        "splits": splits,
    }
    whole_files.write_text(folder / INDEX, json.dumps(index))


def _counted(
    stream: Iterator[Any], done: int, report: Callable[[int], None]
) -> Iterator[Any]:
    """Yield the records of a stream and report how many are done."""
    for done_now, record in enumerate(stream, done + 1):
        report(done_now)
        yield record
