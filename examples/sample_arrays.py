"""Generate new views of a video that is in memory: arrays in, arrays out, no files between.

python examples/sample_arrays.py [PICTURE]
"""

import sys
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import open_prior
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.source.camera_paths import grid_cameras, preset_targets
from input_pipeline import procedural_scene

INSTANTS, SIDE = 4, 64
AZIMUTH = 10.0  # degrees that the outermost new camera is turned to either side


def main(picture: Path = Path("out/sample_arrays.png")) -> Float[ndarray, "v t h w 3"]:
    """Generate four views of a procedural clip beside its own; return all five, in [0, 1]."""
    # In place of these, take your own: frames in [0, 1], z-depth, and the lens in pixels.
    draw = jax.jit(procedural_scene, static_argnames=("views", "frames", "height", "width"))
    clip = draw(3, views=1, frames=INSTANTS, height=SIDE, width=SIDE)
    unit = np.median(clip.depth[0])  # networks see scenes whose median depth is about 1
    depth = clip.depth[0] / unit

    # Poses are world-to-camera in OpenCV axes; the source's first camera is the world.
    poses = np.array(clip.world_to_camera)
    poses[..., :3, 3] /= unit
    source = Cameras(np.asarray(clip.intrinsics), poses, SIDE, SIDE)
    targets = preset_targets("arc", targets=4, frames=INSTANTS, azimuth=AZIMUTH, elevation=0.0)
    cameras = grid_cameras(source, targets)

    prior = open_prior(DEFAULT)
    video = 2 * clip.frames - 1  # one real view; more of a rig may follow it
    grid, _ = generate_grid(prior, video, depth[None], cameras, jax.random.key(0))
    grid = np.asarray(to_unit(grid))

    rows = ["source", *(f"view {i}" for i in range(1, len(grid)))]
    columns = [f"instant {i}" for i in range(INSTANTS)]
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_picture(picture, contact_sheet(to_uint8(grid), rows=rows, columns=columns))
    print(f"grid of {len(grid)} views x {INSTANTS} instants: {picture}")
    return grid


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
