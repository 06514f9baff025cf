"""Estimate the depth of a video or picture, in a file that `run --depth` takes."""

from pathlib import Path

from full4d_jax.source import kinds, options


def depth(
    *,
    source: options.SourcePath = options.CLIP,
    out: Path = Path("depth.npy"),
    start: options.Start = 0.0,
    seconds: options.Seconds = None,
    fps: options.Rate | None = None,
    rows: options.Rows = None,
    fov: options.Fov = None,
    poses: Path | None = None,
    depth_network: str = "ours",
    depth_kind: options.DepthKind | None = None,
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
    kinds.require_kind(source, (kinds.VIDEO,))
    from full4d_jax.data.export_depth import write_video_depth

    size = options.SizeOptions(rows=rows, seconds=seconds)
    measured = options.DepthOptions(depth_network=depth_network, depth_kind=depth_kind)
    write_video_depth(
        options.VideoOptions(
            source, start, fps, fov, poses, size=size, measured=measured
        ),
        out,
    )
