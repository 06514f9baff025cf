"""Attention and loss of one's own, from a training to the prior that it writes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from changed import changed

from full4d_jax.config import MeshConfig, load_config
from full4d_jax.generation.prior import open_prior
from full4d_jax.models.dit.attention.fused import attention_on_mesh
from full4d_jax.models.dit.attention.mask import Pattern
from full4d_jax.models.dit.sharding import make_mesh
from full4d_jax.models.dit.tokens import TokenGrid
from full4d_jax.session.errors import InputError
from full4d_jax.training.prior_training import train_prior

CONFIG = changed(
    load_config("debug"),
    model={"layers": 1, "refiner": 0, "remat": "attention"},
    training={"steps": 2, "checkpoint_every": 1},
)


def own_view(q, k, v, pattern):
    """Attend within views alone."""
    assert pattern.grid.views == q.shape[1]
    flat = (x.reshape(-1, x.shape[2] * x.shape[3], *x.shape[4:]) for x in (q, k, v))
    return jax.nn.dot_product_attention(*flat).reshape(q.shape)


def size_of_velocity(network, clips, keys):
    tau = jax.vmap(lambda key: jax.random.uniform(key, minval=0.1))(keys)
    v = network(clips.latents, tau, clips.conditions).velocity
    return (v**2).mean((1, 2, 3, 4, 5))


@pytest.mark.slow
def test_a_run_and_its_weights_name_the_attention(tmp_path):
    own = {"attend": own_view, "loss": size_of_velocity}
    train_prior(CONFIG, tmp_path, None, **own)
    weights = tmp_path / "prior.safetensors"
    with pytest.raises(InputError, match=r"own_attention: found own_view"):
        open_prior(CONFIG, weights)
    assert open_prior(CONFIG, weights, own_view).attend is own_view
    longer = replace(CONFIG, training=replace(CONFIG.training, steps=3))
    with pytest.raises(
        InputError, match=r"own_loss, own_attention: .*size_of_velocity"
    ):
        train_prior(longer, tmp_path, None)


def test_a_mesh_that_shards_queries_refuses_it():
    q = jnp.zeros((1, 16, 2, 8))
    pattern = Pattern(TokenGrid(4, 2, 2), False, "time_view", cross_half=False)
    with (
        jax.set_mesh(make_mesh(MeshConfig(data=1, view=4, time=2))),
        pytest.raises(
            InputError, match=r"mesh\.view, mesh\.time: .*attention of yours"
        ),
    ):
        attention_on_mesh(own_view, q, q, q, None, pattern)
