"""A preset, weights, a video with its depth and a capture, as small as commands take them."""

import json
from pathlib import Path

import jax
import numpy as np

from full4d_jax.config import (
    Config,
    DataConfig,
    LiftConfig,
    MeshConfig,
    ModelConfig,
    TrainingConfig,
)
from full4d_jax.media.video_io import write_video
from full4d_jax.models.dit.dit import init_params
from full4d_jax.models.weights import save_params
from input_pipeline.pinhole import orbit

FPS = 12
SMALL = Config(
    model=ModelConfig(width=32, heads=2, ffn=32, layers=1, refiner=0),
    data=DataConfig(views=3, frames=2, height=32, width=32),
    lift=LiftConfig(steps=250, capacity=200, distillation="none"),
    training=TrainingConfig(batch=2, steps=4, log_every=1, checkpoint_every=2),
    mesh=MeshConfig(data=1),
)


def write_small_files(folder: Path, *, columns: int, frames: int) -> None:
    """Write `small.py`, `prior.safetensors`, `in.mp4`, `depth.npy` and the folder `capture`.

    Args:
      folder: where they lie.
      columns: pixels of the capture's two videos; they have three quarters as many rows.
      frames: of each of them, `FPS` a second.
    """
    params = init_params(SMALL.model, jax.random.key(0))
    save_params(folder / "prior.safetensors", params, {"max_azimuth_degrees": 30.0})
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (1, 40, 60, 3), np.uint8).repeat(FPS, 0)
    write_video(folder / "in.mp4", still, FPS)
    np.save(folder / "depth.npy", np.ones((2, 32, 32), np.float32))
    imports = "from full4d_jax.config import *\nfrom dataclasses import *\n"
    (folder / "small.py").write_text(f"{imports}config = {SMALL!r}\n")
    (folder / "capture").mkdir()
    poses = orbit(np.array([-20.0, 20.0]), np.zeros(2), 2.0).tolist()
    rows = columns * 3 // 4
    focal = columns * 9 / 16
    lens = [[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]]
    table = []
    for name, pose in zip("ab", poses, strict=True):
        film = rng.integers(0, 255, (frames, rows, columns, 3), np.uint8)
        write_video(folder / f"capture/{name}.mp4", film, FPS)
        table.append({"name": name, "intrinsics": lens, "world_to_camera": pose})
    (folder / "capture/cameras.json").write_text(json.dumps({"cameras": table}))
