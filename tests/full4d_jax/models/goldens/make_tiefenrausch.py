"""Writes tiefenrausch.npz: what onnxruntime makes of a drawn picture with Tiefenrausch's weights.

    python tests/full4d_jax/models/goldens/make_tiefenrausch.py tiefenrausch_full4d_224x384.onnx

The .onnx file holds the published integers in onnxruntime's own operators; it takes colours with
ImageNet's mean and deviation, and returns disparity.
"""

import sys
from pathlib import Path

import numpy as np

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEP = 16  # one pixel in so many, along each axis, is kept


def drawn_picture() -> np.ndarray:
    """Return a landscape (224 384 3) in [0, 1]: ground, sky, and a dark block before them."""
    y, x = np.mgrid[:224, :384] / 224
    ground = 0.4 + 0.1 * np.sin(40 * x / (0.1 + np.maximum(y - 0.45, 0)))
    soil = np.stack([ground, 0.9 * ground, 0.7 * ground], -1)
    sky = np.stack([0.5 + 0.2 * y, 0.7 + 0.2 * y, np.ones_like(y)], -1)
    picture = np.where((y > 0.45)[..., None], soil, sky)
    is_block = (np.abs(x - 0.6) < 0.15) & (np.abs(y - 0.6) < 0.3)
    block = np.stack([0.3 + 0.2 * x, 0.1 + 0 * x, 0.3 * y], -1)
    return np.where(is_block[..., None], block, picture)


def main() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[1])
    picture = ((drawn_picture() - MEAN) / DEVIATION).astype(np.float32)
    name = session.get_inputs()[0].name
    disparity = np.asarray(
        session.run(None, {name: picture.transpose(2, 0, 1)[None]})[0]
    )
    logs = np.log(disparity.reshape(picture.shape[:2]))[::STEP, ::STEP]
    file = Path(__file__).with_name("tiefenrausch.npz")
    np.savez(file, log_disparity=logs.astype(np.float32))


if __name__ == "__main__":
    main()
