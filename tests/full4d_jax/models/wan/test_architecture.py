"""Wan's `config.json`: every field that changes what the weights mean is compared."""

import dataclasses
import json

import pytest

from full4d_jax.config.wan import WAN
from full4d_jax.models.wan.layouts import (
    check_config_json,
    diffusers_config,
    original_config,
)
from full4d_jax.session.errors import InputError

MODEL = dataclasses.replace(WAN.model, width=24, layers=2, heads=2, ffn=40, text_width=10)
CONFIGS = {"diffusers": diffusers_config(MODEL), "original": original_config(MODEL)}


@pytest.mark.parametrize("layout", CONFIGS)
def test_every_field_of_the_config_beside_the_weights_is_compared(layout, tmp_path):
    about = tmp_path / "config.json"

    def check(fields) -> None:
        about.write_text(json.dumps(fields))
        check_config_json(MODEL, about)

    theirs = CONFIGS[layout] | {"_diffusers_version": "0.33.0"}
    check(theirs | ({"model_type": "ti2v"} if layout == "original" else {"image_dim": None}))
    for field in CONFIGS[layout].keys() - {"rope_max_seq_len"}:
        with pytest.raises(InputError, match=rf"{field} other, expected {field} "):
            check(theirs | {field: "other"})
