"""`full4d train` refuses unusable input in one line, before it trains anything."""

import importlib.util

from refused import refusal


def test_a_bucket_that_no_library_reads(capsys, tmp_path):
    out = tmp_path / "out"
    words = ["train", "--config", "debug", "--training.checkpoints"]
    line = refusal(capsys, *words, "nowhere://bucket/run", "--out", out)
    assert (
        "training.checkpoints: nowhere://bucket/run: found nowhere://, expected" in line
    )
    line = refusal(capsys, *words, "s3://bucket/run", "--out", out)
    assert (
        "s3://bucket/run: found s3://, expected gs:// or a folder, which Orbax" in line
    )
    assert not out.exists()
    if importlib.util.find_spec("gcsfs") is None:
        line = refusal(capsys, *words, "gs://bucket/run", "--out", out)
        assert "install 'full4d-jax[buckets]'" in line
