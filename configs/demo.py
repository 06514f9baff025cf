"""The embedded default: a small multi-view prior, trained on procedural scenes only.

Four stages on an AMD EPYC machine, in float32, 64 x 64 pixels, 4 views; 3.6 hours in all:

1. single instants, the most scenes for the time (configs/demo_pretrain.py, 5,000 steps of 8 clips,
   41 minutes on one core):
   full4d train --config demo_pretrain
2. clips of 4 frames, learning rate falling to zero (3,000 steps of 4 clips, 49 minutes on one):
   full4d train --config demo --init runs/demo_pretrain/prior.safetensors
3. LPIPS beside the errors of the regressed clips (4,200 steps of 4, 97 minutes on two busy cores):
   full4d train --config demo --init runs/demo/prior.safetensors --out runs/demo_3 --seed 1 \
     --flow.perceptual 0.3 --training.steps 4200 --optimizer.learning_rate 0.01 \
     --optimizer.adam_learning_rate 0.001 --optimizer.decay_share 0.75
4. more of the batch on the regression (900 steps of 4, 30 minutes on one busy core):
   full4d train --config demo --init runs/demo_3/prior.safetensors --out runs/demo_4 --seed 2 \
     --flow.perceptual 0.2 --flow.mean_share 0.75 --training.steps 900 \
     --optimizer.learning_rate 0.006 --optimizer.adam_learning_rate 0.0006 \
     --optimizer.decay_share 0.9 --optimizer.warmup 30

Stages 1 and 2 had the absolute error of the latents where there now is also the squared one
(`flow.mean_loss`). Evaluation uses the same LPIPS (AlexNet) that stages 3 and 4 trained on.

XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= makes steps faster (jaxlib 0.10.2).
What the weights in the package reach, and on which data, is printed by
   full4d evaluate --config demo
and stands in the README; full4d_jax/weights/prior.json has the losses, the samples and the
histogram of flow times of the run that made them.
"""

from full4d_jax.config import DEFAULT

config = DEFAULT
