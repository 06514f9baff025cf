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

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SCRIPTS = ["tpu_vm.sh", "train.sbatch"]


def commands(text: str) -> list[list[str]]:
    """The words behind every `full4d train` of a script."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r'full4d"? (train .*?)(?:"\s*;|\n)', joined)
    return [shlex.split(words.split('";')[0]) for words in found]


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
    assert options["distributed"]
    assert config.name == "wan22_5b"
    assert config.training.batch % (config.mesh.fsdp * max(1, config.mesh.data)) == 0


def test_the_jobset_trains_on_as_many_chips_as_its_slice_has():
    manifest = jobset()
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    options, config = trained(container["args"][1:])
    assert options["distributed"]
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
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert all("/bucket" in x or not x.startswith("/") for x in container["args"])


def test_the_image_installs_an_extra_that_exists():
    text = (DEPLOY / "Dockerfile").read_text()
    pyproject = (DEPLOY.parent / "pyproject.toml").read_text()
    (extra,) = re.findall(r"^ARG EXTRA=(\w+)", text, re.MULTILINE)
    for name in {extra, "tpu"}:
        assert re.search(rf"^{name} = \[", pyproject, re.MULTILINE), name
    assert "constraints.txt" in text
