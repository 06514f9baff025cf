"""Picture and video files on disk: finding, sorting and reading them."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from input_pipeline import plain_files, video_files

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEOS = {
    ".mp4",
    ".mov",
    ".mkv",
    ".avi",
    ".webm",
    ".m4v",
    ".mts",
    ".m2ts",
    ".ts",
    ".vob",
    ".mpg",
    ".mpeg",
    ".3gp",
    ".wmv",
    ".mxf",
}
DEPTHS = {".npy", ".png"}
WHITE_LEVEL = 255
# Every fifth clip of a folder, by name, is left for evaluation.
HELD_OUT = 5
# Where videos of a folder without any table of cameras are looked for.
VIDEO_FOLDERS = (".", "videos", "videos/dense", "images")


def natural(path: Path | str) -> list:
    """Return a key that sorts cam2 before cam10."""
    parts = re.split(r"(\d+)", path.name if isinstance(path, Path) else path)
    return [(int(part), part) if part.isdigit() else (-1, part) for part in parts]


def first_file(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first of these files that is there."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def picture_named(place: Path) -> Path:
    """Return the picture at a path that may lack its ending; the path itself if there is none."""
    files = [place.with_name(place.name + ending) for ending in ("", *sorted(PICTURES))]
    return next((file for file in files if file.is_file()), place)


def listed(folder: Path, endings: set[str]) -> list[Path]:
    """Return the folder's files with these endings in natural order; none if there is no folder."""
    files = [file for file in folder.glob("[!.]*") if file.suffix.lower() in endings]
    return sorted(files, key=natural)


def training_clips(folder: str | Path) -> list[Path]:
    """Return the folder's videos but every fifth by name, which evaluation keeps for itself.

    Raises:
      ValueError: there is none.
    """
    clips = listed(Path(folder), VIDEOS)
    plain_files.check_field(f"videos {folder}", clips, "none", "files like clip.mp4")
    return [clip for i, clip in enumerate(clips) if i % HELD_OUT != HELD_OUT - 1]


def videos_in(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return each camera's files: videos by name, else subfolders of pictures."""
    videos = {file.stem: (file,) for file in listed(folder, VIDEOS)}
    inside = sorted(folder.glob("*"), key=natural)
    pictures = {place.name: tuple(listed(place, PICTURES)) for place in inside}
    return videos or {name: files for name, files in pictures.items() if files}


def find_videos(path: Path, folders: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Return the videos of the first of these folders of the capture that has any."""
    return next(filter(None, (videos_in(path / name) for name in folders)), {})


def files_of_camera(
    path: Path, kind: str, camera: str, alone: bool = False
) -> list[Path]:
    """Return depth or masks of a camera in `path/kind/camera`, none where there is no such folder.

    Those of a camera that took one picture `alone` may lie in `path/kind` itself, under the
    picture's name.
    """
    endings = DEPTHS if kind == "depth" else PICTURES
    files = listed(path / kind / camera, endings)
    if alone and not files:
        beside = listed(path / kind, endings)
        return [file for file in beside if camera in (file.stem, file.name)]
    return files


def picture_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of a picture (as stored) or of a video's upright frames.

    Raises:
      ValueError: naming the file if it cannot be read.
    """
    if path.suffix.lower() in VIDEOS:
        return video_files.frame_size(path)
    with opened_picture(path) as picture:
        return picture.height, picture.width


@contextlib.contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture of a size that fits memory; its pixels are not read yet.

    Raises:
      ValueError: naming the file if it is none, also if reading its pixels in this context fails.
    """
    with (
        plain_files.damage_of(path, "a whole picture"),
        plain_files.open_regular(path) as file,
        warnings.catch_warnings(),
    ):
        # Pillow only warns of half as many pixels as it refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file) as picture:
            plain_files.check_frame_size(path, picture.height, picture.width)
            # Only this reads the checksums of PNG files.
            picture.verify()
        with Image.open(file) as picture:
            yield picture


def first_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture, or the first one of a video.

    Raises:
      ValueError: naming the file if it cannot be read.
    """
    return (video_files.first_frame if path.suffix.lower() in VIDEOS else read_picture)(
        path
    )


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture file as sRGB: EXIF turns are ignored, 16 bits reduced, alpha put on white.

    Raises:
      ValueError: naming the file if it cannot be read to its end.
    """
    with opened_picture(path) as stored:
        stored.load()
    if stored.mode.startswith("I"):
        gray = np.round(np.asarray(stored) / 257).clip(0, WHITE_LEVEL).astype(np.uint8)
        return np.repeat(gray[..., None], 3, -1)
    fits = stored.mode != "F"
    plain_files.check_field(path, fits, "real numbers", "8 or 16 bits a pixel")
    if not stored.has_transparency_data:
        return np.asarray(stored.convert("RGB"))
    picture = np.asarray(stored.convert("RGBA")).astype(np.float32)
    alpha = picture[..., 3:] / WHITE_LEVEL
    return np.round(picture[..., :3] * alpha + WHITE_LEVEL * (1 - alpha)).astype(
        np.uint8
    )


def read_photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture file upright, turned and mirrored as its EXIF says; errors as `read_picture`.

    Calibrations are of pictures as they are stored, which `read_picture` returns.
    """
    picture = Image.fromarray(read_picture(path))
    with opened_picture(path) as stored:
        exif = stored.getexif()
    tag = Base.Orientation
    picture.getexif()[tag] = exif.get(tag, 1)
    return np.asarray(ImageOps.exif_transpose(picture))


def read_alpha(path: Path) -> UInt8[np.ndarray, "h w"] | None:
    """Return a picture's opaque pixels, 255, others 0; None for a picture without alpha or a video.

    Raises:
      ValueError: naming the file if it is no whole picture.
    """
    if path.suffix.lower() in VIDEOS:
        return None
    with opened_picture(path) as stored:
        if not stored.has_transparency_data:
            return None
        return _marked(np.asarray(stored.convert("RGBA"))[..., 3] > WHITE_LEVEL // 2)


def read_depth(
    path: Path,
    scale: float | None,
    size: tuple[int, int] | None = None,
    confidence: Path | None = None,
) -> Float32[np.ndarray, "h w"]:
    """Return a depth file, .npy (h w) or (h w 1) or a 16-bit picture, in world units; 0 if unknown.

    `scale` is the world units of 1; only real numbers do without, and are world units then. `size`
    is rows and columns of Record3D's `.depth`, float32 packed by LZFSE. `confidence` is a picture
    of as many pixels, 0 where the depth is unknown.

    Raises:
      ValueError: naming the file if it is none of these.
    """
    if path.suffix.lower() == ".npy":
        depth = plain_files.load_array(path, "depth (h w)")
        depth = depth[..., 0] if depth.shape[2:] == (1,) else depth
    elif size:
        depth = _unpacked(path, size)
    else:
        depth = _levels(path)
    kind = depth.dtype.kind
    found = f"{depth.dtype} {depth.shape}"
    is_depth = depth.ndim == 2 and kind in "fu"
    plain_files.check_field(path, is_depth, found, "depth (h w), real or unsigned")
    found = f"whole numbers ({depth.dtype}) of an unknown unit"
    expected = "a depth_scale in cameras.json, or .npy of real numbers in world units"
    plain_files.check_field(path, scale is not None or kind == "f", found, expected)
    depth = depth.astype(np.float32) * np.float32(1 if scale is None else scale)
    if confidence:
        levels = _levels(confidence)
        shape = levels.shape
        expected = f"{depth.shape}, that of its depth"
        plain_files.check_field(
            confidence, shape == depth.shape, f"shape {shape}", expected
        )
        depth[levels == 0] = 0
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def _unpacked(path: Path, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    try:
        import lzfse  # pyright: ignore[reportMissingImports]
    except ImportError:
        expected = "the module lzfse: pip install 'full4d-jax[record3d]'"
        raise ValueError(f"{path}: found LZFSE, expected {expected}") from None
    length = 4 * size[0] * size[1]
    # Nothing bounds what LZFSE unpacks to but the size of the file.
    packed = plain_files.read_regular(path, 2 * length + 1024)
    expected = f"{size[1]}x{size[0]} depth"
    with plain_files.damage_of(path, expected):
        depth = lzfse.decompress(packed)
    plain_files.check_field(
        path, len(depth) == length, f"{len(depth)} bytes", f"{length}, {expected}"
    )
    return np.frombuffer(depth, "<f4").reshape(size)


def read_mask(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return a mask file, a picture of 0 and 1 or 0 to 255 in any channels, as 0 and 255.

    Raises:
      ValueError: naming the file if it is no picture.
    """
    levels = _levels(path)
    levels = levels[..., :3].max(-1) if levels.ndim == 3 else levels
    return _marked(levels > (WHITE_LEVEL // 2 if levels.max() > 1 else 0))


def _levels(path: Path) -> np.ndarray:
    """Return the numbers of a picture as they are stored."""
    with contextlib.suppress(plain_files.Damage), opened_picture(path):
        # Sizes are refused here; OpenCV reads more kinds of pictures than Pillow.
        pass
    with plain_files.damage_of(path, "a picture"):
        content = np.frombuffer(plain_files.read_regular(path), np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise ValueError("bytes that do not decode")
        return picture


def _marked(inside: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return a mask, 255 inside, else 0."""
    return np.where(inside, np.uint8(WHITE_LEVEL), np.uint8(0))
