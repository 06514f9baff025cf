"""The lens of a video or picture: from metadata, a depth network that knows it, or else a phone's.

Cameras record the focal length, mm, that would show as much on film of 36 x 24 mm, by the diagonal.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.media.video import Video
from full4d_jax.source.camera_paths import cropped_fov
from full4d_jax.source.handheld.pose_files import fov_of_poses
from full4d_jax.source.quicktime_tags import read_tag
from input_pipeline.cameras import intrinsics_from_fov
from input_pipeline.footage import opened_picture
from input_pipeline.importers.camera_path import CameraPath
from input_pipeline.video_files import frame_size

QUICKTIME_FOCAL_LENGTH = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
EXIF_BLOCK_TAG = 0x8769  # tag of the block of camera settings
# Returns the horizontal field of view of a clip (t h w 3) in degrees, or None.
LensEstimate = Callable[[UInt8[ndarray, "t h w 3"]], float | None]
A_WRONG_LENS = "too large a value flattens the scene and too small a one stretches it in depth"


def lens_of(
    video: Video,
    file: Path,
    fov: float | None,
    poses: CameraPath | None,
    estimate: LensEstimate | None = None,
) -> tuple[Float[ndarray, "3 3"], str]:
    """Return the intrinsics of a clip's frames in pixels, and a sentence on where they come from.

    Args:
      video: the clip.
      file: where it was read from.
      fov: horizontal field of view of the upright video in degrees; None where it is unknown.
      poses: what a file of poses holds; None without one.
      estimate: that of a depth network, asked where neither a person nor a file gives it; None
        without one that knows.
    """
    height, width = video.frames.shape[1:3]
    seen = assumed_fov(height, width)
    sentence = f"assumed to be {seen:.0f} degrees, {assumed_words(seen)}"
    whole = fov
    known = ""
    if whole is None and poses is not None:
        whole = fov_of_poses(poses)
        known = ", as the poses' lens has it"
    if whole is None and (equivalent := focal_length(file)) is not None:
        whole = fov_of(equivalent, *frame_size(file))
        known = f", of {equivalent:g} mm (as on 35 mm film) in the file's metadata"
    if whole is None and estimate is not None and (here := estimate(video.frames)) is not None:
        whole = cropped_fov(here, 1 / video.kept_width)
        known = f", by the depth network; give --fov if you know it, as {A_WRONG_LENS}"
    if whole is not None:
        seen = cropped_fov(whole, video.kept_width)
        sentence = f"{seen:.1f} degrees: {whole:.4g} before cropping{known}"
    return intrinsics_from_fov(seen, height, width), f"the horizontal field of view is {sentence}"


def assumed_fov(height: int, width: int) -> float:
    """Return the horizontal field of view that is taken where it is unknown, degrees.

    It is 65 degrees along the long side of the picture, as of a phone's main camera.
    """
    return cropped_fov(65.0, min(1.0, width / height))


def assumed_words(seen: float) -> str:
    """Return what an assumed field of view in degrees means, and what a wrong one does."""
    zoomed, wide = (
        math.degrees(2 * math.atan(math.tan(math.radians(seen) / 2) / zoom)) for zoom in (2, 0.5)
    )
    return (
        f"as of a phone's main camera at 1x; of a 2x zoom give --fov {zoomed:.0f}, of a 0.5x "
        f"ultra-wide --fov {wide:.0f}, as {A_WRONG_LENS}"
    )


def fov_of(equivalent: float, height: int, width: int) -> float:
    """Return the horizontal field of view, degrees, of a focal length in mm as on 35 mm film."""
    pixels = equivalent / math.hypot(36, 24) * math.hypot(height, width)
    return math.degrees(2 * math.atan(width / 2 / pixels))


def focal_length(path: Path) -> float | None:
    """Return the focal length in mm as on 35 mm film in a file's metadata, or None.

    Pictures have it in EXIF, videos of phones among the tags of a track or of the whole file.
    """
    focal_length_in_35mm_film = 0xA405
    try:
        with opened_picture(path) as picture:
            written = picture.getexif().get_ifd(EXIF_BLOCK_TAG).get(focal_length_in_35mm_film)
    except ValueError:  # no picture
        written = read_tag(path, QUICKTIME_FOCAL_LENGTH)
    if isinstance(written, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(?:mm)?[\s\0]*", written)
        written = match and match[1]
    try:
        value = float(written) if written is not None else 0.0
    except (TypeError, ValueError):
        return None
    # Files say 0 for unknown.
    return value if 5 <= value <= 2000 else None
