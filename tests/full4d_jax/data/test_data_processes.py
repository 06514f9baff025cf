"""`full4d data encode` in two processes that are killed: the files of one."""

import signal
import subprocess
import time

import pytest
from two_processes import PATIENCE, start_together, together

from full4d_jax.cli import main
from full4d_jax.session.files import LOCK
from full4d_jax.training.training_loop import STOPPED_EXIT_CODE
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.datasets.shards import FOLDER
from input_pipeline.procedural.clips import ProceduralClips

SIZE = "--data.views 2 --data.frames 2 --data.height 16 --data.width 16"
SIZE += " --data.projections 1"
CLIPS = 16  # a file each, so that a process is killed long before its last


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    clips = ProceduralClips(
        first=0, count=CLIPS, views=2, frames=2, height=32, width=32
    )
    write_dataset(folder, clips, name="scenes", shards=1)
    return folder


def words_of(scenes) -> list[str]:
    encode = [
        "data",
        "encode",
        "--config",
        "debug",
        *SIZE.split(),
        "--shards",
        str(CLIPS),
    ]
    return [*encode, "--dataset", str(scenes)]


def files_of(folder) -> dict[str, bytes]:
    """Return what lies in a data set; of tfds's file without the folder's name."""
    files = [
        x for x in folder.rglob("*") if x.is_file() and not x.name.startswith(LOCK)
    ]
    here = bytes(folder)
    return {
        str(x.relative_to(folder)): x.read_bytes().replace(here, b"") for x in files
    }


def start_and_kill_second(words: list[str], folder) -> subprocess.Popen:
    """Start two processes, kill the second when it has finished a file, and return the first."""
    first, second = start_together([words] * 2)
    end = time.monotonic() + PATIENCE
    while not any((folder / FOLDER).rglob(f"*-00001-of-{CLIPS:05d}.json")):
        assert second.poll() is None, second.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
    second.kill()
    second.communicate()
    return first


@pytest.mark.slow
def test_two_processes_that_were_killed_write_the_files_of_one(scenes, tmp_path):
    words = words_of(scenes)
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    two = [*words, "--out", str(tmp_path / "two")]
    first = start_and_kill_second(two, tmp_path / "two")
    first.kill()
    first.communicate()
    assert not (tmp_path / "two" / "index.json").exists()
    codes, outputs = together([two] * 2)
    assert codes == [0, 0], outputs
    one = files_of(tmp_path / "one")
    assert len([name for name in one if ".array_record-" in name]) == 2 * CLIPS
    assert files_of(tmp_path / "two") == one
    deep = open_dataset(tmp_path / "two").clips
    assert all(clip["depth"] == [0] for clip in deep)


@pytest.mark.long  # jax notices it after a minute or more
def test_the_first_says_that_the_second_was_killed(scenes, tmp_path):
    words = [*words_of(scenes), "--out", str(tmp_path / "two")]
    first = start_and_kill_second(words, tmp_path / "two")
    output = first.communicate(timeout=PATIENCE)[0]
    # The same command resumes; while it leaves, jax may end it first.
    assert first.returncode in (STOPPED_EXIT_CODE, -signal.SIGABRT)
    assert "full4d: process: another one: found" in output
    assert "start all again: the same commands resume" in output
