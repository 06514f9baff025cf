"""Write silhouette.npz: what TensorFlow Lite computes from two windows of scikit-image's astronaut.

    python recipes/golden_silhouette.py pose_landmark_full.tflite

Needs ai-edge-litert; the file is in the npm package @mediapipe/pose 0.5.1675469404. Kept are the
logits of every fourth pixel.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]
from skimage import data

MASK = "Identity_2"
network = Interpreter(sys.argv[1])
network.allocate_tensors()
(leave,) = (x["index"] for x in network.get_output_details() if x["name"] == MASK)
logits = []
for picture in (data.astronaut(), data.astronaut()[:320, 60:380]):
    small = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    network.set_tensor(
        network.get_input_details()[0]["index"], (small / np.float32(255))[None]
    )
    network.invoke()
    logits.append(network.get_tensor(leave)[0, ::4, ::4, 0])
np.savez_compressed(
    Path("tests/full4d_jax/models/goldens/silhouette.npz"), logits=np.stack(logits)
)
