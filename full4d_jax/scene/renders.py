"""Videos and pictures of a fitted scene, from cameras where no camera was."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.media.video import write_video
from full4d_jax.session.progress import Progress
from full4d_jax.source.camera_paths import Preset, directions
from gaussians import Camera, Rendering, Scene, intersection_budget, render
from input_pipeline.cameras import orbit, resize_intrinsics

RENDER_FPS = 24


def write_renders(
    folder: Path,
    scene: Scene,
    intrinsics: Float[ndarray, "3 3"],
    *,
    height: int,
    width: int,
    size: int,
    seconds: float,
    path: Preset,
    sweep: float,
    elevation: float,
) -> None:
    """`orbit.mp4`, `bullet.mp4` and `scene.png`: the scene from where no camera was.

    In orbit.mp4 time runs there and back while the camera moves, in bullet.mp4 it stands still.

    Args:
      folder: where to write.
      scene: in world units.
      intrinsics: of the source, pixels of `height` x `width`.
      height: rows that the intrinsics refer to.
      width: columns that they refer to.
      size: rows of the rendered pictures.
      seconds: length of each video.
      path: of the camera.
      sweep: degrees to the sides.
      elevation: degrees up and down.
    """
    count = max(2, round(seconds * RENDER_FPS))
    phase = np.linspace(0, 1, count, endpoint=False)
    there_and_back = 1 - np.abs(2 * phase - 1)
    angles = directions(path, phase if path == "ring" else there_and_back, sweep, elevation)
    poses = orbit(angles[:, 0], angles[:, 1]).astype(np.float32)
    scale = size / height
    lens = resize_intrinsics(intrinsics, rows=scale, columns=scale).astype(np.float32)
    draw = renderer(scene, lens, size, round(width * scale), poses)
    for name, times in (("orbit", there_and_back), ("bullet", np.full(count, 0.5))):
        frames = []
        with Progress(f"{name}.mp4", count) as report:
            for i, (pose, time) in enumerate(zip(poses, times, strict=True)):
                frames.append(to_uint8(draw(pose, time).rgb))
                report(i + 1)
        write_video(folder / f"{name}.mp4", np.stack(frames), RENDER_FPS)
    azimuths, moments = np.linspace(-sweep, sweep, 5), (0.0, 0.5, 1.0)
    across = orbit(azimuths, 0 * azimuths).astype(np.float32)
    pictures = [[to_uint8(draw(pose, moment).rgb) for pose in across] for moment in moments]
    sheet = contact_sheet(
        np.asarray(pictures),
        rows=[f"time {moment:g}" for moment in moments],
        columns=[f"azimuth {azimuth:+.0f}" for azimuth in azimuths],
        title="the fitted scene; the source camera stands at azimuth 0",
    )
    save_picture(folder / "scene.png", sheet)


def renderer(
    scene: Scene,
    intrinsics: Float[ndarray, "3 3"],
    height: int,
    width: int,
    poses: Float[ndarray, "n 4 4"],
) -> Callable[[Float[ndarray, "4 4"], float], Rendering]:
    """A function of the pose (world-to-camera) and the normalised time.

    One budget of intersections is counted on a few of the `poses`, so that one compiled program
    draws all pictures; a picture that overflows it is drawn again with a budget of its own.
    """
    at = jax.jit(type(scene).at)

    def camera(pose: Float[ndarray, "4 4"]) -> Camera:
        return Camera(jnp.asarray(pose), jnp.asarray(intrinsics), width, height)

    few = poses[:: max(1, len(poses) // 6)]
    times = np.linspace(0, 1, len(few), dtype=np.float32)
    budget = max(
        intersection_budget(at(scene, time), camera(pose), antialiased=True, slack=1.4)
        for pose, time in zip(few, times, strict=True)
    )

    def draw(pose: Float[ndarray, "4 4"], time: float) -> Rendering:
        instant = at(scene, np.float32(time))
        picture = render(instant, camera(pose), antialiased=True, max_intersections=budget)
        if int(picture.overflow) > 0:
            picture = render(instant, camera(pose), antialiased=True)
        return picture

    return draw


def render_views(
    scene: Scene,
    intrinsics: Float[ndarray, "v 3 3"],
    world_to_camera: Float[ndarray, "v t 4 4"],
    times: Float[ndarray, "t"],
    *,
    height: int,
    width: int,
) -> UInt8[ndarray, "v t h w 3"]:
    """The scene from each view's camera at the normalised times."""
    frames = []
    for lens, poses in zip(intrinsics, world_to_camera, strict=True):
        draw = renderer(scene, lens, height, width, poses)
        pairs = zip(poses, times, strict=True)
        frames.append([to_uint8(draw(pose, time).rgb) for pose, time in pairs])
    return np.array(frames)
