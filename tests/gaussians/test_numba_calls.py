"""Functions that Numba compiles, in programs of JAX."""

import os
import shutil
import subprocess
import sys
from threading import Thread

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numba.core import config

from gaussians import numba_calls
from gaussians.numba_calls import (
    ARGUMENTS_WORD,
    RESULTS_WORD,
    call_numba,
    floats,
    is_query,
)

NUMBERS = jnp.arange(3.0)


def _double(frame):
    if is_query(frame):
        return 0
    numbers = floats(frame, ARGUMENTS_WORD, 0)[0]
    doubled = floats(frame, RESULTS_WORD, 0)[0]
    for i in range(len(numbers)):
        doubled[i] = numbers[i] + numbers[i]
    return 0


def double(numbers):
    return call_numba(
        _double, [jax.ShapeDtypeStruct(numbers.shape, jnp.float32)], numbers
    )[0]


def test_it_works_where_no_folder_can_be_written_to(monkeypatch):
    # None of a file that is in no archive.
    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", "ZipCacheLocator")
    monkeypatch.setattr(_double, "__name__", "_double_unkept")
    np.testing.assert_array_equal(jax.jit(double)(NUMBERS), [0, 2, 4])


def test_threads_may_begin_at_once(monkeypatch):
    monkeypatch.setattr(_double, "__name__", "_double_by_threads")
    results = {}

    def work(length):
        results[length] = jax.jit(double)(jnp.ones(length))

    threads = [Thread(target=work, args=(length,)) for length in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for length in range(1, 5):
        np.testing.assert_array_equal(results[length], np.full(length, 2))


def test_programs_for_gpus_do_not_wait_for_numba(monkeypatch):
    monkeypatch.setattr(_double, "__name__", "_double_elsewhere")

    def program(numbers):
        return lax.platform_dependent(numbers, cpu=double, default=jnp.negative)

    traced = jax.jit(program).trace(NUMBERS)
    traced.lower(lowering_platforms=("cuda",))
    assert "gaussians_double_elsewhere" not in numba_calls.REGISTERED
    traced.lower(lowering_platforms=("cpu",))
    assert "gaussians_double_elsewhere" in numba_calls.REGISTERED


PACKAGE = """
import jax, jax.numpy as jnp
from package.factor import FACTOR
from package.numba_calls import ARGUMENTS_WORD, RESULTS_WORD, call_numba, floats, is_query

def _scale(frame):
    if is_query(frame):
        return 0
    floats(frame, RESULTS_WORD, 0)[0][0] = FACTOR * floats(frame, ARGUMENTS_WORD, 0)[0][0]
    return 0

def scale(number):
    return call_numba(_scale, [jax.ShapeDtypeStruct((), jnp.float32)], number)[0]

print(jax.jit(scale)(jnp.float32(1)))
"""


def test_a_constant_of_another_file_is_the_one_of_today(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(numba_calls.__file__, folder)
    (folder / "scale.py").write_text(PACKAGE)
    command = [sys.executable, "-m", "package.scale"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    for factor in ("2.0", "13.0"):
        (folder / "factor.py").write_text(f"FACTOR = {factor}\n")
        printed = subprocess.check_output(
            command, cwd=tmp_path, env=environment, text=True
        )
        assert printed.strip() == factor
    # Both were kept.
    assert len(list((tmp_path / "kept").rglob("*.nbi"))) == 2
