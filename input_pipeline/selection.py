"""Choose views, instants and picture sizes of a clip: pure functions of a generator."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from input_pipeline import h264, schema
from input_pipeline.plain_files import check_field


def choose_views(
    generator: np.random.Generator,
    centers: Float[np.ndarray, "v 3"],
    count: int,
    *,
    source: int | np.integer,
    spread: bool = False,
) -> Int[np.ndarray, "n"]:
    """Return the source and targets, in random order behind it.

    Args:
      generator: of random numbers.
      centers: where the cameras stand, world units.
      count: views, the source included.
      source: number of its view.
      spread: targets that stand far from the source and from each other, not any: each is the
        farthest from those already chosen, after a first one at random.

    Raises:
      ValueError: there are fewer views.
    """
    check_field("views", len(centers) >= count, len(centers), f"at least {count}")
    other_views = np.delete(np.arange(len(centers)), source)
    targets = generator.permutation(other_views)[: count - 1]
    if spread and count > 1:
        chosen = [source, int(targets[0])]
        while len(chosen) < count:
            away = np.linalg.norm(
                centers[:, None] - centers[chosen][None], axis=-1
            ).min(1)
            away[chosen] = -1
            chosen.append(int(away.argmax()))
        targets = generator.permutation(chosen[1:])
    return np.array([source, *targets])


def choose_times(
    generator: np.random.Generator,
    length: int,
    count: int,
    strides: Sequence[int] = (1,),
) -> Int[np.ndarray, "n"]:
    """Return a window of `count` instants: any stride that fits, then any start, all alike.

    Raises:
      ValueError: no stride fits.
    """
    fitting = [stride for stride in strides if (count - 1) * stride < length]
    least = (count - 1) * min(strides) + 1
    check_field("instants", fitting, length, f"at least {least}")
    stride = int(generator.choice(fitting))
    start = int(generator.integers(length - (count - 1) * stride))
    return start + stride * np.arange(count)


def select(
    example: schema.Example, views: Int[np.ndarray, "n"], times: Int[np.ndarray, "m"]
) -> schema.Example:
    """Return the clip of some views and instants; time starts anew.

    Latents stay where each is of one instant. Those that join instants stay with all of these, and
    projections with all views and instants.
    """
    both = np.ix_(views, times)
    all_views, all_times = map(np.arange, example.frames.shape)
    has_all_times = np.array_equal(times, all_times)
    is_whole = has_all_times and np.array_equal(views, all_views)
    timestamps = example.timestamps[both]
    latents = example.latents[views]
    if latents.shape[1] == len(all_times):
        latents = latents[:, times]
    elif not has_all_times:
        latents = latents[:, :0]
    return example._replace(
        timestamps=timestamps - timestamps.min(),
        frames=np.stack([h264.take(files, times) for files in example.frames[views]]),
        intrinsics=example.intrinsics[views],
        world_to_camera=example.world_to_camera[both],
        distortion=example.distortion[views],
        depth16=example.depth16[both],
        masks=example.masks[both],
        latents=latents,
        codec=example.codec if latents.size else "",
        projections=example.projections[: None if is_whole else 0],
    )


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced numbers below `count`, the first and last included."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(most, count))})


def nearest_bucket(height: int, width: int, buckets: Sequence[tuple[int, int]]) -> int:
    """Return the index of the bucket (height, width) that cuts the least of a picture away."""
    shape = height / width
    cuts = [abs(np.log(rows / columns / shape)) for rows, columns in buckets]
    return int(np.argmin(cuts))
