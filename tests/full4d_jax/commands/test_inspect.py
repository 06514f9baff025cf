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
from full4d_jax.training.dry_run.inspection import whole_run

CONFIGS = Path(__file__).parents[3] / "configs"
HAS_TPU_COMPILER = importlib.util.find_spec("libtpu") is not None
SMALL = [
    *("--model.width", "256", "--model.heads", "4", "--model.ffn", "256", "--model.layers", "8"),
    *("--data.views", "3", "--data.frames", "9", "--data.height", "64", "--data.width", "64"),
    *("--training.batch", "2"),
]
CHIPS = ["--topology", "v5e:2x2"]


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


def test_a_mesh_that_does_not_divide_is_refused(capsys):
    arguments = ["--devices", "128", "--mesh.view", "5"]
    assert main(["inspect", "--config", str(CONFIGS / "wan22_5b.py"), *arguments]) == 2
    assert "divides 128 devices" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["sample", "lift"])
def test_prints_what_asking_the_prior_holds(program, capsys):
    preset, mesh = CONFIGS / "wan22_5b.py", ["--mesh.fsdp", "1", "--mesh.time", "4"]
    assert main(["inspect", "--config", str(preset), "--program", program, *mesh]) == 0
    printed = capsys.readouterr().out
    assert "6 views of 81 frames, mesh {'view': 2, 'time': 4}" in printed
    # Both in bfloat16: matrices in eight shards, the codec's 704.7 million parameters whole.
    for name, expected in (("parameters", 2 * 5_284_568_256 / 8), ("codec", 2 * 704_688_668)):
        found = re.search(rf"{name} +([\d.]+) GiB on a device", printed)
        assert found
        assert float(found[1]) == pytest.approx(expected / 2**30, rel=0.01)
    calls = {"sample": 50, "lift": 4}[program]
    assert f"{calls * forward_flops(load_config(preset), 6, 81) / 1e15:.4g} PFLOP" in printed
    uneven = ["--program", program, "--mesh.fsdp", "1", "--mesh.time", "5"]
    assert main(["inspect", "--config", str(preset), *uneven]) == 2
    assert "mesh.view, mesh.time: found (2, 5)" in capsys.readouterr().err


def test_a_lift_that_does_not_ask_the_prior_is_refused(capsys):
    asked = ["--program", "lift", "--lift.distillation", "none"]
    assert main(["inspect", "--config", str(CONFIGS / "wan22_5b.py"), *asked]) == 2
    assert "lift.distillation: found 'none'" in capsys.readouterr().err


@pytest.mark.skipif(HAS_TPU_COMPILER, reason="libtpu is installed")
def test_without_the_compiler_says_how_to_install_it():
    done = inspect("--topology", "v5e:2x2")
    assert done.returncode == 2
    assert "pip install 'full4d-jax[tpu]'" in done.stderr


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
@pytest.mark.parametrize(
    ("projections", "topology"),
    [
        pytest.param(4, "v5p:2x2x1", id="encoded"),
        pytest.param(0, "v5e:2x2", id="pictures", marks=pytest.mark.long),
    ],
)
def test_compiles_a_small_model_for_tpu(projections, topology, tmp_path):
    mesh = ["--mesh.data", "2", "--mesh.view", "2", "--mesh.fsdp", "1", "--mesh.time", "1"]
    clips = ["--data.projections", str(projections), "--json", str(tmp_path / "plan.json")]
    done = inspect("--topology", topology, *SMALL, *mesh, *clips, "--price", "4.2")
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    peak = peak_flops(plan["device_kind"])
    assert peak is not None
    hours = plan["steps"] * plan["flops"] / (4 * peak * 0.4) / 3600
    assert (plan["hours"], plan["cost"]) == pytest.approx((hours, 4.2 * 4 * hours))
    assert plan["clips"] == ("encoded" if projections else "pictures")
    assert 0 < plan["bytes_per_device"] < plan["capacity"]
    (step,) = plan["programs"].values()
    assert step["collectives"]["all-to-all"]["count"] >= 12 * 8
    assert step["seconds"]["operations"] > 0
    assert re.search(r"compiling .* for 4 x TPU v5", done.stdout)
    assert "fits                yes" in done.stdout
    trades = re.search(r"all-to-all +(\d+) x", done.stdout)
    assert trades
    assert int(trades[1]) >= 12 * 8  # q, k, v, output; forward, again, backward; eight layers


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("wan22_5b", ["--program", "encode"], "found 'encode', expected step, or a --topology"),
        (
            "wan22_5b",
            ["--program", "depth", "--slices", "2", *CHIPS],
            "slices: found 1, expected none but with the program step",
        ),
        ("wan22_5b", ["--price", "4.2"], "price: found 4.2, expected none without a --topology"),
        ("wan22_5b", [*CHIPS, "--price", "nan"], "price: found nan, expected a number of at least"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(preset, options, message, capsys):
    assert main(["inspect", "--config", preset, *options]) == 2
    assert message in capsys.readouterr().err


def test_hours_and_cost_are_those_of_all_steps(capsys):
    spent = whole_run(steps=7200, seconds=2.5, chips=128, price=0.5)
    assert spent == {"steps": 7200, "hours": 5.0, "chip_hours": 640.0, "cost": 320.0}
    printed = capsys.readouterr().out
    assert "7,200 steps: 5.0 hours, 640 chip-hours, 320 at 0.5 each" in printed
    assert "cost" not in whole_run(steps=1, seconds=1.0, chips=1, price=0.0)


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
@pytest.mark.parametrize(
    ("program", "topology", "chips"), [("sample", "4x4", 16), ("lift", "2x2", 4)]
)
def test_compiles_for_tpu_what_asks_the_prior(program, topology, chips, tmp_path):
    """The mesh takes all chips of several hosts, as `sample` does in several processes."""
    mesh = ["--mesh.view", "2", "--mesh.fsdp", "1", "--mesh.time", "2"]
    codec = ["--model.codec", "pixels", "--json", str(tmp_path / "plan.json")]
    asks = ["--program", program, *SMALL, *mesh, *codec]
    done = inspect("--topology", f"v5e:{topology}", *asks)
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    programs = plan["programs"]
    assert {"all steps", "projection and codec", "decoding"} <= set(programs)
    for name, one in programs.items():
        assert f"compiling {name} for {chips} x TPU v5" in done.stdout
        assert 0 < one["bytes_per_device"] <= plan["bytes_per_device"] < plan["capacity"]
    # Of 16 chips each four make the same grid.
    peak = peak_flops(plan["device_kind"])
    assert peak is not None
    assert plan["seconds"] == pytest.approx(plan["flops"] / 4 / peak / 0.4)
    calls = {"sample": 50, "lift": 4}[program]
    # q, k, v, output; eight layers
    assert programs["all steps"]["collectives"]["all-to-all"]["count"] >= 4 * 8 * calls
    assert "fits                yes" in done.stdout


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
@pytest.mark.parametrize(
    ("program", "compiled"),
    [
        ("encode", {"pictures", "a projection"}),
        pytest.param("depth", {"a picture"}, marks=pytest.mark.long),  # minutes, for its products
    ],
)
def test_compiles_for_tpu_what_data_annotates_with(program, compiled, tmp_path):
    options = [*SMALL, "--model.codec", "pixels", "--json", str(tmp_path / "plan.json")]
    done = inspect("--topology", "v5p:2x2x1", "--program", program, *options)
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["programs"].keys() == compiled
    assert plan["devices"] == 1
    for one in plan["programs"].values():
        assert 0 < one["bytes_per_device"] <= plan["bytes_per_device"] < plan["capacity"]
        assert not one["collectives"]
    assert "3 views of 9 frames of 64x64 pixels, on each device" in done.stdout
    assert "fits                yes" in done.stdout


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_slices_are_cut_over_samples_on_tpu():
    # Which splits one of the axes of the chips' network.
    mesh = ["--mesh.time", "2", "--mesh.tensor", "2", "--mesh.fsdp", "1"]
    slices = ["--topology", "v5e:2x4", "--slices", "2", *SMALL, "--model.layers", "2", *mesh]
    done = inspect(*slices, "--mesh.view", "2")
    assert done.returncode == 0, done.stderr
    assert "mesh {'data': 2, 'view': 2, 'time': 2, 'tensor': 2}" in done.stdout
    assert "compiling the step on clips with encoded projections for 16 x TPU v5" in done.stdout
    # Two slices hold two groups of samples; one group, or three, would lie in both.
    refused = inspect(*slices, "--mesh.data", "1", "--mesh.view", "4")
    assert refused.returncode == 2
    assert "a multiple of the 2 slices" in refused.stderr


@pytest.mark.skipif(not HAS_TPU_COMPILER, reason="needs libtpu (the extra tpu)")
def test_an_unknown_tpu_slice_is_refused():
    done = inspect("--topology", "v5p:3x1")
    assert done.returncode == 2
    assert "v5p:3x1" in done.stderr


def inspect(*arguments: str) -> subprocess.CompletedProcess:
    """In its own process: the compiler for TPU is chosen before jax starts."""
    command = [sys.executable, "-m", "full4d_jax.cli", "inspect"]
    command += ["--config", CONFIGS / "wan22_5b.py"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)
