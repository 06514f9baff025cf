"""A depth network that starts from Tiefenrausch: procedural truth, its own depth of photographs.

    full4d train --config sharp_depth --data.photos PHOTOS --data.videos VIDEOS --out runs/sharp

PHOTOS and VIDEOS are as in configs/depth.py. A run that is stopped goes on when the command is
given again; no weights of it are in the package.
"""

from full4d_jax.config.depth import SharpDepthConfig

config = SharpDepthConfig()
