"""Wan2.2-TI2V-5B trained on clips with captions, as Wan itself was.

full4d data encode --config wan22_5b_captions --text_encoder Wan2.2-TI2V-5B-Diffusers \
  --captions captions.json --codec_weights vae.safetensors --dataset sets/deep --out sets/latents
full4d train --config wan22_5b_captions --init wan22_5b.safetensors \
  --codec_weights vae.safetensors --data.records sets/latents
full4d embed-text "a man walks" --model Wan2.2-TI2V-5B-Diffusers --out text.npz
full4d sample in.mp4 --config wan22_5b_captions --text text.npz --sampler.text_guidance 5 \
  --checkpoint runs/wan22_5b_captions/prior.safetensors --codec_weights vae.safetensors

Without `--captions` clips have those of the data set's own. A tenth of the clips trains without
one, so that `sampler.text_guidance` has something to lead away from. Nobody has trained this
preset with this program yet: that share is a first guess, as are batch and learning rate.
"""

from dataclasses import replace

from full4d_jax.config.presets import load_config

BASE = load_config("wan22_5b")

config = replace(
    BASE,
    name="wan22_5b_captions",
    data=replace(BASE.data, captions=True, drop_text=0.1),
)
