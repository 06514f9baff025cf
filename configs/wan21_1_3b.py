"""The smallest Wan, Wan2.1-T2V-1.3B, with multi-view attention, cameras and projection.

Weights (Apache-2.0) from the repository Wan-AI/Wan2.1-T2V-1.3B or its -Diffusers sister:
   full4d convert wan --config wan21_1_3b --from Wan2.1-T2V-1.3B --to wan21_1_3b.safetensors
   full4d train --config wan21_1_3b --init wan21_1_3b.safetensors

1,418,996,800 parameters of Wan's and 71,611,392 of ours: 70,824,960 in the projectors,
783,360 in the linears of the cameras, 3,072 in the embedding of the mask.

A token is 16 pixels wide where it is 32 with Wan 2.2, so the pictures are smaller here (6 views of
81 frames at 16 a second, 448 tokens a latent frame). Nobody has trained this preset with this
program yet: the learning rates are a first guess.
"""

from dataclasses import replace

from full4d_jax.config.wan import WAN

config = replace(
    WAN,
    name="wan21_1_3b",
    model=replace(
        WAN.model,
        codec="wan21",
        codec_stride=8,
        width=1536,
        layers=30,
        heads=12,
        ffn=8960,
    ),
    data=replace(WAN.data, height=256, width=448),
    flow=replace(WAN.flow, shift=3.0),
    sampler=replace(WAN.sampler, shift=3.0),
)
