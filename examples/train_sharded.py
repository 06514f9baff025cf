"""Train the multi-view transformer for a few jitted steps, sharded over all devices.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/train_sharded.py
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

import full4d_jax
from full4d_jax.config import Config, MeshConfig
from full4d_jax.generation.procedural import procedural_batch


def train(config: Config, steps: int, **own: Any) -> list[float]:
    """Take some steps on procedural scenes; return their losses.

    Args:
      config: the experiment.
      steps: how many.
      own: what `train_step` takes in place of its own: optimizer, loss, attend.
    """
    # Two devices or more share the views of each clip; the others share the clips.
    views = 2 if jax.device_count() % 2 == 0 else 1
    config = replace(config, mesh=MeshConfig(view=views))
    mesh = full4d_jax.make_mesh(config.mesh)
    print(f"devices: {dict(mesh.shape)}")

    # The state is made where it stays: no device ever holds more than its own part.
    state = full4d_jax.init_state(
        config, jax.random.key(config.seed), mesh, optimizer=own.get("optimizer")
    )
    make_batch = jax.jit(lambda indices: procedural_batch(indices, config.data))
    step = jax.jit(full4d_jax.train_step(config, **own), donate_argnums=0)

    losses = []
    clips = mesh.shape["data"]  # of a step: one for each group of devices
    with jax.set_mesh(mesh):
        for i in range(steps):
            indices = jnp.arange(clips * i, clips * (i + 1))
            batch = full4d_jax.put_batch(mesh, jax.device_get(make_batch(indices)))
            state, metrics = step(state, batch)
            losses.append(float(metrics["loss"]))
            print(f"step {i + 1}: loss {losses[-1]:.4f}")
    return losses


def main(steps: int = 3) -> list[float]:
    """Train with an optimizer of optax in place of the config's."""
    rule = optax.adamw(1e-3)
    return train(full4d_jax.load_config("debug"), steps, optimizer=rule)


if __name__ == "__main__":
    main()
