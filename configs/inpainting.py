"""The inpainting network in the package, which fills what a camera does not see.

Two trainings, 4.5 minutes on an H200 (with the loss of that time, see below) and 16 minutes on one
busy core:

    full4d train --config inpainting --data.photos PHOTOS --data.videos VIDEOS \\
      --perceptual 0.8 --training.steps 9000
    full4d train --config inpainting --data.photos PHOTOS --data.videos VIDEOS \\
      --data.filmed 0.5 --init runs/inpainting/inpainting.safetensors --out runs/inpainting_2 \\
      --seed 1 --perceptual 0.1 --perceptual_from 0 --optimizer.adam_learning_rate 0.0004 \\
      --optimizer.decay_share 0.9 --optimizer.warmup 20 --optimizer.ema 0.99 --training.batch 4 \\
      --training.steps 800

PHOTOS and VIDEOS are folders of a few hundred photographs and a few dozen clips. In the first, a
third of the holes were what lies beyond the borders of a picture, people counted as truth, and
LPIPS had a weight that drew dots; it painted dark people into the rooms of the clips. The second
removes dots and people.

What it gains stands in docs/depth.md.
"""

from full4d_jax.config.inpainting import InpaintingConfig

config = InpaintingConfig()
