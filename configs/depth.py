"""The depth network in the package, trained on procedural frames only.

Three trainings, each from the weights of the one before, on one x86-64 core. The first two saw
simple worlds and range alone in their loss, 4,800 steps each (72 and 44 minutes; revision
8f6c19d: `full4d train configs/depth.py`, then the same with `--init` and `--seed 1`). The third
sees worlds, cameras and shapes of pictures of all kinds, and crops of photographs on half of the
surfaces:

    full4d train configs/depth.py --init runs/depth_2/depth.safetensors --seed 2 \
        --data.photos PHOTOS --training.steps 5400 --out runs/depth_photos

PHOTOS is any folder of a few hundred varied photographs; without `--data.photos` all surfaces have
procedural textures. A step takes 0.75 seconds. `python benchmarks/depth.py` tells what it brings.
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
