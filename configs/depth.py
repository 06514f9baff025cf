"""The depth network: Tiefenrausch with a head, trained on procedural frames and photographs.

    full4d train --config depth --data.photos PHOTOS --data.videos VIDEOS --out runs/depth

PHOTOS is a folder of a few hundred varied photographs: their crops cover half of the procedural
surfaces, and of whole ones the network must keep Tiefenrausch's depth. VIDEOS is a folder of clips,
some from cameras at rest before which somebody moves.
"""

from full4d_jax.config.depth import DepthConfig

config = DepthConfig()
