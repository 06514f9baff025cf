"""Train with a loss and a parametrisation of your own: the network says the data, judged by Huber.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/own_loss.py
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import optax
from train_sharded import train

from full4d_jax import flow, load_config
from full4d_jax.config.model import Parametrisation
from full4d_jax.models.dit.parametrisations import Predicted, Velocity

LEAST_TAU = 0.05


class Data(Velocity):
    """The network's output is the data x, so that v = (z - x) / tau."""

    def predict(self, maps, inputs, noisy):
        """Return the velocity from what the network takes for the data."""
        data = self.refined(maps, inputs)
        return Predicted((noisy.latents - data) / flow.bcast(noisy.tau, data))


@dataclass(frozen=True)
class AsData(Parametrisation):
    """What a preset holds of it."""

    module = Data


def huber(network, clips, keys):
    """Return a loss for each clip, at a point that its key draws."""
    data = clips.latents
    noise = jax.vmap(lambda key: jax.random.normal(key, data.shape[1:]))(keys)
    tau = jax.vmap(lambda key: jax.random.uniform(key, minval=LEAST_TAU))(keys)
    z = flow.interpolate(data, noise, tau)
    v = network(z, tau, clips.conditions).velocity
    return jnp.mean(optax.huber_loss(v, noise - data), (1, 2, 3, 4, 5))


def main(steps: int = 3) -> list[float]:
    """Take some steps with both; return their losses."""
    config = load_config("debug")
    model = replace(config.model, parametrisation=AsData())
    return train(replace(config, model=model), steps, loss=huber)


if __name__ == "__main__":
    main()
