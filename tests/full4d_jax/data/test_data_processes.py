"""`full4d data depth` and `encode` on several devices and in two processes: the files of one."""

import pytest
from two_processes import together

from full4d_jax.cli import main
from full4d_jax.session.files import LOCK
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.procedural.clips import ProceduralClips

SIZE = "--data.views 2 --data.frames 2 --data.height 16 --data.width 16 --data.projections 1"
CLIPS = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    clips = ProceduralClips(first=0, count=CLIPS, views=2, frames=2, height=32, width=32)
    write_dataset(folder, clips, name="scenes", shards=1)
    return folder


def words_of(verb: str, scenes) -> list[str]:
    if verb == "depth":
        return ["data", "depth", str(scenes), "--scale", "axes", "--shards", str(CLIPS)]
    encode = ["data", "encode", "--config", "debug", *SIZE.split(), "--shards", str(CLIPS)]
    return [*encode, "--dataset", str(scenes)]


def files_of(folder) -> dict[str, bytes]:
    """Return what lies in a data set; of tfds's file without the folder's name."""
    files = [x for x in folder.rglob("*") if x.is_file() and not x.name.startswith(LOCK)]
    return {
        str(x.relative_to(folder)): x.read_bytes().replace(bytes(folder), b"HERE") for x in files
    }


@pytest.mark.parametrize(
    "verb",
    [pytest.param("encode", marks=pytest.mark.slow), pytest.param("depth", marks=pytest.mark.long)],
)
def test_two_processes_write_the_files_of_one(verb, scenes, tmp_path):
    words = words_of(verb, scenes)
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    codes, outputs = together([[*words, "--out", str(tmp_path / "two")]] * 2)
    assert codes == [0, 0], outputs
    one = files_of(tmp_path / "one")
    assert len([name for name in one if ".array_record-" in name]) == 2 * CLIPS
    assert files_of(tmp_path / "two") == one
    deep = open_dataset(tmp_path / "two").clips
    assert all(clip["depth"] == ([0, 1] if verb == "depth" else [0]) for clip in deep)
