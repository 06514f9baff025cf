"""Train the multi-view transformer for a few jitted steps, sharded over all devices.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/train_sharded.py
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from full4d_jax.config import MeshConfig, load_config
from full4d_jax.generation.batch import procedural_batch
from full4d_jax.models.sharding import make_mesh, put_batch, tree_shardings
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step


def main(steps: int = 3) -> list[float]:
    """Take some steps on procedural scenes; return their losses."""
    # Two devices or more share the views of each clip; the others share the clips.
    views = 2 if jax.device_count() % 2 == 0 else 1
    config = replace(load_config("debug"), mesh=MeshConfig(view=views))
    mesh = make_mesh(config.mesh)
    print(f"devices: {dict(mesh.shape)}")

    # The state is made where it stays: no device ever holds more than its own part.
    shapes = jax.eval_shape(lambda: init_state(config, jax.random.key(config.seed)))
    shardings = tree_shardings(mesh, shapes, config.model.width)
    make_state = jax.jit(lambda key: init_state(config, key), out_shardings=shardings)
    make_batch = jax.jit(lambda indices: procedural_batch(indices, config.data))
    step = jax.jit(train_step(config), donate_argnums=0)

    losses = []
    clips = mesh.shape["data"]  # of a step: one for each group of devices
    with jax.set_mesh(mesh):
        state = make_state(jax.random.key(config.seed))
        for i in range(steps):
            indices = jnp.arange(clips * i, clips * (i + 1))
            batch = put_batch(mesh, jax.device_get(make_batch(indices)))
            state, metrics = step(state, batch)
            losses.append(float(metrics["loss"]))
            print(f"step {i + 1}: loss {losses[-1]:.4f}")
    return losses


if __name__ == "__main__":
    main()
