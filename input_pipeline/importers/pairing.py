"""Pair footage with calibrated cameras."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from input_pipeline.footage import VIDEOS, natural

Films = Mapping[str, tuple[Path, ...]]


def pair(films: Films, cameras: Sequence[str], where: Path) -> dict[str, str]:
    """For each camera the name of its footage: the same, or one that contains the other.

    A number is contained as a whole only: the film cam10 is not that of the camera cam1.

    Raises:
      ValueError: naming cameras and footage without the other.
    """
    pairs: dict[str, str] = {}
    for camera in cameras:
        inside = [film for film in films if _within(film, camera) or _within(camera, film)]
        if camera in films:
            pairs[camera] = camera
        elif len(inside) == 1:
            pairs[camera] = inside[0]
    unpaired = sorted(set(films) - set(pairs.values()), key=natural)
    bare = [camera for camera in cameras if camera not in pairs]
    if unpaired or bare or len(set(pairs.values())) < len(cameras):
        found = f"{len(cameras)} cameras ({', '.join(cameras)}) and {len(films)} films ("
        found += ", ".join(sorted(films, key=natural)) + ")"
        if unpaired:
            found += f"; without a camera: {', '.join(unpaired)}"
        if bare:
            found += f"; without a film: {', '.join(bare)}"
        raise ValueError(f"{where}: found {found}, expected one film of its name for each camera")
    return pairs


def _within(short: str, long: str) -> bool:
    """Return whether one name stands in the other without cutting a number."""
    before = r"(?<!\d)" if short[:1].isdigit() else ""
    after = r"(?!\d)" if short[-1:].isdigit() else ""
    return re.search(before + re.escape(short) + after, long) is not None


def check_lengths(films: Films, where: Path) -> None:
    """Refuse folders of pictures of unequal length, whose instants are unknown.

    Raises:
      ValueError: naming the counts.
    """
    counts = {
        name: len(files)
        for name, files in films.items()
        if len(files) != 1 or files[0].suffix.lower() not in VIDEOS
    }
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"{where}: found pictures {found}, expected as many for each camera")
