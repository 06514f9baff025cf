"""The depth network, trained on procedural frames with photographs and people cut out of videos.

Three trainings on one x86-64 core:

    full4d train --config depth --out runs/depth_1
    full4d train --config depth --init runs/depth_1/depth.safetensors --seed 1 --out runs/depth_2
    full4d train --config depth --init runs/depth_2/depth.safetensors --seed 2 \\
        --data.photos PHOTOS --data.videos VIDEOS --training.steps 6000 --out runs/depth_3

The first two took 72 and 44 minutes at revision 8f6c19d, whose config saw simple worlds and had
range alone in its loss. The third, 105 minutes on a busy core, saw worlds, cameras and shapes of
pictures of all kinds.

PHOTOS is a folder of a few hundred varied photographs, whose crops cover half of the surfaces, and
VIDEOS one of clips, some from cameras at rest before which somebody moves. The number of steps was
lowered on the way, so that the learning rate fell from step 3,200 on, by 6,400 steps until 4,845.

`python benchmarks/depth.py` prints the errors in docs/model_card.md. They hardly fall with time: a
third training of 4,700 steps had .322, .400 and .284 where that of 6,000 has .335, .410 and .246
(AbsRel, medians aligned, on rich scenes, wide ones and photographs; .344, .648 and .578 before).
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
