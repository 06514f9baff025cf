"""Train with a guide of your own: the projection's tokens are added to those of the latents.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/own_conditioning.py
"""

from dataclasses import dataclass, replace

from flax import nnx
from train_sharded import train

from full4d_jax import load_config
from full4d_jax.config import ModelConfig
from full4d_jax.config.model import Guide
from full4d_jax.models.dit import guides
from full4d_jax.models.dit.linear import linear


class Added(guides.Guide):
    """All views are generated, each token beside that of its filled projection."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        channels = config.strides.channels
        super().__init__(config, rngs, channels)
        self.projection = linear(channels * config.patch**2, config.width, rngs)

    def embed(self, latents, conditions):
        """Return the maps for the refiner, the tokens, and how they are laid out."""
        tokens = self.patches(latents, self.patch_embedding)
        tokens = tokens + self.patches(conditions.base, self.projection)
        return guides.Embedded(latents, tokens, self.grid_of(latents))


@dataclass(frozen=True)
class AddedProjection(Guide):
    """What a preset holds of it."""

    module = Added
    reads_filled = True


def main(steps: int = 3) -> list[float]:
    """Take some steps with it; return their losses."""
    config = load_config("debug")
    model = replace(config.model, guide=AddedProjection())
    return train(replace(config, model=model), steps)


if __name__ == "__main__":
    main()
