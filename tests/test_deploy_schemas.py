"""Launch files pass what reads them: compilers of flags, parsers of options, published schemas.

Programs that are not on the PATH are skipped; `.ci/run` installs shellcheck and hadolint, and
leaves gcloud and sbatch (of a SLURM client, which needs no cluster) to the machine. FULL4D_CRDS
names folders with the published definitions of JobSet and Kueue, `config/components/crd/bases` of
their repositories.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launched import DEPLOY, Cloud, jobset, pod_of, run_container

from full4d_jax.training.loop import STOPPED

MANIFESTS = ["jobset.yaml", "kueue.yaml"]


def program(name: str):
    """A mark that skips a test where a program is missing."""
    reason = f"{name} is not on the PATH"
    return pytest.mark.skipif(shutil.which(name) is None, reason=reason)


@program("shellcheck")
@pytest.mark.parametrize("name", ["tpu_vm.sh", "xpk.sh", "train.sbatch"])
def test_shellcheck_finds_nothing(name):
    done = subprocess.run(["shellcheck", DEPLOY / name], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


@program("hadolint")
def test_hadolint_finds_nothing():
    words = ["hadolint", DEPLOY / "Dockerfile"]
    done = subprocess.run(words, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


@program("gcloud")
def test_gcloud_knows_the_options(tmp_path):
    """It reads all of them before it looks for an account, which it is not shown."""
    cloud = Cloud(tmp_path, states="NONE ACTIVE")
    assert cloud.launch("tpu_vm.sh").returncode == 0
    settings = {
        "CLOUDSDK_CONFIG": str(tmp_path / "empty"),
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    calls = {tuple(call.words[:4]): call.words for call in cloud.called("gcloud")}
    assert len(calls) == 4
    for words in [*calls.values(), [*calls.popitem()[1], "--no-such-option"]]:
        done = subprocess.run(
            ["gcloud", *words], env=settings, check=False, capture_output=True, text=True
        )
        is_unknown = "--no-such-option" in words
        assert ("unrecognized arguments" if is_unknown else "active account") in done.stderr
        assert done.returncode == (2 if is_unknown else 1)


@program("sbatch")
def test_sbatch_knows_the_options(tmp_path):
    """It reads all of them before it asks a cluster, which need not be there."""
    wrong = (DEPLOY / "train.sbatch").read_text().replace("--gpus-per-node", "--gpus-a-node")
    (tmp_path / "train.sbatch").write_text(wrong)
    for folder in (DEPLOY, tmp_path):
        words = ["sbatch", "--test-only", folder / "train.sbatch"]
        errors = subprocess.run(words, check=False, capture_output=True, text=True).stderr
        assert ("unrecognized option" in errors) == (folder == tmp_path), errors
        assert "Invalid" not in errors


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
    if isinstance(written, dict) and isinstance(known, dict):
        pairs = [(written[name], known.get(name), f"{place}.{name}") for name in written]
    elif isinstance(written, list) and isinstance(known, list) and len(written) == len(known):
        pairs = [
            (*both, f"{place}[{i}]") for i, both in enumerate(zip(written, known, strict=True))
        ]
    else:
        return [] if written == known else [place]
    return [name for one, other, at in pairs for name in unknown_fields(one, other, at)]


def definition(kind: str, version: str) -> dict[str, Any]:
    """Return the schema of a kind, closed: what it does not name is an error."""
    folders = [Path(folder) for folder in os.environ["FULL4D_CRDS"].split(os.pathsep)]
    for file in (file for folder in folders for file in folder.glob("*.yaml")):
        published = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
        if published.get("spec", {}).get("names", {}).get("kind") == kind:
            versions = {one["name"]: one["schema"] for one in published["spec"]["versions"]}
            return closed(versions[version]["openAPIV3Schema"])
    raise LookupError(f"no {kind} in {folders}")


def closed(schema: Any) -> Any:
    """Return a schema of Kubernetes as one of JSON that takes no other properties."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


@pytest.mark.extra("jsonschema")
@pytest.mark.skipif("FULL4D_CRDS" not in os.environ, reason="set FULL4D_CRDS to published CRDs")
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_as_published(name):
    import jsonschema

    for manifest in yaml.safe_load_all((DEPLOY / name).read_text()):
        version = manifest["apiVersion"].split("/")[1]
        schema = definition(manifest["kind"], version)
        jsonschema.validate(manifest, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(manifest | {"spec": manifest["spec"] | {"nothing": 1}}, schema)


@program("xpk")
@pytest.mark.extra("kubeflow_trainer_api")
def test_xpk_makes_the_job_of_the_jobset(tmp_path):
    cloud = Cloud(tmp_path)
    xpk = tmp_path / "bin" / "xpk"
    xpk.unlink()
    xpk.symlink_to(shutil.which("xpk") or "")
    file = tmp_path / "job.yaml"
    dry_run = ["--dry-run", "--skip-validation", "--output-manifest-file", str(file)]
    done = cloud.launch("xpk.sh", *dry_run)
    assert done.returncode == 0, done.stdout
    manifest = yaml.safe_load(file.read_text())
    assert_jobset(manifest)
    job, pod = pod_of(manifest)
    ours, our_pod = pod_of(jobset())
    for name in ("parallelism", "completions", "backoffLimit"):
        assert job[name] == ours[name]
    for name in ("nodeSelector", "terminationGracePeriodSeconds", "restartPolicy"):
        assert pod[name] == our_pod[name]
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] == 100
    # It starts again after these codes, and after no others.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    assert STOPPED in rule["onExitCodes"]["values"]
    assert 2 not in rule["onExitCodes"]["values"]
    (container,), (our_container,) = pod["containers"], our_pod["containers"]
    assert run_container(cloud, container).wait(60) == 0
    by_hand = [call._replace(program="") for call in cloud.called("full4d")]
    cloud.calls.unlink()
    assert run_container(cloud, our_container).wait(60) == 0
    assert by_hand == [call._replace(program="") for call in cloud.called("full4d")]


@pytest.mark.extra("libtpu")
def test_the_compiler_for_tpu_knows_the_flags():
    (container,) = pod_of(jobset())[1]["containers"]
    flags = {one["name"]: one["value"] for one in container["env"]}["LIBTPU_INIT_ARGS"]
    inspect = ["inspect", "--config", "debug", "--topology", "v5e:2x2", "--mesh.data", "4"]
    inspect += ["--training.batch", "4"]
    for more in ("", " --xla_tpu_no_such_flag=true"):
        environment = os.environ | {"LIBTPU_INIT_ARGS": flags + more}
        words = [sys.executable, "-m", "full4d_jax.cli", *inspect]
        done = subprocess.run(words, env=environment, check=False, capture_output=True)
        assert (done.returncode == 0) == (not more), done.stderr.decode()[-2000:]
