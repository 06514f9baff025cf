"""A flow around the shipped prior's mean: what the mean leaves open is sampled from noise.

    full4d sample --config flow --seed 1

Four stages on an AMD EPYC machine, in float32, from the weights of configs/demo.py, which stay as
they are and give the mean; 110 minutes on one busy core:

1. mostly at low noise (1,800 steps, stopped after 700, before the rates fall far):
   full4d train --config flow --init full4d_jax/checkpoints/prior.safetensors \
     --flow.shift 0.3 --flow.perceptual 1 --flow.path_share 0 --training.steps 700
2. where four steps pass:
   full4d train --config flow --init runs/flow/prior.safetensors --out runs/flow_2 --seed 1 \
     --flow.perceptual 1 --flow.path_share 0 --training.steps 1100
3. without the patterns that AlexNet's LPIPS had left, which stages 1 and 2 used (commit c8e069cc):
   full4d train --config flow --init runs/flow_2/prior.safetensors --out runs/flow_3 \
     --flow.path_share 0 --training.steps 500
4. half of the clips at points that the sampler reaches, whose earlier steps sharpen too much:
   full4d train --config flow --init runs/flow_3/prior.safetensors --out runs/flow_4

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
    flow=FlowConfig(shift=1.5, mean_share=0.0, perceptual=0.5, path_share=0.5),
    sampler=SamplerConfig(steps=4, noise=1.0, shift=3.0),
    optimizer=OptimizerConfig(
        trainable="flow", learning_rate=0.008, adam_learning_rate=0.001, decay_share=0.8, warmup=30
    ),
    training=TrainingConfig(batch=4, steps=600, log_every=25, checkpoint_every=100),
)
