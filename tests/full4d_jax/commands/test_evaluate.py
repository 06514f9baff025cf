"""`full4d evaluate` refuses unusable input in one line, before it scores anything."""

import re
from importlib.resources import files
from pathlib import Path

import jax.numpy as jnp
import pytest
from refused import refusal

from full4d_jax.models.weights import save_params
from full4d_jax.session.files import LOCK


def refused(capsys, *argv: object) -> str:
    return refusal(capsys, "evaluate", *argv)


@pytest.mark.parametrize(("option", "value"), [("--first", -1), ("--scenes", 0)])
def test_counts(capsys, tmp_path, option, value):
    assert f"option: {option}: found {value}" in refused(
        capsys, option, value, "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--checkpoint", "--depth_network"])
def test_weights(capsys, tmp_path, option):
    where = re.compile("(checkpoint|depth network): (.*): found")
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors\n" * 20)
    for path in (tmp_path / "none.safetensors", tmp_path, text):
        line = refused(capsys, option, path, "--out", tmp_path / "out")
        place = where.search(line)
        assert place is not None
        assert place[2] == str(path)
    other = tmp_path / "other.safetensors"
    save_params(other, {"kernel": jnp.ones((2, 3))}, {})
    assert str(other) in refused(capsys, option, other, "--out", tmp_path / "out")


def test_weights_of_the_other_network(capsys, tmp_path):
    shipped, out = files("full4d_jax") / "checkpoints", tmp_path / "out"
    prior, depth = shipped / "prior.safetensors", shipped / "depth.safetensors"
    assert f"checkpoint: {depth}, tensor" in refused(capsys, "--checkpoint", depth, "--out", out)
    assert str(prior) in refused(capsys, "--depth_network", prior, "--out", out)
    assert f"{prior}, model.width" in refused(capsys, "--model.width", 96, "--out", out)
    assert {path.name for path in out.iterdir()} <= {LOCK}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["out/a", "--out", "out/b"], "--out: found out/b, expected none, with out/a"),
        (["out/a", "--distributed"], "--distributed: found True, expected none, with out/a"),
    ],
)
def test_options_that_would_do_nothing(capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("out/a").mkdir(parents=True)
    Path("out/a/grid.npz").write_bytes(b"")
    assert message in refused(capsys, *options)


def test_output_folders(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below", "/proc/full4d"):
        assert f"output folder: {out}: found" in refused(capsys, "--out", out)
    assert file.read_text() == "mine"
