"""Ablations of the papers' parts at a small size: one command, one table with error bars.

    python benchmarks/ablations.py --seeds 2 [--steps 300 --groups blind projection attention]

blind       Full-4D with its projection as frames, but no projection into the targets is given:
            what they show of the source they have through attention alone, by their cameras
projection  the same network with that projection, from true depth
cameras     the network of `blind`, told where cameras stand in one way, in two or not at all
wide        three layers, and six views of rich scenes that stand 30 to 60 degrees from the source,
            on both sides; the projection comes from depth that our network estimates
attention   grids without poses, filled from their first row and column (4Real-Video): every mode
            trained from one base, of single rows and columns; two streams by their
            synchronization alone, the others by self-attention
checkpoint  nothing is trained: a prior (--checkpoint, by default the shipped one) with other steps
            of the sampler, without the projection, or told no cameras

The first five train tiny networks (`ablation_runs` says how they are scored). Within a group all
rows see the same clips in the same order and as many steps, for each of several seeds. Differences
from the first row of a group are paired by seed and scene; their error is the root of the summed
squares of two standard errors, of the means over scenes and of those over seeds (with one seed the
latter is left out). A difference of less than twice its error is called none.

Finished rows are kept under --out. ablations.md, .json and .png are written there after every row;
the last line is JSON.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from ablation_checkpoint import checkpoint_rows
from ablation_runs import Run, run, train_base
from ablation_table import Table, markdown, plain, save_chart

from full4d_jax.config import Config, DataConfig, FlowConfig, ModelConfig, OptimizerConfig
from full4d_jax.config.training import TrainingConfig
from full4d_jax.session.errors import InputError

FRAMES = ModelConfig(width=64, heads=2, layers=2, ffn=192, patch=8, refiner=8, projection="frames")
CLIPS = DataConfig(views=3, frames=3, height=32, width=32, corrupt_depth=0.0, drop_projection=0.0)
MORE = dataclasses.replace(FRAMES, layers=3)
WIDE = dataclasses.replace(CLIPS, views=6, frames=4, worlds="rich", estimated=1.0)
POSELESS = ModelConfig(
    width=64, heads=2, layers=2, ffn=192, patch=8, refiner=8, projection="none", cameras=()
)
GRIDS = DataConfig(views=4, frames=4, height=32, width=32, orbit=True)
MASKS = Path(__file__).resolve().with_name("ablation_masks.py")
PARTS = {  # what the network lacks
    "all": {},
    "own view alone": {"mask": f"{MASKS}:own_view_alone"},
    "without cross-half": {"mask": "without_cross_half"},
    "without intra-time": {"mask": f"{MASKS}:without_intra_time"},
    "without cameras": {"cameras": ()},
}
CAMERAS = {  # how the network is told where cameras stand
    "linear and plucker": ("linear", "plucker"),
    "linear": ("linear",),
    "plucker": ("plucker",),
    "prope": ("prope",),
    "none": (),
}
MODES = {  # what is trained of each
    "fused": "attention",
    "full": "attention",
    "sequential": "attention",
    "two_stream_hard": "synchronization",
    "two_stream_soft": "synchronization",
}
UNTRAINED = {"checkpoint": checkpoint_rows}
GROUPS = ("blind", "projection", "cameras", "wide", "attention", *UNTRAINED)


def experiment(name: str, model: ModelConfig, data: DataConfig, steps: int) -> Config:
    """Return the config that all rows share."""
    return Config(
        name=name,
        model=dataclasses.replace(model, rope_folds_views=True),
        data=data,
        flow=FlowConfig(mean_share=0.5),
        optimizer=OptimizerConfig(
            learning_rate=0.01, adam_learning_rate=0.002, decay_share=0.7, warmup=min(20, steps)
        ),
        training=TrainingConfig(batch=8, steps=steps),
    )


def projection_rows(group: str, steps: int) -> Iterator[Config]:
    """Yield Full-4D's network, and the same without a part of its mask, cameras or projection."""
    model, data = (MORE, WIDE) if group == "wide" else (FRAMES, CLIPS)
    dropped = dataclasses.replace(data, drop_projection=1.0)
    for name, change in PARTS.items():
        changed = dataclasses.replace(model, **change)
        yield experiment(name, changed, dropped if group == "blind" else data, steps)
    if group != "blind":
        yield experiment("without projection", model, dropped, steps)


def camera_rows(steps: int) -> Iterator[Config]:
    """Yield Full-4D's network without a projection, its cameras given in other ways."""
    data = dataclasses.replace(CLIPS, drop_projection=1.0)
    for name, cameras in CAMERAS.items():
        yield experiment(name, dataclasses.replace(FRAMES, cameras=cameras), data, steps)


def mode_rows(steps: int) -> Iterator[Config]:
    """Yield the attention modes of grids without poses."""
    for name, trained in MODES.items():
        config = experiment(name, dataclasses.replace(POSELESS, attention=name), GRIDS, steps)
        optimizer = dataclasses.replace(config.optimizer, trainable=trained)
        yield dataclasses.replace(config, optimizer=optimizer)


def base_of_modes(steps: int) -> Config:
    """Rows and columns as single videos."""
    return experiment("base", POSELESS, dataclasses.replace(GRIDS, lines=True), steps)


def trained_rows(group: str, options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """Name and scores of each row, one after the other."""
    folder = options.out / group
    folder.mkdir(parents=True, exist_ok=True)
    init = None
    if group == "attention":
        # A line is a quarter of a grid: twice the steps cost half of a row's.
        init = train_base(base_of_modes(2 * options.steps), folder / "base.safetensors")
        rows = mode_rows(options.steps)
    elif group == "cameras":
        rows = camera_rows(options.steps)
    else:
        rows = projection_rows(group, options.steps)
    for config in rows:
        yield config.name, run(config, folder, init, options.seeds, options.scenes)


def all_tables(options: argparse.Namespace) -> list[Table]:
    """Every group, the page written anew after every row."""
    options.out.mkdir(parents=True, exist_ok=True)
    tables: list[Table] = []
    for group in options.groups:
        rows = UNTRAINED[group](options) if group in UNTRAINED else trained_rows(group, options)
        tables.append(Table(group, {}))
        for name, scores in rows:
            tables[-1].rows[name] = scores
            page = markdown(tables, options.steps)
            (options.out / "ablations.md").write_text(page)
            (options.out / "ablations.json").write_text(json.dumps(plain(tables), indent=1))
            save_chart(tables, options.out / "ablations.png")
        print(page, flush=True)
    return tables


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--steps", type=int, default=300, help="of every training")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=64, help="held-out scenes")
    parser.add_argument("--config", type=Path, help="preset of the checkpoint")
    parser.add_argument("--checkpoint", type=Path, help="by default the shipped prior")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    options = parser.parse_args()
    for name in ("steps", "seeds", "scenes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: found {getattr(options, name)}, expected at least 1")
    try:
        print(json.dumps(plain(all_tables(options))))
    except InputError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
