"""Fit 4D Gaussians to pictures from known cameras; write 3DGS files and a picture from aside.

python examples/fit_gaussians.py [FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from einops import rearrange, repeat

from full4d_jax.geometry.image_motion import pixel_velocities
from full4d_jax.media.pictures import save_picture, to_uint8
from gaussians import (
    Camera,
    FitConfig,
    Targets,
    fit,
    initialize,
    render,
    save_ply_sequence,
)
from input_pipeline import procedural_scene

VIEWS = 4
INSTANTS = 3
SIDE = 64


def main(folder: Path = Path("out/fit_gaussians"), *, steps: int = 200) -> float:
    """Fit a procedural scene; return the PSNR of the pictures in the last chunk of steps, dB."""
    draw = jax.jit(
        procedural_scene, static_argnames=("views", "frames", "height", "width")
    )
    clip = draw(7, views=VIEWS, frames=INSTANTS, height=SIDE, width=SIDE)
    start = initialize(
        clip.frames,
        clip.depth,
        clip.intrinsics,
        clip.world_to_camera,
        capacity=4000,
        key=jax.random.key(0),
        velocities=pixel_velocities,  # by OpenCV's optical flow; without it all is at rest
    )

    # A fit takes a list of pictures, each with a camera and a time; time is 0 to 1 over the clip.
    lenses = repeat(clip.intrinsics, "v i j -> (v t) i j", t=INSTANTS)
    poses = rearrange(clip.world_to_camera, "v t i j -> (v t) i j")
    targets = Targets(
        frames=rearrange(clip.frames, "v t h w c -> (v t) h w c"),
        cameras=Camera(poses, lenses, SIDE, SIDE),
        times=jnp.tile(jnp.linspace(0, 1, INSTANTS), VIEWS),
        weights=jnp.ones(VIEWS * INSTANTS),
    )
    reached = {}

    def report(step: int, metrics: dict[str, float]) -> None:
        reached.update(metrics)
        print(f"step {step}: loss {metrics['loss']:.4f}, {metrics['psnr']:.1f} dB")

    result = fit(
        start, targets, FitConfig(steps=steps), jax.random.key(1), report=report
    )

    # Between the instants that were fitted, too, a scene has pictures.
    aside = clip.world_to_camera[1, 0].at[0, 3].add(0.05)
    camera = Camera(aside, clip.intrinsics[0], SIDE, SIDE)
    folder.mkdir(parents=True, exist_ok=True)
    save_picture(
        folder / "aside.png", to_uint8(render(result.scene.at(0.25), camera).rgb)
    )
    save_ply_sequence(folder / "ply", result.scene, INSTANTS)
    print(f"{folder}: aside.png, ply/")
    return reached["psnr"]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
