"""4Real-Video, small: a grid from its first row and first column, without poses.

    full4d sample A.mp4 --freeze-time B.mp4 --config four_real

Two streams with soft synchronization, on an AMD EPYC machine, in float32, 64 x 64 pixels:

1. the base, on single rows and columns (2,400 steps, 35 minutes on one core):
   full4d train --config four_real_base
2. everything, on grids of which a quarter are planar warps of one view (2,200 steps, 59 minutes on
   one core):
   full4d train --config four_real --init runs/four_real_base/prior.safetensors
3. LPIPS beside the errors of the regressed clips (300 steps, 10 minutes on one busy core):
   full4d train --config four_real --init runs/four_real/prior.safetensors --seed 1 \
     --out runs/four_real_2 --flow.perceptual 0.3 --training.steps 300 \
     --optimizer.learning_rate 0.005 --optimizer.adam_learning_rate 0.0005 \
     --optimizer.decay_share 0.9 --optimizer.warmup 20
4. LPIPS of full weight, half of the clips warped from real videos (.4 of 4 are 2; 1,000 steps, 78
   minutes on one busy core), which gains .016 LPIPS for .2 dB:
   full4d train --config four_real --init runs/four_real_2/prior.safetensors --seed 2 \
     --out runs/four_real_3 --data.videos VIDEOS --data.pseudo 0.4 \
     --flow.perceptual 1.0 --optimizer.learning_rate 0.006 --optimizer.adam_learning_rate 0.0006 \
     --optimizer.decay_share 0.75 --optimizer.warmup 30 --training.steps 1000
5. the nearest frame moves as the row does, by a second head that learns the true frames' optical
   flow; what moves counts three times (316 steps, 38 minutes on one busy core, the first 297 at
   the rates of 1,200 steps):
   full4d train --config four_real --init runs/four_real_3/prior.safetensors --seed 3 \
     --out runs/four_real_4 --data.videos VIDEOS --flow.perceptual 2.0 --flow.moving 2 \
     --flow.motion 0.5 --optimizer.learning_rate 0.008 --optimizer.adam_learning_rate 0.001 \
     --optimizer.decay_share 0.75 --optimizer.warmup 30 --training.steps 316
6. more LPIPS (900 steps, 43 minutes on one busy core, the first 50 at the rates of 400):
   full4d train --config four_real --init runs/four_real_4/prior.safetensors --seed 4 \
     --out runs/four_real_5 --data.videos VIDEOS --flow.perceptual 8.0 --flow.moving 1 \
     --flow.motion 0.5 --optimizer.learning_rate 0.006 --optimizer.adam_learning_rate 0.0008 \
     --optimizer.decay_share 0.9 --optimizer.warmup 10 --training.steps 900
7. what the row shows at the same instant gets a share, and moves, too (560 steps, 44 minutes on
   one busy core, the first 325 at the rates of 740 steps):
   full4d train --config four_real --init runs/four_real_5/wider.safetensors --seed 5 \
     --out runs/four_real_6 --data.videos VIDEOS --flow.perceptual 8.0 --flow.moving 1.5 \
     --flow.motion 0.5 --optimizer.learning_rate 0.006 --optimizer.adam_learning_rate 0.0008 \
     --optimizer.decay_share 0.9 --optimizer.warmup 10 --training.steps 560

Stages 2 to 4 had `parametrisation=Residual()` in this file. VIDEOS is a folder of clips
(docs/model_card.md). wider.safetensors is stage 6's result with zeros for what was new in the last.

The paper trains the synchronization alone, around a large frozen base
(`--optimizer.trainable synchronization`). Around this small base that learned little in 400 steps;
A script of revision 86ef7740 compares both at equal steps. The random numbers that warp and shuffle
stage 2 have changed since it ran.
"""

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    MovedBase,
    OptimizerConfig,
    RealFrames,
    TrainingConfig,
    TwoStreams,
)

config = Config(
    name="four_real",
    model=ModelConfig(
        width=160,
        heads=4,
        ffn=512,
        guide=RealFrames(),
        parametrisation=MovedBase(),
        attention=TwoStreams(),
        cameras=(),
        rope_folds_views=True,
    ),
    data=DataConfig(orbit=True, pseudo=0.25),
    flow=FlowConfig(mean_share=0.75),
    optimizer=OptimizerConfig(
        learning_rate=0.012,
        adam_learning_rate=0.0012,
        decay_share=0.7,
    ),
    training=TrainingConfig(batch=4, steps=2200, log_every=25, checkpoint_every=200),
)
