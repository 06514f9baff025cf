"""A flow around the shipped prior's mean: what the mean leaves open is sampled from noise.

    full4d sample --config flow --seed 1

Two stages on an AMD EPYC machine, in float32, from the weights of configs/demo.py, which stay as
they are and give the mean; 54 minutes on one busy core:

1. mostly at low noise (1,800 steps, stopped after 700, before the rates fall far):
   full4d train --config flow --init full4d_jax/checkpoints/prior.safetensors \
     --flow.shift 0.3 --training.steps 700
2. where four steps pass (1,100 steps):
   full4d train --config flow --init runs/flow/prior.safetensors --out runs/flow_2 --seed 1

The widths of the Gaussian around the mean and the spectrum of the noise come from the mean's errors
on 40 scenes of the training range: the same in every octave, alike over instants and colours.
White noise and the width of a first guess left grains that neither network nor LPIPS got rid of in
300 steps.
"""

import dataclasses

from full4d_jax.config import DEFAULT, FlowConfig, OptimizerConfig, SamplerConfig, TrainingConfig

config = dataclasses.replace(
    DEFAULT,
    name="flow",
    model=dataclasses.replace(DEFAULT.model, around_mean=DEFAULT.model.refiner, refiner=24),
    flow=FlowConfig(shift=1.5, mean_share=0.0, perceptual=1.0),
    sampler=SamplerConfig(steps=4, noise=1.0, shift=3.0),
    optimizer=OptimizerConfig(
        trainable="flow", learning_rate=0.008, adam_learning_rate=0.001, decay_share=0.8, warmup=30
    ),
    training=TrainingConfig(batch=4, steps=1100, log_every=25, checkpoint_every=100),
)
