"""ReCamMaster's results: cam_typeN/videoM.mp4, beside them cameras/camera_extrinsics.json.

A generated video goes along trajectory N of each source video M. They come without cameras: these
are `camNN` of the camera_extrinsics.json that they were made with, as `multicam` reads it,
recognized by the first frame, where every video shows the source's own view
(https://github.com/KwaiVGI/ReCamMaster). The focal length is in the name of a folder above.
"""

import re
from pathlib import Path

from input_pipeline import capture, media_files, pinhole, plain_files
from input_pipeline.importers import multicam


def matches(path: Path) -> Path | None:
    """Return the first video that shows this layout."""
    return next((videos[0] for videos in _videos(path).values()), None)


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return a capture of each source video.

    Raises:
      ValueError: there are no cameras or no focal length, or a video has no camera.
    """
    file = media_files.first_file(path, multicam.FILES)
    expected = f"{multicam.FILES[0]} beside them, the file that they were made with"
    plain_files.check_field(
        path, file, "videos of ReCamMaster without cameras", expected
    )
    focal = multicam.named_focal_length(path)
    poses = multicam.read_rig_poses(file or path)
    captures = []
    used = set()
    for source, videos in _videos(path).items():
        views = []
        for video in videos:
            name = f"cam{int(video.parent.name.removeprefix('cam_type')):02d}"
            pose = plain_files.field(poses, name, f"{file} for {video}")
            moving = pose @ pinhole.invert(pose[0])
            lens = multicam.lens(focal, media_files.picture_size(video))
            views.append(capture.make_view(name, [video], lens, moving, fps=fps))
            used.add(name)
        scene = f"{path.name}/{source}"
        origin = f"ReCamMaster, {path.name}, {source}"
        unit = multicam.CENTIMETRE_METRES
        captures.append(
            capture.make_capture(scene, views, source=origin, unit=unit, generated=True)
        )
    unused = len(poses) - len(used)
    if unused:
        first, *later = captures
        note = f"{unused} of {len(poses)} cameras have no video and are left out"
        captures = [first._replace(note=note), *later]
    return captures


def _videos(path: Path) -> dict[str, list[Path]]:
    """Return the generated videos of each source video, in order of the trajectories."""
    videos: dict[str, list[Path]] = {}
    natural = media_files.natural
    files = path.glob("cam_type*/video*")
    for file in sorted(files, key=lambda file: (natural(file), natural(file.parent))):
        name = f"{file.parent.name}/{file.stem}"
        is_named = re.fullmatch(r"cam_type\d+/video\d+", name)
        if is_named and file.suffix.lower() in media_files.VIDEOS:
            videos.setdefault(file.stem, []).append(file)
    return videos
