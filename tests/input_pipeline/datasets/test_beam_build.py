"""Apache Beam makes the files that one process makes."""

import pytest
from formula_clips import FormulaClips

pytest.importorskip("apache_beam", reason="the extra beam, in an environment of its own")

from input_pipeline.datasets.beam_build import build
from input_pipeline.datasets.dataset import open_dataset, write_dataset

# tfds asks Beam's older protobuf what that calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

CLIPS = FormulaClips(24)
WORDS = {"name": "formula", "splits": {"train": 0.7, "test": 0.3}, "about": "by formula"}


def test_beam_makes_the_same_files(tmp_path):
    write_dataset(tmp_path / "alone", CLIPS, shards=5, **WORDS)
    build(tmp_path / "beam", CLIPS, shards=5, options=["--runner=DirectRunner"], **WORDS)
    paths = [path for path in (tmp_path / "alone").rglob("*") if path.is_file()]
    assert len(paths) > 9
    for path in paths:
        twin = tmp_path / "beam" / path.relative_to(tmp_path / "alone")
        assert twin.read_bytes() == path.read_bytes(), path.name
    assert len(open_dataset(tmp_path / "beam", "test")) > 0


def test_what_is_there_stays_and_other_builds_are_refused(tmp_path):
    write_dataset(tmp_path, CLIPS, shards=5, part=(0, 2), **WORDS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.array_record-*")}
    assert before
    build(tmp_path, CLIPS, shards=5, **WORDS)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(ValueError, match="of another build"):
        build(tmp_path, CLIPS, shards=4, **WORDS)
