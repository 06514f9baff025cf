"""The depth network: Tiefenrausch with a head, trained on procedural frames and photographs.

    full4d train --config depth --data.photos PHOTOS --data.videos VIDEOS --out runs/depth

PHOTOS is a folder of a few hundred varied photographs: their crops cover half of the procedural
surfaces, and of whole ones the network must keep Tiefenrausch's depth. VIDEOS is a folder of clips,
some from cameras at rest before which somebody moves.

It took about two hours of one busy x86-64 core. The number of steps was lowered on the way, from
1,800 at step 881, so that the learning rate fell from there on; frames that are enlarged joined the
augmentation at step 501. `python benchmarks/depth.py` prints the errors in docs/depth.md. What more
steps brought, AbsRel with medians aligned on 16 rich and 16 wide scenes and with scale and shift
aligned on four scenes of RGB-D cameras, relief not lowered:

    step      rich    wide    RGB-D
    0         .62     .73     .22
    350       .41     .61     .20
    750       .36     .55     .20
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
