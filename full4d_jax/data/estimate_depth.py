"""Estimated depth for data sets that have none, in the units of their cameras."""

from pathlib import Path

from full4d_jax.data.build import build_dataset
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.estimators import estimator_mark, load_estimator
from full4d_jax.source.options import DepthKind
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.depth_alignment import Scale, WithDepth

Chosen = tuple[str, DepthKind | None]  # a network, and what its values are


def estimate_dataset_depth(
    dataset: Path, network: Chosen, out: Path, split: str, scale: Scale = "matches"
) -> None:
    """Write the clips of a split into another dataset, with depth in every view.

    Raises:
      InputError: an unusable dataset, estimator or folder, or views that share too little for the
        scale of their depth.
    """
    do = "choose another dataset, --out, --split, --depth_network or --scale"
    with input_errors("dataset", do):
        records = open_dataset(dataset, split)
    clips = WithDepth(records, records.scene_ids, load_estimator(*network), scale)
    about = f"The split {split} of a dataset ({records.content}), "
    about += f"depth by {estimator_mark(network[0])} ({scale})."
    build_dataset(out, clips, name="depth", splits={split: 1.0}, about=about, do=do)
    print(f"next: full4d data check {out} --split {split}")
