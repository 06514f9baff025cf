"""A clip of a dataset as `full4d run` takes it: the source view as a video, the others as cameras.

What is generated there can be compared with the clip's own views (`full4d evaluate --truth`).
"""

import json
from pathlib import Path

import numpy as np

from full4d_jax.captures import nearest_to_axes
from full4d_jax.config import DataConfig
from full4d_jax.errors import InputError
from full4d_jax.evaluation.split import open_split
from full4d_jax.evaluation.truth_clip import find_clip
from full4d_jax.stages import open_folder
from full4d_jax.video import write_video
from input_pipeline.cameras import relative_to, rescale
from input_pipeline.sampling import select
from input_pipeline.schema import Example
from input_pipeline.transforms import cover, decode, decode_frames, decode_jpeg

STILL = 1e-4  # of a pose, what counts as a camera that stands


def export_clip(
    data: DataConfig, dataset: Path, out: Path, *, split: str, clip: str, source: int
) -> None:
    """Write source.mp4 (undistorted) and cameras.json, and print the commands that use them.

    The unit is the median depth of the source at the first instant; without depth, its distance to
    the point nearest to all optical axes.

    Args:
      data: the size of the grid that the cameras are for, to which pictures are cropped.
      dataset: its folder.
      out: the folder to write.
      split: of the dataset.
      clip: number or scene of the clip; empty where there is but one.
      source: the view that becomes the video.

    Raises:
      InputError: no such clip or view, cameras that move, or nothing that tells the unit.
    """
    records = open_split(dataset, split)
    number = find_clip(records, clip)
    example, where = records[number], f"{dataset}, {split} {number}"
    views, frames = example.frames.shape
    if not 0 <= source < views:
        raise InputError("view", where, source, f"0 to {views - 1}", "change --source")
    others = [view for view in range(views) if view != source]
    example = select(example, np.array([source, *others]), np.arange(frames))
    if np.abs(example.world_to_camera - example.world_to_camera[:, :1]).max() > STILL:
        do = "write the cameras of your instants yourself ('Camera paths' in the README)"
        raise InputError("clip", where, "cameras that move", "cameras that stand still", do)
    poses = example.world_to_camera[:, 0].astype(np.float64)
    poses = relative_to(poses, poses[0])
    unit = _unit(example, poses, data, where)
    lenses = [
        cover(decode_jpeg(file), lens, data.height, data.width)[1]
        for file, lens in zip(example.frames[1:, 0], example.intrinsics[1:], strict=True)
    ]
    height, width = decode_jpeg(example.frames.item(0, 0)).shape[:2]
    video = np.empty((1, frames, height, width, 3), np.uint8)
    lens = decode_frames(example, video)[0]

    folder = open_folder(out)
    write_video(folder / "source.mp4", video[0], example.fps)
    content = {
        "image_size": [data.width, data.height],
        "intrinsics": np.stack(lenses).tolist(),
        "world_to_camera": rescale(poses[1:], unit).tolist(),
    }
    (folder / "cameras.json").write_text(json.dumps(content, indent=1) + "\n")
    fov = np.degrees(2 * np.arctan(width / 2 / lens[0, 0]))
    print(f"{folder}: source.mp4 (view {source}), cameras.json (views {others}); unit {unit:.4g}")
    print(
        f"next: full4d sample --video {folder}/source.mp4 --fov {fov:.2f} --path "
        f"{folder}/cameras.json --data.views {views} --data.height {data.height} --data.width "
        f"{data.width} --out {folder}/grid"
    )
    print(
        f"then: full4d evaluate --grid {folder}/grid --truth {dataset} --split {split} "
        f"--clip {number}"
    )


def _unit(example: Example, poses: np.ndarray, data: DataConfig, where: str) -> float:
    first = select(example, np.array([0]), np.array([0]))
    depth = decode(first, height=data.height, width=data.width).depth
    if depth.any():
        return float(np.median(depth[depth > 0]))
    middle = nearest_to_axes(poses)
    if middle is None:
        found, do = "neither depth nor cameras that look at one place", "import it with depth"
        raise InputError("clip", where, found, "one of them", do)
    return float(np.linalg.norm(middle))
