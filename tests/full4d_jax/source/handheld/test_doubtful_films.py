"""Films that are refused or warned of, each in one line, and films that pass.

Not recognised: a split screen, a letterbox that changes, a frame that is repeated (the camera rests
there, rightly), the rolling shutter of a shaken camera, a cross-fade between moving cameras.
"""

import cv2
import numpy as np
import pytest
from handheld_clips import HEIGHT, LENS, WIDTH, add_person, arc, film, path_error, shake

from full4d_jax.config import Size
from full4d_jax.geometry import camera_path, flow_depth
from full4d_jax.media.video_io import write_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.any_network import open_network
from full4d_jax.source.film import read_shot
from full4d_jax.source.handheld import find_path
from full4d_jax.source.options import VideoOptions

FPS = 8
LENGTH = 12
STILL = np.tile(np.eye(4), (LENGTH, 1, 1))


def noise(cell: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture with details of so many pixels."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 255, (height // cell, width // cell, 3), np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def room(poses: np.ndarray) -> np.ndarray:
    return film(poses)[0]


def resting() -> np.ndarray:
    """A second and a half of a room, before which something moves."""
    return add_person(room(STILL), 0.3)


def travelling() -> np.ndarray:
    return room(arc(LENGTH))


def darkened(frames: np.ndarray, share: float, grey: float = 0) -> np.ndarray:
    """Frames of little contrast, with the noise of a sensor."""
    flat = share * frames + (1 - share) * grey
    return (
        (flat + np.random.default_rng(0).normal(0, 2, frames.shape))
        .clip(0, 255)
        .astype(np.uint8)
    )


def fog() -> np.ndarray:
    return darkened(travelling(), 0.004, 200)


def night() -> np.ndarray:
    return darkened(travelling(), 0.01)


def cut() -> np.ndarray:
    return np.concatenate([travelling()[:6], 255 - resting()[6:, ::-1, ::-1]])


def cross_fade() -> np.ndarray:
    """From a picture to its mirror image in a second, three frames an instant."""
    share = np.linspace(-0.5, 1.5, 3 * LENGTH).clip(0, 1)[:, None, None, None]
    one = room(STILL[:1])
    return ((1 - share) * one + share * one[:, :, ::-1]).astype(np.uint8)


def water() -> np.ndarray:
    """Waves in all directions, each with a period of its own."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    seconds = np.arange(LENGTH)[:, None, None] / FPS
    height = np.zeros((LENGTH, HEIGHT, WIDTH))
    for _ in range(40):
        angle, length, hertz = rng.uniform((0, 8, 0.5), (6.3, 40, 2))
        place = x * np.cos(angle) + y * np.sin(angle)
        height += np.sin(2 * np.pi * (place / length + hertz * seconds))
    return (128 + 20 * height[..., None].repeat(3, -1)).clip(0, 255).astype(np.uint8)


def foliage() -> np.ndarray:
    """Leaves that swing, each its own way."""
    rng = np.random.default_rng(0)
    leaves = noise(4)
    size, way, phase = (
        cv2.resize(rng.normal(0, 1, (9, 16, 2)), (WIDTH, HEIGHT)) for _ in range(3)
    )
    at = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1)
    frames = []
    for t in range(LENGTH):
        x, y = np.moveaxis(at + 6 * size * np.sin(2 * t + 3 * way + 3 * phase), -1, 0)
        where = x.astype(np.float32), y.astype(np.float32)
        frames.append(cv2.remap(leaves, where[0], where[1], cv2.INTER_LINEAR))
    return np.stack(frames)


def zoom() -> np.ndarray:
    """A room that grows by half."""
    frames = room(STILL)
    for frame, factor in zip(frames, np.linspace(1, 1.5, len(frames)), strict=True):
        grows = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, factor)
        frame[:] = cv2.warpAffine(frame, grows, (WIDTH, HEIGHT))
    return frames


def black_frames() -> np.ndarray:
    frames = resting()
    frames[6:9] = 0
    return frames


def flash() -> np.ndarray:
    frames = travelling()
    frames[6] = 230 + frames[6] // 10
    return frames


def strobe() -> np.ndarray:
    frames = resting()
    frames[::2] = frames[::2] // 4
    return frames


def page() -> np.ndarray:
    """A page that scrolls, ever faster, under a bar that stays."""
    text = noise(4, 5 * HEIGHT)
    tops = np.linspace(0, 14, LENGTH) ** 2
    frames = np.stack([text[round(top) :][:HEIGHT] for top in tops])
    frames[:, : HEIGHT // 6] = noise(6)[: HEIGHT // 6]
    return frames


def time_lapse() -> np.ndarray:
    cells = np.random.default_rng(0).integers(0, 255, (LENGTH, 18, 32, 3), np.uint8)
    return cells.repeat(8, 1).repeat(8, 2)


def said(monkeypatch, folder, frames: np.ndarray) -> str:
    """Return the warning or the refusal of a film, whose depth is known."""
    path = folder / "film.mp4"
    write_video(path, frames, FPS * len(frames) // LENGTH)
    monkeypatch.setattr(camera_path, "MOST_CORNERS", 120)
    monkeypatch.setattr(find_path, "still_masks", lambda x: np.ones(x.shape[:3], bool))
    depth = film(STILL[:1])[1].repeat(LENGTH, 0)
    monkeypatch.setattr(find_path, "single_depth", lambda *_: depth)
    size = Size(1, LENGTH, HEIGHT, WIDTH)
    try:
        video = read_shot(path, size, VideoOptions(path, start=0.0), FPS)
    except InputError as error:
        return str(error)
    found = find_path.find_path(
        path,
        video.timestamps,
        video.frames,
        LENS,
        known=False,
        network=open_network(None),
    )
    return found.warning


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (cut, "a cut to another shot at 0.75 s"),
        (cross_fade, "a cross-fade"),
        (water, "a cut to another shot"),
        (foliage, "path is doubtful: 5"),
        (fog, "path is doubtful: 5"),
        (night, "in the dark"),
        (zoom, "the lens zooms"),
        (
            black_frames,
            "from 0.62 s to 0.75 s, as in a flash or where frames are black",
        ),
        (flash, "followed from 0.62 s to 0.75 s"),
        (strobe, "from 0.00 s to 0.12 s, as in a flash"),
        (page, "too little that stands still can be followed from 1.00 s"),
        (time_lapse, "a cut to another shot at 0.12 s"),
    ],
)
def test_a_film_is_warned_of(monkeypatch, tmp_path, frames, expected):
    assert expected in said(monkeypatch, tmp_path, frames())


def turning() -> np.ndarray:
    return room(shake().repeat(2, 0)[:LENGTH])


@pytest.mark.parametrize("frames", [resting, travelling, turning])
def test_a_film_that_is_fine_passes(monkeypatch, tmp_path, frames):
    assert said(monkeypatch, tmp_path, frames()) == ""


def test_an_instant_that_few_tracks_agree_with_is_warned_of(monkeypatch, tmp_path):
    estimate = find_path.estimate_path

    def with_doubt(*given, **more):
        path = estimate(*given, **more)
        path.agree[6] = 0.5
        return path

    monkeypatch.setattr(find_path, "estimate_path", with_doubt)
    assert "(50% at 0.75 s)" in said(monkeypatch, tmp_path, travelling())


def test_water_before_a_camera_at_rest_passes(monkeypatch, tmp_path):
    frames = resting()
    frames[:, HEIGHT // 2 :] = water()[:, HEIGHT // 2 :]
    assert said(monkeypatch, tmp_path, frames) == ""


def ends_askew(path):
    """Return a path whose last camera is turned by half a degree and more."""
    poses = path.world_to_camera.copy()
    poses[-1, :3] = cv2.Rodrigues(np.radians([0.5, 0.5, 0.5]))[0] @ poses[-1, :3]
    return path._replace(world_to_camera=poses)


def estimated_arc():
    frames, depth = film(arc())
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    instants = np.arange(len(gray))
    everywhere = camera_path.track_points(gray, instants)
    still = np.ones(depth.shape, bool)
    disparity = np.median(depth[0]) / depth
    film_of_arc = gray, instants, everywhere, still, disparity, LENS
    return find_path.estimate_path(*film_of_arc, known=True)


def test_tracks_judge_the_path_that_flow_adjusted(monkeypatch):
    search = camera_path.find_camera_path

    def end_askew(*given, **more):
        path = search(*given, **more)
        return ends_askew(path)._replace(agree=0.5 * path.agree, error=9.0)

    monkeypatch.setattr(camera_path, "find_camera_path", end_askew)
    path = estimated_arc()
    assert path_error(path.world_to_camera, arc()) < 0.05
    assert path.agree.min() > 0.95
    assert path.error < 0.3


def test_a_path_that_flow_bends_is_not_taken(monkeypatch):
    adjust = flow_depth.adjust_path

    def reverse(*given, **more):
        path = adjust(*given, **more)
        return path._replace(world_to_camera=path.world_to_camera[::-1])

    monkeypatch.setattr(flow_depth, "adjust_path", reverse)
    path = estimated_arc()
    assert path_error(path.world_to_camera, arc()) < 0.05
    assert path.agree.min() > 0.95


def test_of_two_paths_the_one_that_tracks_agree_with_is_taken(monkeypatch):
    poses = arc()
    frames, depth = film(poses)
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    everywhere = camera_path.track_points(gray, np.arange(len(gray)))
    search = camera_path.find_camera_path

    def astray_at_half_of_the_points(tracks, *given, **more):
        path = search(tracks, *given, **more)
        if len(tracks.instant) == len(everywhere.instant):
            return path
        backwards = path.world_to_camera[::-1]
        return path._replace(world_to_camera=backwards, agree=0 * path.agree)

    monkeypatch.setattr(camera_path, "find_camera_path", astray_at_half_of_the_points)
    still = np.zeros(depth.shape, bool)
    still[:, :, : depth.shape[2] // 2] = True
    path = find_path.estimate_path(
        gray,
        np.arange(len(gray)),
        everywhere,
        still,
        np.median(depth[0]) / depth,
        LENS,
        known=True,
    )
    assert path_error(path.world_to_camera, poses) < 0.05
