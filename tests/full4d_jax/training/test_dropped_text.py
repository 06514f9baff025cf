"""Dropping the text: what a share of the clips is trained with in its place."""

import jax
import jax.numpy as jnp
import numpy as np
from changed import changed
from random_weights import random_params

from full4d_jax.config import load_config
from full4d_jax.generation.batch import Batch
from full4d_jax.training.loss import Frozen, loss

DEBUG = load_config("configs/debug.py")
CONFIG = changed(
    DEBUG, model={"layers": 1, "refiner": 0, "projection": "none", "cameras": (), "text_width": 8}
)


def test_the_share_gets_the_other_text():
    rng = np.random.default_rng(0)
    text, other = rng.normal(size=(2, 3, 8)).astype(np.float32)
    params = random_params(CONFIG.model, 1.0)
    clips = 6
    eye = jnp.broadcast_to(jnp.eye(4), (clips, 2, 1, 4, 4))
    batch = Batch(
        frames=jnp.asarray(rng.uniform(-1, 1, (clips, 2, 1, 8, 8, 3)), jnp.float32),
        depth=jnp.ones((clips, 1, 8, 8)),
        intrinsics=eye[..., 0, :3, :3],
        world_to_camera=eye,
    )

    def total(share, text, negative):
        run = jax.jit(
            lambda p: loss(
                changed(CONFIG, data={"drop_text": share}),
                p,
                batch,
                jax.random.key(1),
                Frozen(text=text, negative=negative),
            )
        )
        return float(run(params)[0])

    with_text, with_other = total(0, text, None), total(0, other, None)
    assert abs(with_text - with_other) > 1e-3
    np.testing.assert_allclose(total(1, text, other), with_other, rtol=1e-6)
    some = total(0.5, text, other)
    assert min(abs(some - with_text), abs(some - with_other)) > 1e-4
