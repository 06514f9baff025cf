"""The paper's backbone: Wan2.2-TI2V-5B with multi-view attention, cameras and projection.

Weights (Apache-2.0) from the repository Wan-AI/Wan2.2-TI2V-5B or its -Diffusers sister:
   full4d convert wan --config wan22_5b --from Wan2.2-TI2V-5B --to wan22_5b.safetensors
   full4d train --config wan22_5b --init wan22_5b.safetensors    (on 32, 64 or 128 devices)
   full4d inspect --config wan22_5b --topology v5p:4x4x8         (docs/pods.md)

4,999,787,712 parameters of Wan's and 284,780,544 of ours: 283,207,680 in the projectors,
1,566,720 in the linears of the cameras, 6,144 in the embedding of the mask.

Grid and steps follow the paper (6 views of 81 frames at 384 x 672, 63,504 tokens). As in the
checkpoint's own training, videos have 24 frames a second and the source's first latent frame is
given clean, at flow time 0. Nobody has trained this preset with this program yet: batch and
learning rates are first guesses.
"""

from dataclasses import replace

from full4d_jax.config import MeshConfig, ProjectionAsFrames
from full4d_jax.config.wan import WAN

config = replace(
    WAN,
    name="wan22_5b",
    model=replace(
        WAN.model,
        codec="wan22",
        codec_stride=16,
        width=3072,
        layers=30,
        heads=24,
        ffn=14336,
        guide=ProjectionAsFrames(first_frame=True),
    ),
    data=replace(WAN.data, height=384, width=672, fps=24.0),
    flow=replace(WAN.flow, shift=5.0),
    training=replace(WAN.training, batch=32),
    sampler=replace(WAN.sampler, shift=5.0),
    mesh=MeshConfig(fsdp=8, view=2, time=2),
)
