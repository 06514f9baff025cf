"""Launch files install, encode, train, start again and give back, without a cloud."""

import math
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from launched import DEPLOY, Cloud, jobset, pod_of, run_container

from full4d_jax.cli import read_options
from full4d_jax.commands.data import encode
from full4d_jax.commands.train import train
from full4d_jax.config import MeshConfig, check_config
from full4d_jax.training.training_loop import STOPPED_EXIT_CODE
from input_pipeline.addresses import address_of

UNUSABLE = 2  # exit code: it would end so again
COMMANDS = ["data encode", "train"]


@pytest.fixture
def cloud(tmp_path) -> Cloud:
    return Cloud(tmp_path)


def read(function, verb: str, words: list[str]):
    """The options of a command; fails where there is no such option."""
    bound = read_options(function, verb, words)
    assert isinstance(bound, partial)
    check_config(bound.keywords["config"])
    return bound.keywords


def trained(cloud: Cloud):
    """The options of the training that a launch file ran, on the data that it encoded before."""
    commands = [call.words for call in cloud.called("full4d")]
    for words, verb in zip(commands, COMMANDS, strict=True):
        assert " ".join(words).startswith(verb)
    encoded = read(encode, "full4d data encode", commands[0][2:])
    options = read(train, "full4d train", commands[1][1:])
    config = options["config"]
    assert options["several"].distributed
    assert encoded["several"].distributed
    assert config.name == encoded["config"].name == "wan22_5b"
    (records,) = config.data.records
    assert encoded["out"] == Path(records)
    assert encoded["config"].codec_weights == config.codec_weights
    return options


def assert_fits(config, devices: int) -> None:
    mesh: MeshConfig = config.mesh
    of_one_clip = mesh.view * mesh.time * mesh.tensor
    assert devices % (mesh.fsdp * of_one_clip) == 0
    assert config.training.batch % (devices // of_one_clip) == 0


def assert_in_bucket(options) -> None:
    config = options["config"]
    files = [options["init"], options["out"], config.codec_weights]
    files += config.data.records
    assert all(address_of(file).startswith("gs://BUCKET/") for file in files)


def test_a_slice_is_asked_for_and_trains_until_the_end(tmp_path):
    states = "NONE ACTIVE SUSPENDED NONE PROVISIONING ACTIVE"
    cloud = Cloud(tmp_path, f"{STOPPED_EXIT_CODE} 0", states)
    done = cloud.launch("tpu_vm.sh")
    assert done.returncode == 0, done.stderr
    asked = [call.words for call in cloud.called("gcloud")]
    verbs = [words[words.index("tpus") + 2] for words in asked]
    # Installed, encoded and trained, on all hosts.
    once = ["describe", "ssh", "ssh", "ssh"]
    first = ["describe", "create", *once]
    again = ["describe", "delete", "describe", "create", "describe", *once, "delete"]
    assert verbs == [*first, *again]
    assert "gcloud" not in (tmp_path / "full4d.log").read_text()
    last = cloud.calls.read_text().splitlines(True)[-4:]  # of one time
    cloud.calls.write_text("".join(last))
    options = trained(cloud)
    assert_fits(options["config"], 128)
    assert_in_bucket(options)


def test_what_is_unusable_gives_the_slice_back_at_once(tmp_path):
    cloud = Cloud(tmp_path, codes=str(UNUSABLE))
    assert cloud.launch("tpu_vm.sh").returncode == UNUSABLE
    assert cloud.called("gcloud")[-1].words[3] == "delete"
    assert len(cloud.called("full4d")) == len(COMMANDS)


def test_nodes_of_slurm_train(cloud):
    assert cloud.launch("train.sbatch").returncode == 0
    assert cloud.called("scontrol") == []
    text = (DEPLOY / "train.sbatch").read_text()
    nodes, gpus = (
        int(re.findall(rf"^#SBATCH --{what}=(\d+)", text, re.MULTILINE)[0])
        for what in ("nodes", "gpus-per-node")
    )
    assert_fits(trained(cloud)["config"], nodes * gpus)
    # Without them jax takes one GPU of each node.
    of_nodes = {call.flags["JAX_LOCAL_DEVICE_IDS"] for call in cloud.called("full4d")}
    assert of_nodes == {",".join(map(str, range(gpus)))}


@pytest.mark.parametrize("code", [STOPPED_EXIT_CODE, 128 + signal.SIGKILL, UNUSABLE])
def test_a_training_that_ends_before_its_end_is_put_back_into_the_queue(tmp_path, code):
    cloud = Cloud(tmp_path, codes=str(code))
    assert cloud.launch("train.sbatch").returncode == code
    asked = [call.words for call in cloud.called("scontrol")]
    assert asked == [["requeue", "7"]] * (code != UNUSABLE)


def test_the_jobset_trains_on_as_many_chips_as_its_slice_has(cloud):
    job, pod = pod_of(jobset())
    (container,) = pod["containers"]
    assert run_container(cloud, container).wait(60) == 0
    options = trained(cloud)
    sides = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    count = math.prod(map(int, sides))
    assert job["parallelism"] == job["completions"]
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert job["parallelism"] * chips == count
    assert_fits(options["config"], count)
    assert_in_bucket(options)


def test_a_preempted_pod_saves_and_an_unusable_option_ends_the_job(cloud):
    job, pod = pod_of(jobset())
    (container,) = pod["containers"]
    assert end_by_sigterm(cloud, container) == STOPPED_EXIT_CODE
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [UNUSABLE])
    assert rule["onExitCodes"]["containerName"] == container["name"]
    (rule,) = jobset()["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]


def end_by_sigterm(cloud: Cloud, container) -> int:
    """The exit code of a container in which a training saves when SIGTERM comes."""
    waiting = cloud.folder / "waiting"
    (cloud.folder / "bin" / "full4d").write_text(
        "#!/bin/bash\n"
        f"[ $1 = train ] || exit 0\ntrap 'exit {STOPPED_EXIT_CODE}' TERM\n"
        f"touch {waiting}\nwhile true; do sleep 0.1; done\n"
    )
    process = run_container(cloud, container)
    try:
        end = time.monotonic() + 60
        while not waiting.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        return process.wait(60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_xpk_gets_the_job_and_what_is_written_behind_the_script(cloud):
    assert cloud.launch("xpk.sh", "--dry-run").returncode == 0
    (asked,) = cloud.called("xpk")
    assert asked.words[-1] == "--dry-run"
    command = asked.words[asked.words.index("--command") + 1]
    assert cloud.run(["bash", "-c", command]).returncode == 0
    options = trained(cloud)
    assert_fits(options["config"], 128)
    assert_in_bucket(options)
