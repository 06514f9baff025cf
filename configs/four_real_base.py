"""The base of configs/four_real.py: a small model of fixed-view and freeze-time videos.

full4d train --config four_real_base
"""

import dataclasses
from pathlib import Path

from full4d_jax.config import Fused, Residual, load_config

FOUR_REAL = load_config(Path(__file__).with_name("four_real.py"))

config = dataclasses.replace(
    FOUR_REAL,
    name="four_real_base",
    model=dataclasses.replace(
        FOUR_REAL.model, attention=Fused(), parametrisation=Residual()
    ),
    data=dataclasses.replace(FOUR_REAL.data, lines=True, pseudo=0.5),
    flow=dataclasses.replace(FOUR_REAL.flow, mean_share=0.6),
    optimizer=dataclasses.replace(FOUR_REAL.optimizer, decay_share=0.5),
    training=dataclasses.replace(FOUR_REAL.training, batch=2, steps=2400),
)
