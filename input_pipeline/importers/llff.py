"""LLFF and DyNeRF (Neural 3D Video): poses_bounds.npy beside videos or pictures.

A row is a 3x5 matrix and two depth bounds: camera-to-world with axes down, right, backward, and a
column of height, width and focal length; the principal point is the middle
(https://github.com/Fyusion/LLFF).
"""

from pathlib import Path

from input_pipeline import capture, conventions, lenses, plain_files
from input_pipeline.importers import calibrated
from input_pipeline.media_files import PICTURES, VIDEOS, first_file, listed, natural

FILE = "poses_bounds.npy"
# As LLFF's scripts name folders of reduced pictures.
PHOTO_FOLDERS = ("images", "images_2", "images_4", "images_8")


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return first_file(path, (FILE,))


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture; rows belong to the files sorted by character (cam10 before cam2).

    Raises:
      ValueError: a broken table, or as many files as rows are not there.
    """
    file = path / FILE
    stored = plain_files.load_array(file, "(n 17)")
    table = plain_files.numbers(stored, (len(stored), 17), str(file))
    videos = _videos(path, len(table))
    matrices = table[:, :15].reshape(-1, 3, 5)
    rows = dict(zip(sorted(videos), matrices, strict=True))
    views = []
    for video, files in videos.items():
        matrix = rows[video]
        height, width, focal = matrix[:, 4]
        lens = lenses.lens_matrix(focal, focal, width / 2, height / 2)
        pose = conventions.to_opencv(conventions.homogeneous(matrix[:, :4]), "llff")
        size = round(height), round(width)
        view = capture.make_view(
            video.stem, files, lens, pose, size=size, fps=fps, beside=path
        )
        views.append(view)
    return [capture.make_capture(path.name, views)]


def _videos(path: Path, count: int) -> dict[Path, list[Path]]:
    """Return the first videos, photos or folders of frames as numerous as the poses, by path.

    The video that photos were taken from may lie beside them, and frames in cam00/images.

    Raises:
      ValueError: none are, or folders of unequal length.
    """
    single = [listed(path / name, VIDEOS) for name in (".", "videos")]
    single += [listed(path / name, PICTURES) for name in PHOTO_FOLDERS]
    choices = [{file: [file] for file in files} for files in single]
    folders = sorted((f for f in path.glob("cam*") if f.is_dir()), key=natural)
    frames = {f: listed(f / "images", PICTURES) or listed(f, PICTURES) for f in folders}
    choices.append({f: files for f, files in frames.items() if files})
    videos = next((videos for videos in choices if len(videos) == count), {})
    counts = " or ".join(str(len(videos)) for videos in choices if videos) or "0"
    found = f"{count} poses and {counts} videos or pictures"
    plain_files.check_field(path, videos, found, "as many")
    of_videos = {video.name: tuple(files) for video, files in videos.items()}
    calibrated.check_lengths(of_videos, path)
    return videos
