"""The depth network: Tiefenrausch and FastDepth, joined by a head that is trained.

PHOTOS is a folder of a few hundred varied photographs: their crops cover half of the procedural
surfaces, and of whole ones the network must keep what the published networks tell. VIDEOS is a
folder of clips, some from cameras at rest before which somebody moves. The names in
`depth_rooms.txt` are of photographs and clips of ours that show rooms; yours need a list of their
own. What ships was trained in three parts:

    full4d train --config depth --data.photos PHOTOS --data.videos VIDEOS --out runs/depth_1
    full4d train --config depth --init runs/depth_1/wider.safetensors --seed 1 \\
      --data.photos PHOTOS --data.videos VIDEOS --data.rooms configs/depth_rooms.txt \\
      --data.sizes 336 224 384 576 384 224 --training.batch 12 --training.steps 1050 \\
      --optimizer.adam_learning_rate 3e-4 --optimizer.decay_share 0.6 --optimizer.ema 0.998 \\
      --out runs/depth_2
    full4d train --config depth --init runs/depth_2/depth.safetensors --seed 2 \\
      --data.photos PHOTOS --data.videos VIDEOS --data.rooms configs/depth_rooms.txt \\
      --data.sizes 336 224 384 576 384 224 --training.batch 12 --training.steps 700 \\
      --optimizer.adam_learning_rate 2.5e-4 --optimizer.warmup 20 --optimizer.decay_share 0.9 \\
      --optimizer.ema 0.995 --out runs/depth_3

The first took two hours of one busy x86-64 core. It had Tiefenrausch and a head alone, cells of 8
pixels in the anchor, and 1,800 steps until step 881, so that the learning rate fell from there on;
frames that are enlarged joined the augmentation at step 501. wider.safetensors are its weights with
zeros for what is new, and -1 for the bias of the share. The others took 9 and 3 minutes of an H200,
half of them to compile, and ended early, when the time was over: the learning rate fell as for
2,200 and 900 steps. The errors stand in docs/depth.md. What the parts
brought, AbsRel with medians aligned on 16 rich scenes and with scale and shift aligned on four
scenes of RGB-D cameras, relief not lowered in the first:

                         rich    RGB-D
    Tiefenrausch         .62     .22
    first, step 350      .41     .20
    first, step 750      .36     .20
    third, step 700      .29     .15
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
