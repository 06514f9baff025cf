"""Launch files hold commands that exist, in scripts and manifests that parse."""

import re
import shlex
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
import yaml

from full4d_jax.cli import read_options
from full4d_jax.commands.train import train
from full4d_jax.config import MeshConfig, check_config
from full4d_jax.training.loop import STOPPED
from input_pipeline.addresses import address_of

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SCRIPTS = ["tpu_vm.sh", "train.sbatch"]


def commands(text: str) -> list[list[str]]:
    """The words behind every `full4d train` of a script."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r'full4d"? (train --.*?)(?:"\n| \|\||\n)', joined)
    return [shlex.split(words) for words in found]


def jobset():
    return yaml.safe_load((DEPLOY / "jobset.yaml").read_text())


def trained(words: list[str]):
    """The config that a command trains; fails where there is no such option."""
    bound = read_options(train, "full4d train", words)
    assert isinstance(bound, partial)
    config = bound.keywords["config"]
    check_config(config)
    return bound.keywords, config


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse(name):
    assert subprocess.run(["bash", "-n", DEPLOY / name], check=False).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", DEPLOY / name], check=False).returncode == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_commands_of_scripts_train(name):
    (words,) = commands((DEPLOY / name).read_text())
    options, config = trained(words[1:])
    assert options["several"].distributed
    assert config.name == "wan22_5b"
    if name == "train.sbatch":
        text = (DEPLOY / name).read_text()
        nodes, gpus = (
            int(re.findall(rf"^#SBATCH --{what}=(\d+)", text, re.MULTILINE)[0])
            for what in ("nodes", "gpus-per-node")
        )
        mesh = config.mesh
        assert nodes * gpus % (mesh.fsdp * mesh.view * mesh.time * mesh.tensor) == 0
        assert config.training.batch % (nodes * gpus // (mesh.view * mesh.time * mesh.tensor)) == 0


def test_a_training_that_saved_before_its_end_is_put_back_into_the_queue(tmp_path):
    """With a command in the place of srun that ends as such a training does."""
    script = (DEPLOY / "train.sbatch").read_text()
    for name, body in {"srun": f"exit {STOPPED}", "scontrol": "echo $@ > asked"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = tmp_path / "environment" / "bin"
    environment.mkdir(parents=True)
    (environment / "full4d").write_text("#!/bin/sh\n")
    (environment / "full4d").chmod(0o755)
    settings = {"ENVIRONMENT": str(environment.parent), "SLURM_JOB_ID": "7"}
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=settings | path, check=False)
    assert done.returncode == STOPPED
    assert (tmp_path / "asked").read_text() == "requeue 7\n"


def test_the_jobset_trains_on_as_many_chips_as_its_slice_has():
    manifest = jobset()
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    options, config = trained(container["args"][1:])
    assert options["several"].distributed
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = 1
    for side in topology.split("x"):
        chips *= int(side)
    assert job["parallelism"] == job["completions"]
    assert job["parallelism"] * container["resources"]["limits"]["google.com/tpu"] == chips
    mesh: MeshConfig = config.mesh
    taken = mesh.fsdp * mesh.view * mesh.time * mesh.tensor
    assert chips % taken == 0
    assert config.training.batch % (chips // (mesh.view * mesh.time * mesh.tensor)) == 0
    files = [options["init"], options["out"], config.codec_weights, *config.data.records]
    assert all(address_of(file).startswith("gs://BUCKET/") for file in files)


def test_the_image_installs_an_extra_that_exists():
    text = (DEPLOY / "Dockerfile").read_text()
    pyproject = (DEPLOY.parent / "pyproject.toml").read_text()
    (extra,) = re.findall(r"^ARG EXTRA=(\w+)", text, re.MULTILINE)
    for name in {extra, "tpu"}:
        assert re.search(rf"^{name} = \[", pyproject, re.MULTILINE), name
    assert "constraints.txt" in text
