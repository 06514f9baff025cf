"""XLA splits long sums by the number of cores, and `NPROC` stands in for it."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
import jax, numpy as np
numbers = np.random.default_rng(0).normal(size=(700, 900)).astype(np.float32)
print(np.asarray(jax.jit(lambda x: x.sum(0))(numbers)).tobytes().hex())
"""


def long_sums(cores: list[int], **more: str) -> str:
    """Return the bits of 900 sums that a process on these cores finds."""
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    environment |= {"JAX_ENABLE_COMPILATION_CACHE": "false", **more}
    command = [sys.executable, "-c", PROGRAM, ",".join(map(str, cores))]
    return subprocess.check_output(command, env=environment, text=True)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_nproc_gives_the_sums_of_another_number_of_cores():
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("one core alone")
    one, two = long_sums(cores[:1]), long_sums(cores)
    assert long_sums(cores[:1], NPROC="2") == two
    assert long_sums(cores, NPROC="1") == one
