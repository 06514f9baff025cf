import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.models.flops import forward_flops, peak_flops, step_flops

CONFIGS = Path(__file__).parents[3] / "configs"
HAS_TPU_COMPILER = importlib.util.find_spec("libtpu") is not None
MODEL = "--model.width 256 --model.heads 4 --model.ffn 256 --model.layers 8"
CLIPS = "--data.views 3 --data.frames 9 --data.height 64 --data.width 64"
SMALL = [*MODEL.split(), *CLIPS.split(), "--training.batch", "2"]


def test_prints_parameters_work_and_bytes(capsys):
    preset = CONFIGS / "wan22_5b.py"
    assert main(["inspect", "--config", str(preset), "--devices", "128"]) == 0
    printed = capsys.readouterr().out
    assert "5,284,568,256 parameters" in printed
    assert "'data': 4, 'fsdp': 8, 'view': 2, 'time': 2" in printed
    assert "63,504 = 252 frames of 252" in printed
    assert f"{step_flops(load_config(preset)) / 1e15:.4g} PFLOP" in printed
    # Parameters and their average, and two moments of attention, projectors and cameras, in 32.
    trained = 4 * 30 * (3072 * 3072 + 3072) + 30 * (3072 * 3072 + 3072) + 30 * 17 * 3072
    expected = 4 * (2 * 5_284_568_256 + 2 * trained) / 32 / 2**30
    found = re.search(r"state on a device +([\d.]+) GiB", printed)
    assert found
    assert float(found[1]) == pytest.approx(expected, rel=0.02)


def test_prints_what_asking_the_prior_holds(capsys):
    preset, mesh = CONFIGS / "wan22_5b.py", ["--mesh.fsdp", "1", "--mesh.time", "4"]
    assert main(["inspect", "--config", str(preset), "--program", "sample", *mesh]) == 0
    printed = capsys.readouterr().out
    assert "6 views of 81 frames, mesh {'view': 2, 'time': 4}" in printed
    # Both in bfloat16: matrices in eight shards, the codec's 704.7 million parameters whole.
    sizes = {"parameters": 2 * 5_284_568_256 / 8, "codec": 2 * 704_688_668}
    for name, expected in sizes.items():
        found = re.search(rf"{name} +([\d.]+) GiB on a device", printed)
        assert found
        assert float(found[1]) == pytest.approx(expected / 2**30, rel=0.01)
    assert (
        f"{50 * forward_flops(load_config(preset), 6, 81) / 1e15:.4g} PFLOP" in printed
    )
    uneven = ["--program", "sample", "--mesh.fsdp", "1", "--mesh.time", "5"]
    assert main(["inspect", "--config", str(preset), *uneven]) == 2
    assert "mesh.view, mesh.time: found (2, 5)" in capsys.readouterr().err


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_compiles_a_small_model_for_tpu(tmp_path):
    mesh = [
        "--mesh.data",
        "2",
        "--mesh.view",
        "2",
        "--mesh.fsdp",
        "1",
        "--mesh.time",
        "1",
    ]
    clips = ["--data.projections", "4", "--json", str(tmp_path / "plan.json")]
    done = inspect("--topology", "v5p:2x2x1", *SMALL, *mesh, *clips, "--price", "4.2")
    plan = json.loads((tmp_path / "plan.json").read_text())
    peak = peak_flops(plan["device_kind"])
    assert peak is not None
    hours = plan["steps"] * plan["flops"] / (4 * peak * 0.4) / 3600
    assert (plan["hours"], plan["cost"]) == pytest.approx((hours, 4.2 * 4 * hours))
    assert plan["clips"] == "encoded"
    assert 0 < plan["bytes_per_device"] < plan["capacity"]
    (step,) = plan["programs"].values()
    assert step["collectives"]["all-to-all"]["count"] >= 12 * 8
    assert step["seconds"]["operations"] > 0
    assert re.search(r"compiling .* for 4 x TPU v5", done.stdout)
    assert "fits                yes" in done.stdout
    trades = re.search(r"all-to-all +(\d+) x", done.stdout)
    assert trades
    # q, k, v, output; forward, again, backward; eight layers
    assert int(trades[1]) >= 12 * 8


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_compiles_for_tpu_what_asks_the_prior(tmp_path):
    """The mesh takes all chips of several hosts, as `sample` does in several processes."""
    mesh = ["--mesh.view", "2", "--mesh.fsdp", "1", "--mesh.time", "2"]
    codec = ["--model.codec", "pixels", "--json", str(tmp_path / "plan.json")]
    asks = ["--program", "sample", *SMALL, *mesh, *codec]
    done = inspect("--topology", "v5e:4x4", *asks)
    plan = json.loads((tmp_path / "plan.json").read_text())
    programs = plan["programs"]
    assert {"all steps", "projection and codec", "decoding"} <= set(programs)
    for name, one in programs.items():
        assert f"compiling {name} for 16 x TPU v5" in done.stdout
        assert (
            0 < one["bytes_per_device"] <= plan["bytes_per_device"] < plan["capacity"]
        )
    # Of 16 chips each four make the same grid.
    peak = peak_flops(plan["device_kind"])
    assert peak is not None
    assert plan["seconds"] == pytest.approx(plan["flops"] / 4 / peak / 0.4)
    # q, k, v, output; eight layers
    assert programs["all steps"]["collectives"]["all-to-all"]["count"] >= 4 * 8 * 50
    assert "fits                yes" in done.stdout


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_compiles_for_tpu_what_data_annotates_with(tmp_path):
    options = [*SMALL, "--model.codec", "pixels", "--json", str(tmp_path / "plan.json")]
    done = inspect("--topology", "v5p:2x2x1", "--program", "encode", *options)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["programs"].keys() == {"pictures", "a projection"}
    assert plan["devices"] == 1
    for one in plan["programs"].values():
        assert (
            0 < one["bytes_per_device"] <= plan["bytes_per_device"] < plan["capacity"]
        )
        assert not one["collectives"]
    assert "3 views of 9 frames of 64x64 pixels, on each device" in done.stdout
    assert "fits                yes" in done.stdout


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_slices_are_cut_over_samples_on_tpu():
    # Which splits one of the axes of the chips' network.
    mesh = ["--mesh.time", "2", "--mesh.tensor", "2", "--mesh.fsdp", "1"]
    slices = ["--topology", "v5e:2x4", "--slices", "2"]
    slices += [*SMALL, "--model.layers", "2", *mesh]
    done = inspect(*slices, "--mesh.view", "2")
    assert "mesh {'data': 2, 'view': 2, 'time': 2, 'tensor': 2}" in done.stdout
    assert "on clips with encoded projections for 16 x TPU v5" in done.stdout
    # Two slices hold two groups of samples; one group, or three, would lie in both.
    refused = inspect(*slices, "--mesh.data", "1", "--mesh.view", "4", code=2)
    assert "a multiple of the 2 slices" in refused.stderr


def inspect(*arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    """In its own process: the compiler for TPU is chosen before jax starts."""
    command = [sys.executable, "-m", "full4d_jax.cli", "inspect"]
    command += ["--config", CONFIGS / "wan22_5b.py"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done
