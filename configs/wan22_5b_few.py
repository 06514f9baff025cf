"""Four steps of Wan2.2-TI2V-5B instead of 50: adapters that follow a trained `wan22_5b`.

full4d train --config wan22_5b_few --init runs/wan22_5b/prior.safetensors \
  --codec_weights vae.safetensors --data.records sets/latents
full4d sample in.mp4 --config wan22_5b_few --checkpoint runs/wan22_5b_few/prior.safetensors \
  --codec_weights vae.safetensors
full4d inspect --config wan22_5b_few --topology v5p:4x4x8       (docs/pods.md)

Phased consistency distillation (`full4d_jax/training/few_steps.py`). Trained are 80,609,280 numbers
of rank 32; teacher and student share all others. Nobody has trained this preset with this program
yet: rank, batch and learning rate are first guesses.
"""

from dataclasses import replace

from full4d_jax.config.presets import load_config

BASE = load_config("wan22_5b")

config = replace(
    BASE,
    name="wan22_5b_few",
    model=replace(BASE.model, lora_rank=32),
    data=replace(BASE.data, drop_projection=0.0),
    flow=replace(BASE.flow, segments=4),
    optimizer=replace(BASE.optimizer, trainable="adapters", adam_learning_rate=1e-4),
    training=replace(BASE.training, steps=4_000),
    sampler=replace(BASE.sampler, steps=4),
)
