"""Estimate the depth of a video or picture, in a file that `run --depth` takes."""

from pathlib import Path

from full4d_jax.source.kinds import VIDEO, require_kind
from full4d_jax.source.options import (
    CLIP,
    DepthKind,
    DepthOptions,
    Fov,
    Rate,
    Rows,
    Seconds,
    SizeOptions,
    SourcePath,
    Start,
    VideoOptions,
)


def depth(
    *,
    source: SourcePath = CLIP,
    out: Path = Path("depth.npy"),
    start: Start = 0.0,
    seconds: Seconds = None,
    fps: Rate | None = None,
    rows: Rows = None,
    fov: Fov = None,
    poses: Path | None = None,
    depth_network: str = "ours",
    depth_kind: DepthKind | None = None,
) -> None:
    """Write z-depth (t h w), 0 where unknown, and a picture of it beside.

    Instants, size and the camera's path are those that `full4d run` takes.

    Args:
      source: a video, or a picture; by default a clip of a shop in the package.
      out: the .npy file to write; the picture is the .png beside it.
      start: seconds into the video.
      seconds: seconds to take; by default 2.
      fps: frames a second to take; by default 8.
      rows: short side, pixels; by default 256.
      fov: horizontal field of view in degrees; some metric networks need it for their metres.
      poses: the camera's path (see full4d run --help); by default found in the video.
      depth_network: ours, another name or a file (see full4d run --help).
      depth_kind: what an .onnx file gives (see full4d run --help).
    """
    require_kind(source, (VIDEO,))
    from full4d_jax.data.video_depth import write_video_depth

    size = SizeOptions(rows=rows, seconds=seconds)
    measured = DepthOptions(depth_network=depth_network, depth_kind=depth_kind)
    write_video_depth(
        VideoOptions(source, start, fps, fov, poses, size=size, measured=measured), out
    )
