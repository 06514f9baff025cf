"""Launch files pass what reads them: linters, the types of JobSet, the compiler for TPUs.

Programs that are not on the PATH are skipped; `.ci/run` installs shellcheck and hadolint.
"""

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from launched import DEPLOY, jobset, pod_of


@pytest.mark.parametrize("name", ["tpu_vm.sh", "xpk.sh", "train.sbatch", "Dockerfile"])
def test_linters_find_nothing(name):
    linter = "hadolint" if name == "Dockerfile" else "shellcheck"
    if shutil.which(linter) is None:
        pytest.skip(f"{linter} is not on the PATH")
    words = [linter, DEPLOY / name]
    done = subprocess.run(words, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.extra("kubeflow_trainer_api")
def test_the_jobset_is_one():
    assert_jobset(jobset())
    wrong = jobset()
    pod_of(wrong)[1]["containers"][0]["arguments"] = []
    with pytest.raises(AssertionError, match="arguments"):
        assert_jobset(wrong)


def assert_jobset(manifest: dict[str, Any]) -> None:
    """Fail unless Kubernetes' types, with JobSet's, hold all that a manifest says."""
    from kubeflow_trainer_api.models import JobsetV1alpha2JobSet

    known = JobsetV1alpha2JobSet.from_dict(manifest)
    assert known is not None
    assert unknown_fields(manifest, known.to_dict()) == []


def unknown_fields(written: Any, known: Any, place: str = "") -> list[str]:
    """Return where something is said that a schema has no place for; it may add defaults."""
    are_lists = isinstance(written, list) and isinstance(known, list)
    if isinstance(written, dict) and isinstance(known, dict):
        pairs = [(x, known.get(name), f"{place}.{name}") for name, x in written.items()]
    elif are_lists and len(written) == len(known):
        both = enumerate(zip(written, known, strict=True))
        pairs = [(one, other, f"{place}[{i}]") for i, (one, other) in both]
    else:
        return [] if written == known else [place]
    return [name for one, other, at in pairs for name in unknown_fields(one, other, at)]


@pytest.mark.extra("libtpu")
def test_the_compiler_for_tpu_knows_the_flags():
    (container,) = pod_of(jobset())[1]["containers"]
    flags = {one["name"]: one["value"] for one in container["env"]}["LIBTPU_INIT_ARGS"]
    inspect = "inspect --config debug --topology v5e:2x2 --mesh.data 4"
    inspect += " --training.batch 4"
    for more in ("", " --xla_tpu_no_such_flag=true"):
        environment = os.environ | {"LIBTPU_INIT_ARGS": flags + more}
        words = [sys.executable, "-m", "full4d_jax.cli", *inspect.split()]
        done = subprocess.run(words, env=environment, check=False, capture_output=True)
        assert (done.returncode == 0) == (not more), done.stderr.decode()[-2000:]
