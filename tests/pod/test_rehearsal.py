"""The first day of a lab: everything in a bucket, from a capture to scores, against an emulator.

The commands are those of docs/pods.md, with options that keep them small, on machines that know
each other's files by addresses alone. Of several processes each runs the same program, and what
the first has written is copied into the bucket when it ends. Importing, encoding, training and
sampling are killed and go on: what they had made is not made again. With four processes so are
depth and lifting;
checks and videos, which leave nothing half done, are killed and begin anew. All that a day of four
processes makes is then, bit for bit, that of a day without kills.

Losses, grids and scenes are those of one process with as many devices. Those of two processes have
its bits, since a sum of two is the same in either order; gloo adds up four in another order than
XLA does in one process, so there tolerances are stated.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from buckets import EMULATORS
from documented import blocks
from documented_world import write_rig
from textured_room import make_room
from toy_codec import save_toy_codec
from two_processes import free_address

from full4d_jax.media.video_io import write_video
from full4d_jax.session.stages import MARKS
from input_pipeline.addresses import download, read_stored, stored_files, upload
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode_jpeg

pytestmark = [EMULATORS, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
Compared = tuple[str, tuple[int, ...], bytes]  # of an array
# Of the page's commands: a model that compiles quickly in the place of Wan's, which has its codec.
SIZE = "--data.views 3 --data.frames 5 --data.height 32 --data.width 32"
SIZE += " --data.projections 2"
MODEL = "--config debug --model.codec wan21 --model.codec_stride 8 --model.patch 1"
MODEL += f" --model.layers 1 --model.refiner 0 {SIZE}"
# Files that tell paths on the disk of one machine and how fast it was; the last has hashes of files
# with the seconds that a stage took; `evaluate` compares it, of grids with the same seconds.
OF_MACHINE = {"config.json", "report.json", "consistency.jsonl"}
SMALL = {
    "data import": "--size 48 --frames 5 --shards 4",
    "data depth": "--shards 4",
    "data encode": "--shards 2",
    "train": "--training.log_every 1 --training.checkpoint_every 2 --training.batch 4",
    "sample": "--sampler.steps 2",
    "lift": "--lift.steps 10 --lift.capacity 300 --sampler.steps 2",
    "render": "--size 32 --orbit_seconds 0.2",
}
SECONDS = 400  # to catch what hangs: the longest stage took 332 on a busy machine
STEPS = 16  # each second one is saved, which takes most of the time
VALIDATION = f"--data.held_out 0.5 --training.validate_every {STEPS // 2}"
# How far four processes may be from one, whose sums in float32 are rounded in another order. A
# colour between two levels of 255 becomes the other one: one of 46,080 did. A fit begins at that
# grid: its centres were up to 1.5e-4 elsewhere, of 1.1 from the origin (median), while each of its
# ten steps goes up to 2e-3 of their distance from the camera.
MOST_LEVELS = 1
MOST_OTHERS = 2e-4  # of the colours
MOST_APART = 5e-4  # in world units


class Machine:
    """A machine whose programs know each other and their files by addresses alone."""

    def __init__(self, folder: Path, bucket: str):
        self.folder = folder
        self.bucket = bucket
        self.started: list[subprocess.Popen] = []

    def start(
        self, words: str, devices: int = 1, machine: str = "one"
    ) -> subprocess.Popen:
        """Start `full4d` on a machine of that name, whose disk is its own."""
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "XDG_CACHE_HOME": str(self.folder / machine),
        }
        (self.folder / machine).mkdir(exist_ok=True)
        command = shlex.split(words.replace("BUCKET", self.bucket))
        process = subprocess.Popen(
            [sys.executable, "-m", "full4d_jax.cli", *command],
            cwd=self.folder / machine,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs, as after a time limit."""
        for process in self.started:
            if process.returncode is None:  # else its number may be another's by now
                kill_group(process)

    def run(self, words: str, **where) -> str:
        """Run `full4d` to its end."""
        process = self.start(words, **where)
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
        codes = [process.returncode for process in processes]
        assert codes == [0] * count, "\n".join(lines)
        return lines

    def has(self, machine: str, pattern: str) -> bool:
        """Return whether a file of such a name is on the disk of a machine."""
        return any((self.folder / machine).rglob(pattern))

    def stage(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of a stage that stands in a bucket, without its marks."""
        arrays = np.load(BytesIO(read_stored(f"{self.bucket}/{name}.npz")))
        return {key: x for key, x in arrays.items() if key not in MARKS}

    def marks(self, folder: str, pattern: str) -> dict[str, str]:
        """Return the store's marks, another one after each upload, of files below a folder."""
        stored = stored_files(f"{self.bucket}/{folder}")
        return {name: x.mark for name, x in stored.items() if re.search(pattern, name)}

    def content(self, folder: str) -> dict[str, bytes | dict[str, Compared]]:
        """Return the files of a folder in a bucket: arrays of stages, else bytes.

        Without how long it took, and without files with paths of one machine.
        """
        address = f"{self.bucket}/{folder}"
        names = [x for x in stored_files(address) if Path(x).name not in OF_MACHINE]
        whole = {name: read_stored(f"{address}/{name}") for name in names}
        return {
            name: _arrays(x) if name.endswith(".npz") else x
            for name, x in whole.items()
        }

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
        line = line.replace("--config wan22_5b", MODEL)
        lines[verb] = f"{line} {SMALL.get(verb, '')}"
    return lines


def undisturbed(words: str) -> str:
    """Return the command of the day `twin`, on which nothing is killed."""
    return re.sub(r"BUCKET/(sets|check|runs|out)\b", r"BUCKET/twin/\1", words)


def _arrays(file: bytes) -> dict[str, Compared]:
    """Return type, shape and bytes of all arrays of a stage but how long it took."""
    arrays = dict(np.load(BytesIO(file)))
    arrays.pop("seconds", None)
    return {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.items()}


def together(words: str, count: int) -> list[str]:
    """Return the command of each of several processes that run one together."""
    words += f" --coordinator {free_address()} --processes {count} --process"
    return [f"{words} {i}" for i in range(count)]


def kill(
    processes: list[subprocess.Popen], is_time: Callable[[], bool], seconds: float = 0.1
) -> None:
    """Kill processes, the first one last, as soon as it is time.

    They run for so many seconds between two looks and stand still while we look, so that however
    busy a machine is they get no further.
    """
    deadline = time.monotonic() + SECONDS
    while True:
        signal_groups(processes, signal.SIGSTOP)
        if is_time():
            break
        assert time.monotonic() < deadline
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, ended[0].communicate(timeout=SECONDS)[0]
        signal_groups(processes, signal.SIGCONT)
        time.sleep(seconds)
    for process in reversed(processes):
        kill_group(process)


def signal_groups(processes: list[subprocess.Popen], number: signal.Signals) -> None:
    """Send a signal to processes that run, with all that they started."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, number)


def kill_group(process: subprocess.Popen) -> None:
    """Kill a process with all that it started, which would keep its output open."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def bucket(storage, tmp_path) -> str:
    """An address of Google's, whose checkpoints several processes can write."""
    return f"gs://bucket/{tmp_path.name}"


@pytest.fixture
def lab(bucket, tmp_path):
    """Machines of which nothing runs on, however a test ends."""
    lab = Machine(tmp_path, bucket)
    yield lab
    lab.end()


THOROUGH = pytest.param(4, True, marks=pytest.mark.long)


@pytest.mark.parametrize(("count", "is_thorough"), [(2, False), THOROUGH])
def test_a_lab_needs_no_disk_of_its_own(lab, count, is_thorough):
    lines = documented()
    bring_inputs(lab)
    import_and_encode(lab, lines, is_thorough)
    train(lab, lines["train"], count, is_thorough)
    sample(lab, f"{lines['sample']} --mesh.fsdp {count}", count, is_thorough)
    lift(lab, f"{lines['lift']} --mesh.fsdp {count}", count, is_thorough)
    render_and_evaluate(lab, lines, is_thorough)


def bring_inputs(lab: Machine) -> None:
    """Bring a capture of two videos, another video and a codec into the bucket."""
    room = make_room(views=3, height=96, width=96, frames=10)
    pictures = np.array([[decode_jpeg(file) for file in view] for view in room.frames])
    for name, shown in {"a": pictures, "b": 255 - pictures}.items():
        write_rig(lab.folder / "rig" / name, room, shown)
    write_video(lab.folder / "in.mp4", np.repeat(pictures[0, :1], 15, 0), 12)
    save_toy_codec(lab.folder / "vae.safetensors")
    upload(lab.folder / "in.mp4", f"{lab.bucket}/in.mp4")
    upload(lab.folder / "vae.safetensors", f"{lab.bucket}/weights/vae.safetensors")
    rig = lab.folder / "rig"
    for file in rig.rglob("*.*"):
        upload(file, f"{lab.bucket}/captures/room/{file.relative_to(rig)}")


def import_and_encode(lab: Machine, lines: dict[str, str], is_thorough: bool) -> None:
    """Make latents of the capture; two commands are killed, if thorough all four."""

    def has_files(name: str, pattern: str = "") -> Callable[[], bool]:
        return lambda: bool(lab.marks(f"sets/{name}/shards", pattern))

    # Two machines have parts of it. One is killed when it has written one of its two files, before
    # the other begins: so it is certain what is missing when that ends.
    killed = lab.start(f"{lines['data import']} --shard 1/2", machine="import1")
    kill([killed], has_files("room", "-00001-of-00004"), seconds=0.01)
    printed = lab.run(f"{lines['data import']} --shard 0/2", machine="import0")
    assert "1 files of other parts are still missing" in printed
    go_on(lab, f"{lines['data import']} --shard 1/2", "sets/room")
    assert open_dataset(f"{lab.bucket}/sets/room").scene_ids == ["a", "a", "b", "b"]
    if is_thorough:
        checking = lab.start(lines["data check"], machine="check")
        kill([checking], lambda: lab.has("check", "clip-00000.png"))
    lab.run(lines["data check"], machine="two")
    assert "check/check.json" in stored_files(lab.bucket)
    if is_thorough:
        kill([lab.start(lines["data depth"])], has_files("deep"))
        go_on(lab, lines["data depth"], "sets/deep")
    else:
        lab.run(lines["data depth"], machine="two")
    kill([lab.start(lines["data encode"])], has_files("latents"))
    printed = go_on(lab, lines["data encode"], "sets/latents")
    assert "next: full4d train --config PRESET --data.records" in printed
    assert len(open_dataset(f"{lab.bucket}/sets/latents")) == 4
    if is_thorough:
        for verb in ("data import", "data check", "data depth", "data encode"):
            lab.run(undisturbed(lines[verb]), machine="twin")
        assert_as_undisturbed(lab, "sets")
        assert_as_undisturbed(lab, "check")


def go_on(lab: Machine, words: str, folder: str) -> str:
    """Go on with a data set on another machine; no file that is finished is made again."""
    there = stored_files(f"{lab.bucket}/{folder}")
    finished = {x: y.mark for x, y in there.items() if f"shards/{x}.json" in there}
    assert finished
    assert "index.json" not in there
    printed = lab.run(words, machine="two")
    marks = lab.marks(folder, "array_record")
    assert {name: marks[name] for name in finished} == finished
    assert len(marks) > 2 * len(finished)  # each with what is known of it
    return printed


def train(lab: Machine, words: str, count: int, is_thorough: bool) -> None:
    """Train in processes that are killed, and compare with one process that is not."""
    words += f" --mesh.data {count}"
    # What training begins from: a model that two steps from nothing made.
    begin = words.replace("--init BUCKET/weights/wan22_5b.safetensors", "")
    lab.run(f"{begin.replace('runs/mine', 'begin')} --training.steps 2", devices=count)
    begun = lab.folder / "begin.safetensors"
    download(f"{lab.bucket}/begin/prior.safetensors", begun)
    upload(begun, f"{lab.bucket}/weights/wan22_5b.safetensors")

    # Machines train and are killed, then they start again with empty disks.
    words += f" --training.steps {STEPS} {VALIDATION * is_thorough}"
    saved = "runs/mine/checkpoints/4/_CHECKPOINT_METADATA"
    processes = lab.start_all(words, count, "train")
    kill(processes, lambda: saved in stored_files(lab.bucket))
    printed = lab.run_all(words, count, "again")
    assert f"resuming {lab.bucket}/runs/mine at step" in printed[0]
    assert_first_uploads(printed)
    lab.run(words.replace("runs/mine", "runs/one"), devices=count, machine="three")
    one, several = lab.metrics("runs/one"), lab.metrics("runs/mine")
    assert one.keys() >= several.keys() >= {STEPS - 1, STEPS}
    for step, row in several.items():
        assert row["loss"] == pytest.approx(one[step]["loss"], rel=1e-6)
    held_out = {x: one[STEPS][x] for x in one[STEPS] if x.startswith("validation/")}
    assert bool(held_out) == is_thorough
    for name, x in held_out.items():  # small ones, of six digits behind the point
        assert several[STEPS][name] == pytest.approx(x, abs=1.1e-6)
    made = stored_files(f"{lab.bucket}/runs/mine").keys()
    assert made >= {"prior.safetensors", "prior.json", "sheet.png", "metrics.jsonl"}
    assert any(name.startswith("tensorboard/") for name in made)
    if is_thorough:
        lab.run_all(undisturbed(words), count, "twin")
        twin = lab.metrics("twin/runs/mine")
        assert all(row["loss"] == twin[step]["loss"] for step, row in several.items())
        weights = f"{lab.bucket}/runs/mine/prior.safetensors"
        of_twin = weights.replace("runs/mine", "twin/runs/mine")
        assert read_stored(weights) == read_stored(of_twin)


def sample(lab: Machine, words: str, count: int, is_thorough: bool) -> None:
    """Sample in processes that are killed before the grid is made, and go on behind the depth."""
    processes = lab.start_all(words, count, "sample")
    kill(processes, lambda: lab.has("sample0", "out/depth.npz"))
    assert not lab.has("sample0", "out/grid.npz")
    printed = lab.run_all(words, count, "sample")
    assert_first_uploads(printed)
    for line in ("source: kept from", "depth: kept from", "grid ..."):
        assert line in printed[0]
    if is_thorough:
        lab.run_all(undisturbed(words), count, "twin")
        assert_as_undisturbed(lab, "out")
    lab.run(words.replace("BUCKET/out", "BUCKET/one"), devices=count, machine="four")
    frames, of_one = (lab.stage(f"{x}/grid")["frames"] for x in ("out", "one"))
    if count == 2:
        np.testing.assert_array_equal(frames, of_one)
    np.testing.assert_allclose(frames.astype(int), of_one, rtol=0, atol=MOST_LEVELS)
    assert (frames != of_one).mean() <= MOST_OTHERS


def lift(lab: Machine, words: str, count: int, is_thorough: bool) -> None:
    """Fit a scene and ask the prior about it; if thorough, killed while the fit is under way."""
    if is_thorough:
        processes = lab.start_all(words, count, "lift")
        kill(processes, lambda: lab.has("lift0", ".scene.fit.npz"))
        assert "scene.npz" not in stored_files(f"{lab.bucket}/out")
    printed = lab.run_all(words, count, "lift")
    assert_first_uploads(printed)
    if is_thorough:
        # A fit under way stays on its disk.
        assert "fitting goes on after step" in printed[0]
        lab.run_all(undisturbed(words), count, "twin")
        assert_as_undisturbed(lab, "out")
    lab.run(words.replace("BUCKET/out", "BUCKET/one"), devices=count, machine="five")
    scene, of_one = (lab.stage(f"{folder}/scene") for folder in ("out", "one"))
    assert scene.keys() == of_one.keys()
    if count == 2:
        for name, x in scene.items():
            np.testing.assert_array_equal(x, of_one[name], name, strict=True)
    np.testing.assert_allclose(scene["means"], of_one["means"], rtol=0, atol=MOST_APART)


def render_and_evaluate(lab: Machine, lines: dict[str, str], is_thorough: bool) -> None:
    """Make videos and a page, and scores, of stages that stay; if thorough, both are killed."""
    stages = lab.marks("out", r"\.npz$")
    if is_thorough:
        rendering = lab.start(lines["render"], machine="render")
        kill([rendering], lambda: lab.has("render", "orbit.mp4"))
        scoring = lab.start(lines["evaluate"], machine="evaluate")
        kill([scoring], lambda: lab.has("evaluate", "scene.npz"))
        there = stored_files(f"{lab.bucket}/out").keys()
        assert not there & {"scene.html", "consistency.json"}
    for machine, verb in enumerate(("render", "evaluate")):
        lab.run(lines[verb], machine=f"show{machine}")
    made = stored_files(f"{lab.bucket}/out").keys()
    assert made >= {"grid.npz", "grid.mp4", "scene.npz", "scene.html", "orbit.mp4"}
    assert lab.marks("out", r"\.npz$") == stages
    if is_thorough:
        for verb in ("render", "evaluate"):
            lab.run(undisturbed(lines[verb]), machine="twin")
        assert_as_undisturbed(lab, "out")


def assert_first_uploads(printed: list[str]) -> None:
    """Fail unless the first of several processes uploads files, and no other one."""
    of_first = [i == 0 for i in range(len(printed))]
    assert ["files uploaded" in text for text in printed] == of_first


def assert_as_undisturbed(lab: Machine, folder: str) -> None:
    """Fail unless a folder in the bucket has, bit for bit, what the day `twin` has there."""
    disturbed = lab.content(folder)
    twin = lab.content(f"twin/{folder}")
    assert disturbed.keys() == twin.keys()
    assert [name for name in disturbed if disturbed[name] != twin[name]] == []
