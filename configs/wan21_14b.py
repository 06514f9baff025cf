"""The largest Wan, Wan2.1-T2V-14B, with multi-view attention, cameras and projection.

Weights (Apache-2.0) from the repository Wan-AI/Wan2.1-T2V-14B or its -Diffusers sister; either
expert of Wan2.2-T2V-A14B has the same shapes:
   full4d convert wan --config wan21_14b --from Wan2.1-T2V-14B --to wan21_14b.safetensors
   full4d train --config wan21_14b --init wan21_14b.safetensors

14,288,491,584 parameters of Wan's and 1,052,272,640 of ours: 1,048,780,800 in the projectors,
3,481,600 in the linears of the cameras, 10,240 in the embedding of the mask.

The grid is that of configs/wan21_1_3b.py. Nobody has trained this preset with this program yet: the
learning rates are a first guess.
"""

from dataclasses import replace

from full4d_jax.config.wan import WAN

config = replace(
    WAN,
    name="wan21_14b",
    model=replace(
        WAN.model,
        codec="wan21",
        codec_stride=8,
        width=5120,
        layers=40,
        heads=40,
        ffn=13824,
    ),
    data=replace(WAN.data, height=256, width=448),
    flow=replace(WAN.flow, shift=3.0),
    sampler=replace(WAN.sampler, shift=3.0),
)
