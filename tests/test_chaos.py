"""Jobs under random kills and on full disks: the same files in the end.

Kills of trainings are in full4d_jax/training/checkpoints/test_kill.py.
"""

import contextlib
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from small_files import write_small_files

from full4d_jax.cli import main

ENVIRONMENT = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "PYTHONUNBUFFERED": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
COMMAND = [sys.executable, "-m", "full4d_jax.cli"]
PAGE = 4096
OTHERS = {".lock", "report.json"}  # files that say when and how fast
KILLS = {"run": 4, "import": 3, "encode": 3}
ASKED_KILLS = int(os.environ.get("FULL4D_KILLS", "0"))  # of each job, in place of those


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A preset, weights, a video with its depth, and a capture of two films."""
    folder = tmp_path_factory.mktemp("given")
    write_small_files(folder, columns=160, frames=24)
    return folder


def words(job: str, given: Path, out: Path) -> list:
    """The command of a job."""
    command = COMMAND
    if job == "import":
        capture = [given / "capture", "--out", out, "--frames", "4"]
        return [*command, "data", "import", *capture]
    preset = ["--config", given / "small.py"]
    if job == "encode":
        dataset = ["--dataset", given / "data", "--out", out, "--shards", "3"]
        return [*command, "data", "encode", *preset, *dataset]
    source = [given / "in.mp4", *preset, "--out", out, "--depth", given / "depth.npy"]
    source += ["--checkpoint", given / "prior.safetensors"]
    return [*command, job, *source, "--size", "32", "--orbit_seconds", "0.2"]


def finish(command: list) -> str:
    options: dict = {"capture_output": True, "text": True, "timeout": 3000}
    done = subprocess.run(command, env=ENVIRONMENT, check=False, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def begin(job: str, given: Path) -> None:
    """Write the files that a job needs."""
    if job == "encode" and not (given / "data").exists():
        size = "--scenes 6 --views 3 --frames 2 --height 32 --width 32"
        finish([*COMMAND, "data", "procedural", "--out", given / "data", *size.split()])


def content(out: Path) -> dict[str, bytes | dict[str, bytes]]:
    """Everything in a folder but how long it took: arrays, else bytes."""
    found: dict[str, bytes | dict[str, bytes]] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".npz":
            arrays = dict(np.load(path))
            assert arrays.pop("seconds", 1.0) > 0  # of a stage
            found[name] = {key: value.tobytes() for key, value in arrays.items()}
        elif path.is_file() and not OTHERS & {*path.relative_to(out).parts}:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def undisturbed(given, tmp_path_factory) -> Callable[[str], tuple[dict, int]]:
    """Results of an undisturbed job, and the number of lines that it prints."""

    @cache
    def found(job: str) -> tuple[dict, int]:
        out = tmp_path_factory.mktemp("whole") / "same"
        begin(job, given)
        lines = finish(words(job, given, out)).count("\n")
        return content(out), lines

    return found


@pytest.mark.parametrize(
    "job",
    [
        pytest.param("run", marks=pytest.mark.long),
        pytest.param("import", marks=pytest.mark.slow),
        pytest.param("encode", marks=pytest.mark.long),
    ],
)
def test_killed_jobs_end_like_others(job, given, undisturbed, tmp_path):
    """Kills come a random while after a random line, so at any machine's speed in any stage."""
    expected, lines = undisturbed(job)
    chance, kills, out = random.Random(job), 0, tmp_path / "same"
    begin(job, given)
    while kills < (ASKED_KILLS or KILLS[job]):
        command = words(job, given, out)
        with subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(lines)):
                process.stdout.readline()
            time.sleep(chance.choice([0.02, 0.2, 2]) * chance.random())
            process.send_signal(signal.SIGKILL)
        if process.returncode == -signal.SIGKILL:
            kills += 1
        else:  # it was quicker: once more from the start
            assert process.returncode == 0
        if process.returncode == 0 or (job == "import" and out.exists()):
            assert content(out) == expected
            shutil.rmtree(out)
            begin(job, given)
    finish(words(job, given, out))
    assert content(out) == expected


# Of Orbax's own threads and tasks, which the disk failed too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("job", ["import", pytest.param("run", marks=pytest.mark.long)])
def test_a_disk_that_is_full_at_every_stage(job, given, undisturbed, tmp_path, capsys):
    """Each try has more room than the last one, and goes on from what that one kept."""
    disk, out = tmp_path / "disk", tmp_path / "disk/same"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk")
    command = list(map(str, words(job, given, out)[3:]))
    refused, room, seen = 0, 0, set[str]()
    try:
        begin(job, given)
        while True:
            left_free(disk / "other", room)
            before = arrays(out)
            code, told = main(command), capsys.readouterr().err
            if code == 0:
                break
            assert code == 2
            last = told.rstrip().splitlines()[-1]
            assert last.startswith("full4d: output")
            assert "No space left on device" in last
            assert "Traceback" not in told
            kept = arrays(out)
            assert kept | before == kept
            refused, seen, room = refused + 1, seen | {*kept}, 3 * room + 3
        assert refused > 2
        assert job != "run" or {"source.npz", "depth.npz", "grid.npz"} <= seen
        assert content(out) == undisturbed(job)[0]
    finally:
        # This process holds the lock.
        subprocess.run(["umount", "--lazy", disk], check=True)
        gc.collect()  # what Orbax left complains here, not in a later test


def arrays(out: Path) -> dict:
    """Arrays of finished stages in a folder, which a later try may use."""
    return {name: x for name, x in content(out).items() if name.endswith(".npz")}


def left_free(other: Path, pages: int) -> None:
    """Fill a disk but for some pages."""
    other.unlink(missing_ok=True)
    with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
        while file.write(bytes(PAGE)):
            pass
    os.truncate(other, max(other.stat().st_size - pages * PAGE, 0))
