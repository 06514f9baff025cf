"""Write segmentation.npz: what TensorFlow Lite computes from two pictures of scikit-image.

    python recipes/golden_segmentation.py deeplabv3_257_mv_gpu.tflite

Needs ai-edge-litert. The pictures are an astronaut and a cat; kept are the classes of all 33x33
cells, and the logits of every fourth.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]
from skimage import data

network = Interpreter(sys.argv[1])
network.allocate_tensors()
labels, logits = [], []
for picture in (data.astronaut(), data.chelsea()):
    small = cv2.resize(picture, (257, 257), interpolation=cv2.INTER_AREA)
    frames = (small / np.float32(127.5) - 1)[None]
    network.set_tensor(network.get_input_details()[0]["index"], frames)
    network.invoke()
    cells = network.get_tensor(network.get_output_details()[0]["index"])[0, ::8, ::8]
    labels.append(cells.argmax(-1).astype(np.uint8))
    logits.append(cells[::4, ::4])
target = Path("tests/full4d_jax/models/goldens/segmentation.npz")
np.savez_compressed(target, labels=np.stack(labels), logits=np.stack(logits))
