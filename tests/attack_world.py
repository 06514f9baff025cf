"""Whole files of every kind, on copies of which the attacks of `attacks.py` are made."""

import os
from pathlib import Path
from typing import Any

RENDER = ["render", "run", "--size", "16", "--orbit_seconds", "0.1"]
LIFT = ["lift", "run", "--lift.steps", "2", "--lift.capacity", "50", "--lift.distillation", "none"]
TRAIN = ["train", "--config", "small.py", "--out", "training", "--training.steps", "2"]
RUN = [
    *("run", "in.mp4", "--config", "small.py", "--depth", "depth.npy", "--out", "out"),
    *("--checkpoint", "prior.safetensors", "--size", "16", "--orbit_seconds", "0.1"),
    *("--lift.steps", "2", "--lift.capacity", "50"),
]
IMPORT = ["data", "import", "capture", "--out", "imported", "--frames", "4"]
ENCODE = ["data", "encode", "--config", "small.py", "--dataset", "data", "--out", "encoded"]
WORLDS = ["data", "procedural", "--out", "worlds", "--scenes", "2", "--views", "2", "--frames", "2"]
ASSETS = ["data", "gltf", "assets", "--out", "rendered", "--clips", "2", "--frames", "2"]


def import_everything() -> None:
    """Import what commands import, and start nothing: processes that are forked then share it."""
    import av  # noqa: F401
    import cv2  # noqa: F401

    import full4d_jax.evaluation.groups
    import full4d_jax.pipeline
    import full4d_jax.training.prior_training  # noqa: F401
    from full4d_jax import cli

    assert "train" in cli.verbs()


def make_world(folder: Path) -> None:
    """Write whole files of every kind, in another process, for jax must not be started here."""
    child = os.fork()
    if not child:
        try:
            _make_world(folder)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the world was not made"


def _make_world(folder: Path) -> None:
    from fuzz_folders import small_scene, write_run
    from skinned_arm import write_arm
    from small_inputs import write_inputs
    from test_chaos import SMALL
    from textured_room import make_room

    import gaussians
    from input_pipeline.datasets.dataset import write_dataset

    write_run(folder / "run", small_scene())
    write_inputs(folder, SMALL, columns=80, frames=8)
    room = make_room(views=3, height=64, width=64)

    class Rooms(list[Any]):
        scene_ids = ("room",)

    write_dataset(folder / "data", Rooms([room]), name="room")
    (folder / "assets").mkdir()
    write_arm(folder / "assets/arm.glb")
    scene = small_scene()
    gaussians.save_ply(folder / "scene.ply", scene.gaussians)
    assert isinstance(scene, gaussians.DynamicGaussians)
    gaussians.save_dynamic_ply(folder / "scene.4d.ply", scene)
