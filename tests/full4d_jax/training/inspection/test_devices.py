"""Devices that are not here compile what those that are run."""

import json
import os
import subprocess
import sys

import pytest

from full4d_jax.session.extras import has

HAS_PLUGIN = has("jax_plugins") and has("jax_plugins.xla_cuda12")
COMPILE = """
import sys
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from full4d_jax.training.inspection.devices import slice_devices
from full4d_jax.training.inspection.hlo import read_program
from full4d_jax.training.inspection.kernel_work import count_work
from gaussians import Camera, Gaussians, render

device = SingleDeviceSharding(slice_devices("h100:1", 1)[0])
def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=device)
scene = Gaussians(array(9000, 3), array(9000, 4), array(9000, 3), array(9000), array(9000, 1, 3))
def picture(scene, pose):
    lens = jnp.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]])
    return render(scene, Camera(pose, lens, 128, 96), max_intersections=40_000).rgb
gradient = jax.grad(lambda *args: (picture(*args) ** 2).sum())
for program in (picture, gradient):
    work = count_work(read_program(jax.jit(program).lower(scene, array(4, 4)).compile().as_text()))
    print(work.bytes, work.launches, *work.products)
"""


@pytest.mark.skipif(not HAS_PLUGIN, reason="needs jax-cuda12-plugin (the extra cuda)")
def test_the_renderer_and_its_gradient_compile_for_a_gpu():
    """With XLA's default flags, in a process of its own, which has no compiler for TPUs."""
    forward, backward = run("-c", COMPILE).split("\n")[:2]
    # Projection and compositing are sums: without matrix products, nothing is rounded to TF32.
    assert forward.split()[2:] == []
    assert backward.split()[2:] == []
    assert int(forward.split()[0]) < int(backward.split()[0]) < 4e9


@pytest.mark.skipif(not HAS_PLUGIN, reason="needs jax-cuda12-plugin (the extra cuda)")
def test_a_step_is_inspected_for_a_gpu(tmp_path):
    json_file = tmp_path / "plan.json"
    options = ["--config", "debug", "--topology", "h100:2", "--mesh.data", "2"]
    printed = run("-m", "full4d_jax.cli", "inspect", *options, "--json", str(json_file))
    assert "fits                yes" in printed
    inspected = json.loads(json_file.read_text())
    (step,) = inspected["programs"].values()
    work = step["work"]
    assert inspected["device_kind"] == "NVIDIA H100 80GB HBM3"
    assert step["collectives"]["all-reduce"]["count"] > 0
    assert work["products"]["bf16"] > 0
    products = work["products"]
    assert products["flash_gradient"] == 7 / 2 * products["flash_forward"] > 0
    assert step["seconds"]["memory"] == pytest.approx(work["bytes"] / 3.352e12)
    in_turn, overlapping = step["mfu"]
    assert 0 < in_turn < overlapping < 1
    ideal = inspected["flops"] / 2 / 989e12
    assert overlapping == pytest.approx(ideal / max(step["seconds"].values()))


def run(*words: str) -> str:
    """Run Python to its end; return what it prints."""
    settings = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": ""}
    environment = os.environ | settings | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
