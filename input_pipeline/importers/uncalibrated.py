"""Recognize results of generators that write no cameras, and name the missing file.

    SynCamMaster        prompt0_merged.mp4: two views side by side
    TrajectoryCrafter   gen.mp4, render.mp4, mask.mp4: around a point at a depth that is not kept

GEN3C keeps no cameras either. Its only video has the name that its user chose, so nothing
distinguishes it from any other video.
"""

import re
from pathlib import Path

from input_pipeline import capture, media_files


def matches(path: Path) -> Path | None:
    """Return a video that a generator named."""
    videos = {
        video.stem: video for video in media_files.listed(path, media_files.VIDEOS)
    }
    for name, video in videos.items():
        if re.fullmatch(r"prompt\d+_merged", name):
            return video
    return videos.get("gen") if {"render", "mask"} <= set(videos) else None


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Refuse the folder.

    Raises:
      ValueError: always; it says which file to add.
    """
    del fps
    kind = "videos of SynCamMaster, two views side by side"
    if (matches(path) or path).stem == "gen":
        kind = "a video of TrajectoryCrafter"
    expected = (
        'one video a view, with their lenses and poses in cameras.json and "generated": true there '
        "(docs/data.md), or in transforms.json"
    )
    raise ValueError(f"{path}: found {kind} without cameras, expected {expected}")
