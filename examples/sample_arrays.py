"""Generate new views of a video that is in memory, and fit a scene: arrays in, arrays out.

python examples/sample_arrays.py [PICTURE]
"""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

import full4d_jax
from full4d_jax.config import Size
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.source.camera_paths import grid_cameras, read_targets
from full4d_jax.source.options import PathOptions
from gaussians import Scene, render
from input_pipeline import procedural_scene

INSTANTS = 4
SIDE = 64
AZIMUTH = 10.0  # degrees that the outermost new camera is turned to either side


def main(
    picture: Path = Path("out/sample_arrays.png"), *, steps: int = 100
) -> tuple[full4d_jax.Grid, Scene]:
    """Generate four views of a procedural clip beside its own, and lift all five to a scene."""
    # In place of these, take your own: sRGB frames, z-depth, and the lens in pixels.
    draw = jax.jit(
        procedural_scene, static_argnames=("views", "frames", "height", "width")
    )
    clip = draw(3, views=1, frames=INSTANTS, height=SIDE, width=SIDE)
    unit = np.median(clip.depth[0])  # networks see scenes whose median depth is about 1
    depth = np.asarray(clip.depth / unit)

    # Poses are world-to-camera in OpenCV axes; the source's first camera is the world.
    poses = np.array(clip.world_to_camera)
    poses[..., :3, 3] /= unit
    source = full4d_jax.Cameras(np.asarray(clip.intrinsics), poses, SIDE, SIDE)
    size = Size(views=5, frames=INSTANTS, height=SIDE, width=SIDE)
    targets = read_targets(PathOptions("arc", azimuth=AZIMUTH), size)
    cameras = grid_cameras(source, targets)

    prior = full4d_jax.open_prior()
    grid = full4d_jax.generate(
        prior, to_uint8(clip.frames), depth, cameras, jax.random.key(0)
    )

    config = full4d_jax.load_config()
    config = replace(config, lift=replace(config.lift, steps=steps))
    # With `prior=prior` the prior is queried between the views, too.
    scene = full4d_jax.lift(grid, config)
    shown = render(scene.at(0.0), cameras.camera(view=1, time=0), antialiased=True)

    rows = ["source", *(f"view {i}" for i in range(1, len(grid.frames)))]
    columns = [f"instant {i}" for i in range(INSTANTS)]
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_picture(picture, contact_sheet(grid.frames, rows=rows, columns=columns))
    save_picture(picture.with_stem(f"{picture.stem}_scene"), to_uint8(shown.rgb))
    print(f"grid of {len(grid.frames)} views x {INSTANTS} instants: {picture}")
    return grid, scene


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
