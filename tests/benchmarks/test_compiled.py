"""What the compiler for GPUs says of the renderer and of attention: bounds, and no spills."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from full4d_jax.session.extras import has

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def counted():
    """The benchmark's last line, of a process of its own, which has no compiler for TPUs."""
    if not (has("jax_plugins") and has("jax_plugins.xla_cuda12")):
        pytest.skip("needs jax-cuda12-plugin (the extra cuda)")
    command = [sys.executable, str(BENCHMARKS / "compiled.py")]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "most", "launches"), [("forward", 4e9, 100), ("gradient", 12e9, 150)]
)
def test_half_a_million_gaussians_move_few_gigabytes(counted, kind, most, launches):
    key = f"h100_render_{kind}"
    assert 1e9 < counted[f"{key}_bytes"] <= most
    assert 3 < counted[f"{key}_launches"] <= launches
    assert not counted[f"{key}_rounded"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "arrays"), [("forward", 4), ("gradient", 17)])
def test_attention_copies_no_keys(counted, kind, arrays):
    """Forward reads q, k and v and writes o; the backward pass's kernels read five each, or six."""
    key = f"h100_attention_{kind}"
    size = 2 * 6 * 42 * 252 * 24 * 128
    assert counted[f"{key}_copies"] == 0
    assert arrays * size <= counted[f"{key}_bytes"] <= 1.2 * arrays * size
    assert counted[f"{key}_launches"] <= 4


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "arrays"), [("forward", 9), ("gradient", 33)])
def test_attention_by_cudnn_copies_no_keys(counted, kind, arrays):
    """Its part and ours read and write as much each; ours also reads the part to go on from."""
    key = f"h100_attention_by_cudnn_{kind}"
    size = 2 * 6 * 42 * 252 * 24 * 128
    assert counted[f"{key}_copies"] == 0
    assert arrays * size <= counted[f"{key}_bytes"] <= 1.1 * arrays * size
    ours = counted[f"h100_attention_{kind}_milliseconds"]
    assert 1.4 < ours / counted[f"{key}_milliseconds"] < 1.7


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "measured"), [("forward", 28.8), ("gradient", 94.6)])
def test_attention_takes_the_time_that_was_measured(counted, kind, measured):
    """On an H200, of the same peak (docs/pods.md#accelerators)."""
    key = f"h100_attention_{kind}_milliseconds"
    assert counted[key] == pytest.approx(measured, rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ptxas"), reason="needs ptxas, of the CUDA toolkit")
def test_pixels_stay_in_registers(counted):
    for kind in ("forward", "gradient"):
        key = f"h100_render_{kind}"
        assert counted[f"{key}_spilled"] == 0
        assert 32 < counted[f"{key}_registers"] <= 128  # 16 warps of a multiprocessor's 65,536
        assert counted[f"{key}_warp_instructions"] > 1e9
