"""Writes the moving picture of the README from the videos of a run of even sides.

    python docs/moving_picture.py out/demo docs/scene.webp

At the left is the source, at the right the scene from a camera that circles it (orbit.mp4), in
which time runs forth and back.
"""

import sys
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from full4d_jax.session.files import read_arrays

STRIDE = 2  # of 24 frames a second
QUALITY = 70  # of WebP


def main() -> None:
    """Read a run's folder, write the picture."""
    folder, target = map(Path, sys.argv[1:])
    orbit = read_film(folder / "orbit.mp4")[::STRIDE]
    source = read_arrays(folder / "grid.npz")["frames"][0]
    # Time runs forth in the first half of the film, and back in the second.
    share = 1 - np.abs(2 * np.arange(len(orbit)) / len(orbit) - 1)
    instants = np.rint(share * (len(source) - 1)).astype(int)
    pictures = [
        Image.fromarray(np.concatenate([source[instant], frame], axis=1))
        for instant, frame in zip(instants, orbit, strict=True)
    ]
    options = {
        "append_images": pictures[1:],
        "duration": 1000 * STRIDE // 24,
        "loop": 0,
    }
    pictures[0].save(target, save_all=True, quality=QUALITY, method=6, **options)
    print(f"{target}: {target.stat().st_size / 2**20:.2f} MiB, {len(pictures)} frames")


def read_film(path: Path) -> UInt8[ndarray, "t h w 3"]:
    """Return all frames of a film."""
    with av.open(str(path)) as film:
        return np.stack(
            [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        )


if __name__ == "__main__":
    main()
