"""Data sets: the same files however they are built, whole or not at all, and their records."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from formula_clips import FormulaClips
from tensorflow_datasets.core.dataset_info import DatasetInfoFileError
from textured_room import make_room

from input_pipeline.datasets.card import card, facts
from input_pipeline.datasets.dataset import damaged_files, open_dataset, write_dataset
from input_pipeline.datasets.records import from_bytes, to_bytes
from input_pipeline.datasets.shards import split_of
from input_pipeline.schema import validate

CLIPS = FormulaClips(24)
SPLITS = {"train": 0.7, "test": 0.3}
write_formula = partial(write_dataset, name="formula", splits=SPLITS, shards=5)


def files(folder: Path) -> dict[str, str]:
    """Hashes of all files in a folder and below."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    assert write_formula(folder, CLIPS) == 0
    return folder


def test_what_was_written_is_read(built):
    train, test = open_dataset(built), open_dataset(built, "test")
    assert len(train) + len(test) == len(CLIPS)
    expected = {to_bytes(CLIPS[i]) for i in range(len(CLIPS))}
    assert {to_bytes(x) for split in (train, test) for x in split} == expected
    assert train.scene_ids == [example.scene_id for example in train]
    clip = train.clips[0]
    size = [clip[name] for name in ("views", "frames", "height", "width")]
    assert size == [3, 2, 24, 32]
    assert clip["depth"] == [1, 2]


def test_tfds_opens_it_without_tensorflow(built):
    builder = tfds.builder_from_directory(str(built))
    assert str(builder.version) == "4.0.0"
    source = builder.as_data_source("train")  # pyright: ignore[reportCallIssue]
    count = builder.info.splits["train"].num_examples
    assert len(source) == count == len(open_dataset(built))
    example, ours = source[0], open_dataset(built)[0]
    assert example["frames"][3] == ours.frames[1, 1]
    pose = ours.world_to_camera[1, 1]
    np.testing.assert_array_equal(example["world_to_camera"][3], pose)
    assert "tensorflow" not in sys.modules


def test_no_scene_is_in_two_splits_and_others_do_not_move_it(built):
    train, test = (set(open_dataset(built, x).scene_ids) for x in ("train", "test"))
    assert train
    assert test
    assert not train & test
    names = [f"scene-{i}" for i in range(4000)]
    share = np.mean([split_of(name, SPLITS) == "test" for name in names])
    assert share == pytest.approx(0.3, abs=0.03)
    assert {split_of(name, SPLITS) for name in train} == {"train"}


def test_parts_processes_and_threads_write_the_same_files(built, tmp_path):
    left = [write_formula(tmp_path, CLIPS, part=(i, 2)) for i in (1, 0)]
    assert left[0] > left[1] == 0
    assert files(tmp_path) == files(built)
    several = tmp_path / "several"
    assert write_formula(several, CLIPS, jobs=2) == 0
    assert files(several) == files(built)
    threaded = tmp_path / "threaded"
    assert write_formula(threaded, CLIPS, threads=3) == 0
    assert files(threaded) == files(built)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from formula_clips import FormulaClips
from input_pipeline.datasets.dataset import write_dataset
class Slow(FormulaClips):
    def __getitem__(self, index):
        time.sleep(0.03)
        return super().__getitem__(index)
splits = {"train": 0.7, "test": 0.3}
write_dataset(sys.argv[1], Slow(24), name="formula", splits=splits, shards=5)
"""


def test_a_killed_build_is_no_dataset_and_goes_on(built, tmp_path):
    words = [sys.executable, "-c", KILLED, tmp_path, Path(__file__).parents[1]]
    process = subprocess.Popen(words, cwd=Path(__file__).parents[3])
    end = time.monotonic() + 60
    while True:  # until it stands still in the middle of the third file or a later one
        assert time.monotonic() < end
        assert process.poll() is None
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        begun = list(tmp_path.glob(".formula-*.partial-*"))
        if begun and len(list(tmp_path.glob("shards/*.json"))) >= 2:
            break
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".*.partial-*"))
    with pytest.raises(ValueError, match="expected a finished dataset"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetInfoFileError):
        tfds.builder_from_directory(str(tmp_path))
    made: list[int] = []
    write_formula(tmp_path, CLIPS, report=made.append)
    assert len(made) < len(CLIPS)
    assert files(tmp_path) == files(built)


def test_a_file_with_a_changed_bit_is_written_again_and_no_other(built, tmp_path):
    write_formula(tmp_path, CLIPS)
    victim, *others = sorted(tmp_path.glob("formula-*"))
    written = [path.stat().st_mtime_ns for path in others]
    whole = bytearray(victim.read_bytes())
    whole[len(whole) // 2] ^= 1
    victim.write_bytes(whole)
    write_formula(tmp_path, CLIPS)
    assert files(tmp_path) == files(built)
    assert [path.stat().st_mtime_ns for path in others] == written


def test_another_build_is_not_mixed_in(tmp_path):
    write_formula(tmp_path, CLIPS, part=(0, 2))
    with pytest.raises(ValueError, match="of another build"):
        write_formula(tmp_path, FormulaClips(22))
    with pytest.raises(ValueError, match="of another build"):
        write_formula(tmp_path, CLIPS, about="differently")
    assert write_formula(tmp_path, CLIPS) == 0


def test_a_module_that_features_name_never_runs(built, tmp_path, monkeypatch):
    folder = shutil.copytree(built, tmp_path / "theirs")
    (folder / "planted.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    told = json.loads((folder / "features.json").read_text())
    told["pythonClassName"] = "planted.Features"
    (folder / "features.json").write_text(json.dumps(told))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    assert len(open_dataset(folder)) == len(open_dataset(built))
    assert open_dataset(folder)[0].scene_id
    assert not (folder / "ran").exists()
    with pytest.raises(Exception, match="planted"):  # what tfds does with that folder
        tfds.builder_from_directory(str(folder))
    assert (folder / "ran").exists()


def test_files_outside_the_folder_are_refused(built, tmp_path):
    name = "../formula-train.array_record-00000-of-00001"
    folder = shutil.copytree(built, tmp_path / "theirs")
    index = json.loads((folder / "index.json").read_text())
    index["files"][name] = next(iter(index["files"].values()))
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="expected a name like NAME-SPLIT"):
        open_dataset(folder)
    with pytest.raises(ValueError, match="expected a name like NAME-SPLIT"):
        damaged_files(folder)


def same(a, b) -> None:
    for name, x, y in zip(a._fields, a, b, strict=True):
        assert type(x) is type(y), name
        np.testing.assert_array_equal(x, y, err_msg=name)
        if isinstance(x, np.ndarray):
            assert (x.shape, x.dtype) == (y.shape, y.dtype), name


def test_every_field_comes_back(make_example):
    latents = np.random.default_rng(0).normal(size=(3, 1, 2, 4, 5)).astype(np.float16)
    depth = np.full((3, 2), b"", object)
    for example in (
        make_example(),
        make_example(v=1, t=1),
        make_example()._replace(
            latents=latents,
            codec="wan22",
            caption="ein Hündchen, 走る",
            text=latents[0, 0, 0],
            unit=0.5,
        ),
        make_example()._replace(depth16=depth, masks=depth),
    ):
        again = from_bytes(to_bytes(example))
        same(example, again)
        validate(again)


def test_more_than_a_record_can_hold_is_refused(make_example):
    example = make_example(v=8, t=16)
    example.frames.fill(bytes(2**24))  # the same one everywhere
    with pytest.raises(ValueError, match=r"found 2\.00 GiB, expected less than 2 GiB"):
        to_bytes(example)


def test_another_version_is_refused(make_example):
    record = to_bytes(make_example()._replace(version=1))
    with pytest.raises(ValueError, match="record version: found 1, expected 4"):
        from_bytes(record)


def test_no_clip_writes_html_or_rows_into_the_card():
    clip = make_room(views=2, height=16, width=24)._replace(
        scene_id="<img src=x>",
        source="<script>alert(1)</script>\n| a | b |",
        license="MIT & <b>mine</b>",
    )
    text = card("a_name", "made by <i>me</i>", {"train": [facts(clip)]}, 1, "0" * 64)
    assert "<" not in text
    assert "&lt;script>alert(1)&lt;/script>" in text
    assert "MIT &amp; &lt;b>mine&lt;/b>" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in rows)
    assert len([row for row in rows if row.startswith("| sources")]) == 1
