"""4Real-Video around a large base: Wan2.2-TI2V-5B, frozen, as two streams that are synchronized.

Weights (Apache-2.0) from the repository Wan-AI/Wan2.2-TI2V-5B or its -Diffusers sister; then, as in
the paper, warped videos, and animated assets rendered along arcs with some of these:
   full4d inspect --config four_real_wan --topology v5p:2x2x1    (docs/pods.md: 28 GiB a device)
   full4d convert wan --config four_real_wan --from Wan2.2-TI2V-5B --to four_real_wan.safetensors
   full4d train --config four_real_wan --init four_real_wan.safetensors \
     --codec_weights vae.safetensors --data.videos VIDEOS --data.pseudo 1
   full4d data gltf ASSETS --orbit --clips 1000 --views 8 --frames 29 --height 288 --width 512 \
     --out sets/assets
   full4d train --config four_real_wan --init runs/four_real_wan/prior.safetensors \
     --codec_weights vae.safetensors --data.videos VIDEOS --data.pseudo 0.25 \
     --data.records sets/assets --training.steps 3000 --out runs/four_real_wan_2

Trained are 1,151,717,376 parameters of the synchronization and the two context embeddings; no bit
of Wan's 4,999,787,712 changes. 8 views of 29 frames at 288 x 512 are a grid of 8 x 8 latent frames,
of 144 tokens each.

This Wan was trained with its first latent frame given. Of a grid whose first row and column are
given, so is that of every row and of every column: both streams begin at a task that they know.
What they do not know, and the trained parameters have to mend, are columns as videos: there the
neighbours are latents of other views, not of the next four frames. Nobody has trained this preset
with this program yet: batch and learning rate are first guesses.
"""

from dataclasses import replace

from full4d_jax.config import MeshConfig, RealFrames, TwoStreams
from full4d_jax.config.wan import WAN

config = replace(
    WAN,
    name="four_real_wan",
    model=replace(
        WAN.model,
        codec="wan22",
        codec_stride=16,
        width=3072,
        layers=30,
        heads=24,
        ffn=14336,
        guide=RealFrames(),
        attention=TwoStreams(),
        cameras=(),
        camera_projector=False,
    ),
    data=replace(
        WAN.data,
        views=8,
        frames=29,
        height=288,
        width=512,
        fps=24.0,
        orbit=True,
        projections=0,
    ),
    flow=replace(WAN.flow, shift=5.0),
    optimizer=replace(
        WAN.optimizer, trainable="synchronization", adam_learning_rate=1e-4
    ),
    training=replace(WAN.training, batch=4, steps=20_000),
    sampler=replace(WAN.sampler, shift=5.0),
    mesh=MeshConfig(fsdp=4),
)
