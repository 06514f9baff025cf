"""Captions: a text of its own for each clip, embedded with the latents, dropped in training.

A table stands for umT5, which `models/wan/test_text.py` compares with diffusers' pipeline.
"""

import json

import jax
import numpy as np
import pytest
from changed import changed
from toy_encoded import encoded_as, on, wan_config

from full4d_jax.config import Config, check_config
from full4d_jax.data import encode
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.wan.text import padded
from full4d_jax.session.errors import InputError
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.encoding import Frozen
from full4d_jax.training.loss import loss
from full4d_jax.training.state import init_state
from input_pipeline.datasets.dataset import open_dataset

WIDTH = 6
ROWS = {
    words: np.random.default_rng(len(words)).normal(
        size=(1 + len(words.split()), WIDTH)
    )
    for words in ("", "a man", "two dogs run")
}


def table(_folder):
    return lambda words: (ROWS[words].astype(np.float32), len(ROWS[words]))


@pytest.fixture(scope="module")
def config(raw) -> Config:
    return wan_config(raw.parent, WIDTH, projections=1, captions=True)


@pytest.fixture(scope="module")
def encoded(raw, config):
    """The data set with embedded captions: of its first scene from a file, of the other empty."""
    file = raw.parent / "captions.json"
    first = open_dataset(raw).scene_ids[0]
    file.write_text(json.dumps({first: "two dogs run", "elsewhere": "a man"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "prompt_encoder", table)
        return encoded_as("encoded", config, raw, raw.parent, file)


def test_records_keep_the_caption_and_its_embedding(encoded):
    first, second = open_dataset(encoded)
    assert (first.caption, second.caption) == ("two dogs run", "")
    for example in (first, second):
        np.testing.assert_allclose(example.text, ROWS[example.caption], rtol=1e-3)
    assert (
        "| clips with an embedded caption | 2 |" in (encoded / "README.md").read_text()
    )


@pytest.mark.slow
@pytest.mark.parametrize("projections", [1, 0], ids=["encoded", "cached latents"])
def test_each_clip_trains_with_its_own_text(config, encoded, projections):
    config = on(config, encoded, projections=projections)
    check_config(config)
    batch = next(training_batches(config, 0))
    assert batch.text is not None
    texts = [padded(x.text).astype(np.float32) for x in open_dataset(encoded)]
    found = [x.tobytes() for x in np.asarray(batch.text, np.float32)]
    assert sorted(found) == sorted(x.tobytes() for x in texts)
    state, key = init_state(config, jax.random.key(0)), jax.random.key(5)
    # The text layers begin as if there were no text.
    params = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape),
        state.params,
    )
    weights = None if projections else codec_weights(config)

    @jax.jit
    def losses(params, batch, weights):
        def of(batch, text=None):
            return loss(config, params, batch, key, Frozen(weights, text))[0]

        rest = batch._replace(text=None)
        turned = batch._replace(text=batch.text[::-1])
        return of(batch), of(turned), *(of(rest, text) for text in texts)

    own, turned, *alone = losses(params, batch, weights)
    assert abs(own - turned) > 1e-4
    assert abs(alone[0] - alone[1]) > 1e-4
    # The loss is a mean over clips, each of which sees its own text alone.
    np.testing.assert_allclose(own + turned, sum(alone), rtol=1e-5)


def test_what_does_not_fit_is_refused(config, raw, encoded):
    wide = changed(config, model={"text_width": 8})
    with pytest.raises(InputError, match="text of width 6, expected text of width 8"):
        training_batches(on(wide, encoded), 0)
    with pytest.raises(InputError, match="no embedded caption"):
        training_batches(on(config, raw, projections=0), 0)
