"""Records cut from captures: frames aligned by time, upright, undistorted, as JPEG or videos."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Int, Shaped
from numpy import ndarray

from input_pipeline import lenses, media_files, pinhole, schema, transforms, video_files
from input_pipeline.capture import Capture, View
from input_pipeline.plain_files import check_field

# Frames of a clip, where the capture has as many: what video models are trained on.
CLIP_FRAMES = 81


class CaptureClips(Sequence[schema.Example]):
    """Random access to the clips of captures; element i is a pure function of i.

    Args:
      captures: what importers read.
      frames: instants of a clip; None: `CLIP_FRAMES`, or all of a shorter capture.
      stride: take every n-th instant.
      instants: of those that all views share, from the first of these to before the second; None
        is the end.
      size: pixels of the shorter side; larger frames are reduced, None keeps them.
      film: store views as H.264 videos, whose sides are even, instead of JPEG files.
      finest: store JPEG files with hardly a loss, for scores.

    Raises:
      ValueError: naming the scene whose views share no instants, or fewer than `frames`.
    """

    def __init__(
        self,
        captures: Sequence[Capture],
        *,
        frames: int | None = None,
        stride: int = 1,
        size: int | None = None,
        instants: tuple[int, int | None] = (0, None),
        film: bool = False,
        finest: bool = False,
    ):
        self.captures = list(captures)
        self.size = size
        self.film = film
        self.finest = finest
        self.left_out = 0
        self._frame_times: dict[Path, Float64[ndarray, " n"]] = {}
        self._cuts: list[tuple[int, Int[ndarray, "v t"]]] = []
        for number, capture in enumerate(self.captures):
            where = f"scene {capture.scene_id}"
            aligned = align(capture.views, where)[:, slice(*instants, stride)]
            count = aligned.shape[1]
            t = max(1, min(CLIP_FRAMES, count)) if frames is None else frames
            check_field(where, count >= t, f"{count} instants that all views share", t)
            starts = range(0, count - t + 1, t)
            self._cuts += [(number, aligned[:, start : start + t]) for start in starts]
            self.left_out += count - t * len(starts)
        self.scene_ids = [self.captures[number].scene_id for number, _ in self._cuts]

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, index: int) -> schema.Example:  # type: ignore[override]
        """Decode, undistort and encode one clip.

        Raises:
          ValueError: naming the file that is damaged.
        """
        number, chosen = self._cuts[index]
        capture = self.captures[number]
        views = capture.views
        v, t = chosen.shape
        times = np.stack([x.timestamps[i] for x, i in zip(views, chosen, strict=True)])
        files = np.empty((3, v, t), object)
        intrinsics = np.empty((v, 3, 3), np.float32)
        poses = []
        for i, (view, taken) in enumerate(zip(views, chosen, strict=True)):
            files[:, i], lens, (h, w) = self._encode(view, taken)
            pose = view.world_to_camera[taken]
            intrinsics[i], pose = pinhole.turn(
                lens, pose, view.quarters, height=h, width=w
            )
            poses.append(pose)
        frames, depth, masks = files
        fps = (
            float(1 / np.median(np.diff(times), axis=1).max()) if t > 1 else capture.fps
        )
        example = schema.make_example(
            frames,
            intrinsics,
            np.stack(poses),
            times - times.min(),
            scene_id=capture.scene_id,
            fps=fps,
            source=f"{capture.source}, from {times.min():.3f} s",
            license=capture.license,
            depth16=depth,
            masks=masks,
            caption=capture.caption,
            unit=capture.unit,
            generated=capture.generated,
        )
        return schema.validate(example)

    def _encode(
        self, view: View, taken: Int[ndarray, " t"]
    ) -> tuple[Shaped[ndarray, "3 t"], pinhole.Lens, tuple[int, int]]:
        """Return turned files of pictures, depth and masks; intrinsics and size before turning."""
        files = np.full((3, len(taken)), b"", object)
        pictures = iter(self._pictures(view, taken))
        first = next(pictures)
        shape = first.shape
        # Videos have even sides.
        unit = 2 if self.film else 1
        scale = min(1.0, self.size / min(shape[:2])) if self.size else 1.0
        rows, columns = (
            unit * max(1, round(side * scale / unit)) for side in shape[:2]
        )
        # Coefficients do not depend on the size, and small maps are quick to make: reduce first.
        lens = pinhole.resize_intrinsics(
            view.intrinsics, rows=rows / shape[0], columns=columns / shape[1]
        )

        def flat(values: ndarray, method: int = cv2.INTER_NEAREST_EXACT) -> ndarray:
            """Resize, undistort and turn an image; depth and masks are not averaged."""
            if values.shape[:2] != (rows, columns):
                values = cv2.resize(values, (columns, rows), interpolation=method)
            straight = lenses.undistort(values, lens, view.distortion)[0]
            return np.ascontiguousarray(np.rot90(straight, -view.quarters))

        def flat_pictures() -> Iterator[ndarray]:
            where = f"camera {view.name}"
            for picture in chain([first], pictures):
                found = f"frames of {shape[:2]} and {picture.shape[:2]}"
                check_field(where, picture.shape == shape, found, "one size")
                yield flat(picture, cv2.INTER_AREA)

        files[0] = transforms.encode_view(
            flat_pictures(), self.film, finest=self.finest
        )
        see_through = media_files.read_alpha(view.files[0]) is not None
        for j, number in enumerate(taken):
            if view.depth:
                sure = view.confidence[number] if view.confidence else None
                depth = np.zeros((rows, columns), np.float32)
                if file := view.depth[number]:
                    stored = view.depth_scale, view.depth_size
                    depth = media_files.read_depth(file, *stored, sure)
                files[1, j] = transforms.encode_depth(flat(depth))
            mask = None
            if view.masks:
                mask = media_files.read_mask(view.masks[number])
            elif see_through:
                mask = media_files.read_alpha(view.files[number])
            if mask is not None:
                files[2, j] = transforms.encode_mask(flat(mask))
        size = rows, columns
        return files, lenses.flat_lens(lens, view.distortion, *size), size

    def _pictures(self, view: View, taken: Int[ndarray, " t"]) -> Iterable[ndarray]:
        """Yield these frames of a view, decoded when they are read."""
        video = view.files[0]
        if video.suffix.lower() not in media_files.VIDEOS:
            return map(media_files.read_picture, [view.files[i] for i in taken])
        if video not in self._frame_times:
            self._frame_times[video] = video_files.frame_times(video)
        return video_files.read_frames(video, self._frame_times[video][taken].tolist())


def align(views: Sequence[View], where: str) -> Int[ndarray, "v t"]:
    """Return for each shared instant the frame of each view.

    Instants are the frames of the view that has fewest while all views video. A view shows one by
    the frame nearest in time, at most half an interval away; no frame is taken twice, and instants
    that some view does not show are left out.

    Raises:
      ValueError: no instant is shared.
    """
    # Seconds.
    rounding = 1e-6
    times = [view.timestamps for view in views]
    start = max(x[0] for x in times)
    end = min(x[-1] for x in times)
    intervals = [np.median(np.diff(x)) for x in times if len(x) > 1]
    slack = float(max(intervals, default=0.0)) / 2 + rounding
    inside = [(x >= start - slack) & (x <= end + slack) for x in times]
    slowest = min(range(len(views)), key=lambda i: (np.count_nonzero(inside[i]), i))
    instants = times[slowest][inside[slowest]]
    near = np.stack([_nearest(x, instants) for x in times])
    taken = np.stack([x[i] for x, i in zip(times, near, strict=True)])
    shown = (np.abs(taken - instants) <= slack).all(0)
    near = near[:, shown]
    # No frame is taken twice; the first of a view is always new.
    fresh = (np.diff(near, axis=1, prepend=-1) > 0).all(0)
    ends = [(v.name, v.timestamps[0], v.timestamps[-1]) for v in views[:8]]
    spans = ", ".join(
        f"{name} {first:.2f} to {last:.2f} s" for name, first, last in ends
    )
    found = f"no shared instant ({spans})"
    check_field(where, fresh.any(), found, "views that overlap")
    return near[:, fresh]


def _nearest(times: Float64[ndarray, " n"], sought: Float64[ndarray, " t"]) -> ndarray:
    after = np.clip(np.searchsorted(times, sought), 1, max(1, len(times) - 1))
    after = np.minimum(after, len(times) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(sought - times[before] <= times[after] - sought, before, after)
