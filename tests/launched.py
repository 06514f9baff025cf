"""Launch files of `deploy/`, run with programs that write down how they were called.

They stand in the place of a cloud's and of `full4d`, which ends with the codes that a file lists.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SETTINGS = {
    "BUCKET": "gs://BUCKET",
    "PROJECT": "project",
    "ZONE": "us-east5-a",
    "SOURCE": "git+https://example.com/full4d",
    "CLUSTER": "cluster",
    "IMAGE": "IMAGE",
    "PAUSE": "0",
    "GRACE": "0",
    "SLURM_JOB_ID": "7",
}
FLAGS = ("LIBTPU_INIT_ARGS", "XLA_FLAGS", "JAX_LOCAL_DEVICE_IDS")
PROGRAM = f"""#!{sys.executable} -IS
import json, os, subprocess, sys
with open(os.environ["CALLS"], "a") as file:
    flags = {{name: os.environ.get(name, "") for name in {FLAGS}}}
    print(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], flags]), file=file)

def next_of(name):
    path = os.path.join(os.path.dirname(os.environ["CALLS"]), name)
    first, *rest = open(path).read().split()
    open(path, "w").write(" ".join(rest or [first]))
    return first
"""
BODIES = {
    "full4d": 'sys.exit(int(next_of("codes")) if sys.argv[1] == "train" else 0)',
    "gcloud": """
if "describe" in sys.argv:
    state = next_of("states")
    sys.exit(1 if state == "NONE" else print(state))
if "ssh" in sys.argv:
    sys.exit(subprocess.call(["bash", "-c", sys.argv[sys.argv.index("--command") + 1]]))
""",
    "srun": "sys.exit(subprocess.call(sys.argv[1:]))",
    "scontrol": "",
    "sudo": "",
    "pip": "",
    "pkill": 'sys.exit("--signal" in sys.argv)',  # what is asked to end has ended
    "python3": "",
    "python3.11": "",
    "xpk": "",
}


class Call(NamedTuple):
    """One call of a program, with the flags that it saw."""

    program: str
    words: list[str]
    flags: dict[str, str]


class Cloud:
    """A folder of programs in which launch files run.

    Args:
      folder: an empty one.
      codes: with which one training after the other ends; the last stays.
      states: of the slice, one for each question; the last stays.
    """

    def __init__(self, folder: Path, codes: str = "0", states: str = "ACTIVE"):
        self.folder = folder
        self.calls = folder / "calls"
        (folder / "codes").write_text(codes)
        (folder / "states").write_text(states)
        installed = folder / "full4d" / "bin"  # of tpu_vm.sh
        for place in (folder / "bin", installed):
            place.mkdir(parents=True)
            for name, body in BODIES.items():
                (place / name).write_text(PROGRAM + body)
                (place / name).chmod(0o755)
        self.environment = SETTINGS | {
            "CALLS": str(self.calls),
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "ENVIRONMENT": str(installed.parent),  # of train.sbatch
        }

    def run(self, command: list[str]) -> subprocess.CompletedProcess:
        """Run a command to its end."""
        place: dict = {"cwd": self.folder, "env": self.environment}
        return subprocess.run(
            command, check=False, capture_output=True, timeout=60, **place
        )

    def launch(self, name: str, *words: str) -> subprocess.CompletedProcess:
        """Run a script of `deploy/` to its end."""
        return self.run(["bash", str(DEPLOY / name), *words])

    def called(self, program: str) -> list[Call]:
        """Return the calls of a program, in order."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        calls = [Call(*json.loads(line)) for line in lines]
        return [call for call in calls if call.program == program]


def jobset() -> dict[str, Any]:
    """Return the manifest of deploy/jobset.yaml."""
    return yaml.safe_load((DEPLOY / "jobset.yaml").read_text())


def pod_of(manifest: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the only job of a JobSet and its pod."""
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    return job, job["template"]["spec"]


def run_container(cloud: Cloud, container: dict[str, Any]) -> subprocess.Popen:
    """Start what a container runs, in its environment."""
    environment = {one["name"]: one["value"] for one in container.get("env", [])}
    return subprocess.Popen(
        [*container["command"], *container.get("args", [])],
        cwd=cloud.folder,
        env=os.environ | cloud.environment | environment,
        start_new_session=True,
    )
