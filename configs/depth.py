"""The depth network, trained on procedural frames.

The weights in the package had two trainings on one x86-64 core, by simple worlds and range alone in
their loss, 4,800 steps each (72 and 44 minutes; revision 8f6c19d: `full4d train configs/depth.py`,
then the same with `--init` and `--seed 1`). This config is for the third, which sees worlds,
cameras and shapes of pictures of all kinds, and crops of photographs on half of the surfaces:

    full4d train configs/depth.py --init full4d_jax/checkpoints/depth.safetensors --seed 2 \\
        --data.photos PHOTOS --training.steps 4700 --out runs/depth_photos

PHOTOS is any folder of a few hundred varied photographs; without `--data.photos` all surfaces have
procedural textures. A step takes 0.75 seconds. `python benchmarks/depth.py --weights
runs/depth_photos/depth.safetensors` tells what it brings: after 4,700 steps AbsRel with medians
aligned falls from .344 to .322 on rich scenes, .648 to .400 on wide ones, .578 to .284 on photos of
a room. The cascade on rich scenes loses .3 dB with it (`benchmarks/cascade.py --depth_network`),
so it is not in the package yet. That training goes on with people cut out of videos:

    full4d train configs/depth.py --init runs/depth_photos/depth.safetensors --seed 4 \\
        --data.photos PHOTOS --data.videos VIDEOS --training.steps 14000 --out runs/depth_people

VIDEOS is a folder of clips, some from cameras at rest before which somebody moves.
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
