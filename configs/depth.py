"""The depth network: Tiefenrausch and FastDepth, joined by a head that is trained.

    full4d train --config depth --data.photos PHOTOS --data.videos VIDEOS \
      --data.rooms configs/depth_rooms.txt --out runs/depth

PHOTOS is a folder of a few hundred varied photographs: their crops cover half of the procedural
surfaces, and of whole ones the network must keep what the published networks tell. VIDEOS is a
folder of clips, some from cameras at rest before which somebody moves. The names in
`depth_rooms.txt`, of which each folder must have its own, show rooms.

What ships was trained in two parts. The first, two hours of one busy x86-64 core, had Tiefenrausch
and a head alone: 1,200 steps, 1 and 1 frames each. The second began with its weights, with zeros
for what is new but -1 for the bias of the share, and took 8 minutes of an H200, of which half went
to compiling:

    full4d train --config depth --init wider.safetensors --seed 1 [folders as above] \
      --data.sizes 336 224 384 576 384 224 --training.batch 12 --training.steps 2200 \
      --optimizer.adam_learning_rate 3e-4 --optimizer.decay_share 0.6 --optimizer.ema 0.998
    full4d train --config depth --init runs/depth/depth.safetensors --seed 2 [likewise] \
      --training.steps 900 --optimizer.adam_learning_rate 2.5e-4 --optimizer.warmup 20 \
      --optimizer.decay_share 0.9 --optimizer.ema 0.995

cut at steps 1,050 and 700, when the time was over; the averaged weights went on and ship.
`python benchmarks/depth.py` prints the errors in docs/depth.md. What each part brought, AbsRel with
medians aligned on 16 rich scenes and with scale and shift aligned on four scenes of RGB-D cameras,
relief not lowered in the first part:

                             rich    RGB-D
    Tiefenrausch             .62     .22
    first part, step 350     .41     .20
    first part, step 750     .36     .20
    second part              .29     .15
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
