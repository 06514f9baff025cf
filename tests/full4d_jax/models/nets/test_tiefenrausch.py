"""Tiefenrausch in JAX: as onnxruntime computes it from the published integers, and trainable."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.models import weights
from full4d_jax.models.nets.tiefenrausch import load_tiefenrausch, log_disparity

SHIPPED = weights.SHIPPED / "tiefenrausch.safetensors"
GOLDENS = Path(__file__).parents[1] / "goldens"
MOST = 0.01  # mean difference of log disparity; 8 bits round by as much


def test_equals_the_golden_and_needs_its_clamps():
    params, compute = load_tiefenrausch(SHIPPED), jax.jit(log_disparity)
    maker = runpy.run_path(str(GOLDENS / "make_tiefenrausch.py"))
    drawn = jnp.asarray(2 * maker["drawn_picture"]() - 1, jnp.float32)[None]
    with np.load(GOLDENS / "tiefenrausch.npz") as file:
        golden = file["log_disparity"]
    step = maker["STEP"]
    computed = np.asarray(compute(params, drawn)[0])[0, ::step, ::step]
    assert np.abs(computed - golden).mean() < MOST
    assert golden.std() > 20 * MOST
    free = jax.tree.map_with_path(relu_or_free, params)
    unlimited = np.asarray(compute(free, drawn)[0])[0, ::step, ::step]
    assert np.abs(unlimited - golden).mean() > 10 * MOST


def relu_or_free(path, x):
    """Return limits that leave ReLUs, and nothing else of the clamps; other leaves as they are."""
    if path[-1].key != "range":
        return x
    return jnp.array([0.0 if x[0] == 0 else -1e9, 1e9])
