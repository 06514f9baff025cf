"""Input of folders for `fuzz_readers`: of a run, of a training, and the words of commands."""

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np

from full4d_jax import cli
from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, ModelConfig, check_config, to_dict
from full4d_jax.evaluation.results import missing, open_lines
from full4d_jax.generation.cascade import load_upsampler
from full4d_jax.generation.prior import trained_range
from full4d_jax.grid import About, Grid, Origin, grid_arrays, grid_from
from full4d_jax.models import depth_net, upsampler
from full4d_jax.models.depth_net import DepthNetConfig
from full4d_jax.models.tiefenrausch import load_tiefenrausch
from full4d_jax.models.upsampler import UpsamplerNetConfig
from full4d_jax.models.weights import load_metadata, require_model, save_params
from full4d_jax.scene import page
from full4d_jax.scene.reading import posed_grid, read_grid, read_scene
from full4d_jax.scene.scene_arrays import to_arrays
from full4d_jax.session.report import Job, write_report
from full4d_jax.session.stages import MADE_BY, Stages
from full4d_jax.source.depth.estimate import TIEFENRAUSCH, load_depth
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.checkpoints.resume import cut_metrics, run_record
from full4d_jax.training.run_state import start_at, start_or_resume
from full4d_jax.training.state import TrainState
from gaussians import DeformingGaussians, Gaussians, Scene
from gaussians.motion import still
from input_pipeline.cameras import intrinsics_from_fov

V, T, H, W, G = 2, 2, 16, 16, 5
METRICS = [{"step": step, "loss": 0.5, "speed": {"clips": 2.0}} for step in (1, 2, 3)]
SCORES = [{"evaluation": "a mark"}, {"group": "prior", "scene": 3, "psnr": 20.5}]
COMMANDS = [
    "train --data.strides 1 2 --training.steps 7 --optimizer.learning_rate 0.01 --model.cameras",
    "run --scene 3 --quality draft --path arc --azimuth 20 --rows 64 --lift.steps 9",
    "sample --config four_real --fps 6 --scene 4 --sampler.steps 2",
    "lift --quality high --lift.harmonics 1 --seed 3",
    "render --orbit ring --sweep 20 --size 64",
]


def folders(scratch: Path) -> dict[str, tuple]:
    """By name: whole files of folders, how their names end, and what reads a folder with them."""
    return run_folder(scratch / "run") | training_folder(scratch / "training") | others(scratch)


def others(scratch: Path) -> dict[str, tuple]:
    """Scores of an evaluation, small networks with what is told of them, and commands."""

    def scores(path: Path) -> None:
        missing(open_lines(path, "a mark"), "prior", range(5))

    def metadata(path: Path) -> None:
        require_model(path, load_metadata(path), Config().model)
        trained_range(path)

    depth = DepthNetConfig(fine=4, coarse=4)
    params = depth_net.init_params(depth, load_tiefenrausch(TIEFENRAUSCH), jax.random.key(0))
    save_params(scratch / "depth.safetensors", params, {"model": asdict(depth)})
    sizes = UpsamplerNetConfig((8, 8, 8))
    params = upsampler.init_params(sizes, jax.random.key(0))
    metadata_of = {"model": asdict(sizes), "prior_rows": 64}
    save_params(scratch / "upsampler.safetensors", params, metadata_of)
    networks = {
        f"{name}_network": ([(scratch / f"{name}.safetensors").read_bytes()], ".safetensors", load)
        for name, load in (("depth", load_depth), ("upsampler", load_upsampler))
    }
    rows = b"".join(json.dumps(row).encode() + b"\n" for row in SCORES)
    told = {"model": asdict(ModelConfig()), "max_azimuth_degrees": 60.0}
    save_params(scratch / "told.safetensors", {"a": np.ones(3, np.float32)}, told)
    words = ["\n".join(command.split()).encode() for command in COMMANDS]
    return networks | {
        "scores": ([rows], ".jsonl", scores),
        "metadata": ([(scratch / "told.safetensors").read_bytes()], ".safetensors", metadata),
        "commands": (words, ".words", command),
    }


def command(path: Path) -> None:
    """Read the options of a command as `cli.main` does, up to the work itself."""
    shell = path.read_bytes().replace(b"\0", b"").decode(errors="surrogateescape")
    verb, *words = shell.split("\n")
    if verb not in cli.verbs():
        return
    function = getattr(import_module(f"full4d_jax.commands.{verb}"), verb)
    call = None
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),  # tyro printed help or what is wrong
    ):
        call = cli.read_options(function, f"full4d {verb}", list(words))
    config = call.keywords.get("config") if call else None  # type: ignore[attr-defined]
    if isinstance(config, Config):
        check_config(config)


def small_scene() -> Scene:
    """A scene of a few Gaussians."""
    rng = np.random.default_rng(0)
    shapes = (G, 3), (G, 4), (G, 3), (G,), (G, 1, 3)
    arrays = (jax.numpy.asarray(rng.normal(size=shape), np.float32) for shape in shapes)
    return still(Gaussians(*arrays))


def bent_scene() -> Scene:
    """A scene of a few Gaussians that deform."""

    def zeros(*shape: int) -> jax.Array:
        return jax.numpy.zeros(shape, np.float32)

    return DeformingGaussians(
        small_scene().gaussians,
        embeddings=zeros(G, 6),
        inner=zeros(6, 8),
        biases=zeros(3, 8),
        outer=zeros(8, 10),
        reach=jax.numpy.ones(()),
    )


def write_run(folder: Path, scene: Scene) -> None:
    """Write the folder of a finished run, with small arrays in place of computed ones."""
    folder.mkdir(parents=True)
    lenses = np.stack([intrinsics_from_fov(55, H, W)] * V).astype(np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (V, T, 1, 1))
    poses[1, :, 0, 3] = 0.1
    frames = np.zeros((V, T, H, W, 3), np.uint8)
    origin = np.full((V, T), Origin.GENERATED, np.uint8)
    origin[0] = Origin.REAL
    depth = np.ones((1, T, H, W), np.float32)
    grid = Grid(
        frames=frames,
        origin=origin,
        times=np.arange(T) / 8,
        cameras=Cameras(lenses, poses, H, W),
        depth=depth,
        about=About(note="a note"),
    )
    source = replace(
        grid,
        frames=frames[:1],
        origin=origin[:1],
        cameras=Cameras(lenses[:1], poses[:1], H, W),
        depth=None,
    )
    stages = Stages(folder, say=lambda line: None)
    arrays = {
        "source": grid_arrays(source),
        "depth": {"depth": depth, "path_unit": np.asarray(1.0)},
        "grid": grid_arrays(grid) | {"projection": frames[1:]},
        "scene": to_arrays(scene) | {"source_psnr": np.asarray(20.0)},
    }
    for name, made in arrays.items():
        stages.run(name, {}, lambda made=made: made)
    (folder / "config.json").write_text(json.dumps(to_dict(Config())))


def read_run(folder: Path) -> None:
    """What `lift`, `render`, `view` and `evaluate` read of a run before they work."""
    stages = Stages(folder, say=lambda line: None)
    grid, _ = read_grid(stages)
    assert grid.fps > 0
    assert grid_from(stages.finished("source")).fps > 0
    stages.finished("depth")
    cameras = posed_grid(stages).cameras
    assert cameras is not None
    scene, viewing = read_scene(folder), page.run_viewing(cameras)
    page.page_text(scene, viewing, seconds=page.clip_seconds(grid.times))
    write_report(Job(stages), "render", None)


def run_folder(scratch: Path) -> dict[str, tuple]:
    """Readers of the files of runs, one of which is replaced."""
    found = {}
    for kind, scene in (("run", small_scene()), ("bent", bent_scene())):
        folder = scratch / kind
        write_run(folder, scene)
        read = partial(read_run, folder)
        names = ["config.json", *(f"{name}.npz" for name in MADE_BY)] if kind == "run" else []
        for name in names or ["scene.npz"]:
            seed = [(folder / name).read_bytes()]
            found[f"{kind}_{name}"] = (
                seed,
                Path(name).suffix,
                partial(instead, folder / name, read),
            )
    return found


def instead(place: Path, read: Callable[[], Any], path: Path) -> Any:
    """Return what is read of a folder with the file `path` at `place`, which is then put back."""
    whole = place.read_bytes()
    place.write_bytes(path.read_bytes())
    try:
        return read()
    finally:
        place.write_bytes(whole)


def saved_training(scratch: Path) -> Callable[[], tuple[TrainState, str]]:
    """Save a training in `scratch/whole`; return what resumes a copy of it, and says its stderr."""
    sys.path.insert(0, str(Path(__file__).parent / "full4d_jax/training"))
    from tiny_run import first

    config, start = Config(), start_at(first())
    record = run_record(config, None)
    with Checkpoints(scratch / "whole", keep=2) as checkpoints:
        run = start_or_resume(checkpoints, start, record, config.training, scratch)
        run.save(checkpoints)

    def resume() -> tuple[TrainState, str]:
        copy = scratch / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(scratch / "whole", copy)
        silent = contextlib.redirect_stdout(io.StringIO())
        errors = io.StringIO()
        with silent, contextlib.redirect_stderr(errors), Checkpoints(copy, keep=2) as checkpoints:
            run = start_or_resume(checkpoints, start, record, config.training, scratch)
        return run.state, errors.getvalue()

    return resume


def training_folder(scratch: Path) -> dict[str, tuple]:
    """Readers of the files of a training, one of which is replaced."""
    resume = saved_training(scratch)
    saved = scratch / "whole/0"
    found = {}
    files = sorted(path for path in saved.rglob("*") if path.is_file())
    for path in files:
        if path.read_bytes()[:1] == b"{":
            name = "_".join(path.relative_to(saved).parts)
            seed = [path.read_bytes()]
            found[f"checkpoint_{name}"] = (seed, ".json", partial(instead, path, resume))
    largest = max(files, key=lambda path: path.stat().st_size)
    for name, path in (("tree", saved / "state/manifest.ocdbt"), ("arrays", largest)):
        seed = [path.read_bytes()]
        found[f"checkpoint_{name}"] = (seed, ".bin", partial(instead, path, resume))
    rows = b"".join(json.dumps(row).encode() + b"\n" for row in METRICS)
    return found | {"metrics": ([rows], ".jsonl", partial(cut_metrics, step=2))}
