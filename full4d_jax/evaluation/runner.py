"""Evaluations of a prior that knows cameras, on procedural scenes and on clips of a data set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from full4d_jax.evaluation.generated_grids import Judge, generate_rows, identity, shipped_row
from full4d_jax.evaluation.groups import Candidates, Group, evaluate_groups
from full4d_jax.evaluation.known_clips import KnownClip, gltf_clips, gltf_views, held_out_clips
from full4d_jax.evaluation.split import split_clips
from full4d_jax.media.pictures import to_uint8
from full4d_jax.source.depth.estimators import OURS
from input_pipeline.datasets.dataset import Records


def evaluate_held_out(judge: Judge, folder: Path, scenes: range, gltf: Path | None) -> None:
    """Evaluate procedural scenes, and clips of a glTF asset."""
    data = judge.config.data

    def filled(clips: Callable[[Sequence[int]], Iterable[KnownClip]]):
        return lambda numbers: generate_rows(judge, clips(numbers))

    groups = [Group("held-out", scenes, filled(partial(held_out_clips, data)))]
    if gltf:
        numbers = range(len(gltf_views(gltf)))
        groups.append(Group("glTF", numbers, filled(partial(gltf_clips, data, gltf))))
    example = {"scene": to_uint8(next(held_out_clips(data, [0])).clip.frames), "gltf": gltf}
    where = "targets within ±60° of the source"
    _evaluate(judge, folder, groups, identity(judge, example), where)


def evaluate_split(judge: Judge, folder: Path, records: Records) -> None:
    """Evaluate all clips of a data set's split."""

    def filled(numbers: Sequence[int]) -> Iterator[Candidates]:
        return generate_rows(judge, split_clips(records, judge.config.data, numbers))

    group = Group(records.split, range(len(records)), filled)
    clip = [records.content, records.split]
    where = (
        f"split `{records.split}` of the dataset `{records.content[:16]}`; `true` is the depth in "
        "its records"
    )
    _evaluate(judge, folder, [group], identity(judge, clip), where)


def _evaluate(judge: Judge, folder: Path, groups: Sequence[Group], mark: str, where: str) -> None:
    data = judge.config.data
    name = judge.depth_name
    network = "our network" if name == OURS else f"the network {name}"
    shipped = shipped_row(judge.config)
    preface = (
        f"# Evaluation of `{judge.config.name}`\n\n"
        f"{data.views} views (source included), {data.frames} frames of {data.width}x{data.height} "
        f"pixels, {where}. Shipped sampler setting: {shipped}. Pixels that the source does not see "
        "are those where the projection of the one source frame of the same instant, with true "
        "depth if it is known, has no point; those that move differ from their median over time. "
        "For SSIM its map is averaged over them, for LPIPS the truth is pasted over all others. "
        f"`{name}` is the depth of {network}."
    )
    caption = (
        "The last instant, in the view with the largest holes; "
        f"'{name}' is given that network's depth"
    )
    evaluate_groups(
        folder,
        groups,
        judge.distances,
        mark=mark,
        shipped=shipped,
        preface=preface,
        caption=caption,
    )
