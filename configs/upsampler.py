"""The upsampler in the package: the prior's small grid and the projection become full frames.

    full4d train configs/upsampler.py

Two stages on one busy core, 59 minutes: 5,000 steps, of which all after the first 30 % had LPIPS at
a weight of .4 on crops that were not shifted (they learned dots that please LPIPS alone); then

    full4d train configs/upsampler.py --init runs/upsampler/upsampler.safetensors --seed 1 \\
      --perceptual_from 0 --training.steps 1500 --optimizer.adam_learning_rate 0.0015 \\
      --optimizer.decay_share 0.85 --optimizer.warmup 20 --out runs/upsampler_2

with shifted crops at .15, as the default has it now. What it gains is printed by

    python benchmarks/cascade.py --first 64 --scenes 12 --angle 60

and stands in docs/cascade.md.
"""

from full4d_jax.config.upsampler import UpsamplerConfig

config = UpsamplerConfig()
