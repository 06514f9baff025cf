"""Judges scenes of moving cameras by pictures that no fit saw.

    python benchmarks/moving_videos.py later RUN ... [--out OUT]

`later`: frames of the video .5 to 2 s after the part that a run took. One search finds their
cameras together with those of the part (`geometry.camera_path`, the lens of the run), and a
similarity on the instants of the part brings them into the run's world. There the scene is drawn at
its last instant, and scored beside two rows that have no more than the last frame: its projection
by the run's depth, filled by push-pull, and its copy. A pixel counts where no person, animal or
vehicle is, neither in the frame nor in what the projection of the last frame shows there, and where
that frame's picture reaches. `OUT/RUN.png` shows the rows; what does not count is grey.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from real_videos import finished

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import fidelity, table
from full4d_jax.generation import projection_guidance
from full4d_jax.geometry import camera_path
from full4d_jax.geometry.arrays import Lens, Masks, Pictures, Poses
from full4d_jax.geometry.image_motion import optical_flow
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.media.video_io import gray_film, read_video
from full4d_jax.scene.renders import pictures_along, scene_renderer
from full4d_jax.scene.scene_reader import background_in, from_arrays
from full4d_jax.session.files import Arrays
from full4d_jax.source.depth import any_network
from full4d_jax.source.handheld import find_path
from input_pipeline import pinhole
from input_pipeline.video_files import frame_times

# Seconds after a part.
FIRST_LATER = 0.5
LAST_LATER = 2.0
# By which a scene is to be ahead of the projection.
WANTED_DECIBELS = 1.0
WANTED_LPIPS = 0.03
STATIC = "_static"
GREY = 128


class Later(NamedTuple):
    """Frames after the part that a run took.

    Attributes:
      frames: sRGB, cropped and resized as the run's.
      seconds: after the part.
      still: where no people, animals or vehicles are.
      world_to_camera: in the run's world.
      note: how well the cameras are known.
    """

    frames: Pictures
    seconds: Float[ndarray, " t"]
    still: Masks
    world_to_camera: Poses
    note: str


class Similarity(NamedTuple):
    """A map x -> scale R x + shift from one world to another."""

    scale: float
    rotation: Float[ndarray, "3 3"]
    shift: Float[ndarray, "3"]

    def cameras(self, world_to_camera: Poses) -> Poses:
        """Return cameras of the first world in the second."""
        places = pinhole.centers(world_to_camera)
        places = self.scale * places @ self.rotation.T + self.shift
        rotation = world_to_camera[:, :3, :3] @ self.rotation.T
        return pinhole.rigid(rotation, -np.einsum("tij,tj->ti", rotation, places))


def fit_similarity(own: Poses, wanted: Poses) -> Similarity:
    """Return the similarity that brings cameras to others, but for those that are far astray.

    Each camera weighs by one over its angle to the other, from round to round: the least sum of
    angles, not of squares. Of cameras that only turn the scale is 0, as any would do.
    """
    rounds = 30
    least_degrees = 0.02
    turns = wanted[:, :3, :3].swapaxes(1, 2) @ own[:, :3, :3]
    targets = pinhole.centers(wanted)
    fitted = Similarity(0.0, np.eye(3), np.zeros(3))
    weights = np.ones(len(own))
    for _ in range(rounds):
        weights /= weights.sum()
        left, _, right = np.linalg.svd(np.einsum("t,tij->ij", weights, turns))
        rotation = left @ right
        places = pinhole.centers(own) @ rotation.T
        off = places - weights @ places
        square = float(weights @ (off**2).sum(1))
        scale = float(weights @ (off * targets).sum(1)) / square if square else 0.0
        shift = weights @ (targets - scale * places)
        fitted = Similarity(scale, rotation, shift)
        weights = 1 / (least_degrees + degrees_off(fitted.cameras(own), wanted))
    return fitted


def degrees_off(own: Poses, wanted: Poses) -> Float[ndarray, " t"]:
    """Return the angles between cameras' axes."""
    turns = own[:, :3, :3] @ wanted[:, :3, :3].swapaxes(1, 2)
    cosines = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def misfit(own: Poses, wanted: Poses) -> str:
    """Return how far cameras are from others, in words."""
    degrees = degrees_off(own, wanted)
    apart = np.linalg.norm(pinhole.centers(own) - pinhole.centers(wanted), axis=1)
    span = np.ptp(pinhole.centers(wanted), axis=0).max()
    return (
        f"{np.median(degrees):.2f} (at most {degrees.max():.2f}) degrees and "
        f"{np.median(apart):.4f} off, of a path of {span:.2f}"
    )


def later_frames(folder: Path, arrays: dict[str, Arrays]) -> Later:
    """Read the frames after a run's part, and find their cameras in its world.

    Raises:
      SystemExit: The video ends too soon, or its camera is lost.
    """
    report = json.loads((folder / "report.json").read_text())
    file = Path(report["options"]["source"]["video"])
    part = arrays["source"]
    times = part["times"]
    step = float(np.ptp(times)) / (len(times) - 1)
    left = min(LAST_LATER, frame_times(file)[-1] - times[-1])
    count = int(left / step + 1e-3)
    if count * step < FIRST_LATER:
        raise SystemExit(f"{folder}: its video ends {left:.2f} s after the part")
    height, width = part["frames"].shape[2:4]
    start = float(times[-1]) + step
    size = {"height": height, "width": width}
    after = read_video(file, **size, frames=count, fps=1 / step, start=start)
    film, instants = gray_film(file, np.append(times, after.timestamps), height, width)
    frames = np.concatenate([part["frames"][0], after.frames])
    still = find_path.still_masks(frames)
    tracks = camera_path.track_points(film, instants, still)
    if not camera_path.reach_all(tracks, len(frames)):
        raise SystemExit(f"{folder}: the camera of the later frames is lost")
    network = any_network.open_network(None)
    disparity = find_path.single_disparity(network, frames)
    lens = arrays["grid"]["intrinsics"][0].astype(np.float64)
    path = camera_path.find_camera_path(tracks, disparity, lens, known=True)
    known = arrays["grid"]["world_to_camera"][0].astype(np.float64)
    similarity = fit_similarity(path.world_to_camera[: len(known)], known)
    poses = similarity.cameras(path.world_to_camera)
    seconds = after.timestamps - times[-1]
    # Half a step before, as frames are those nearest to their seconds.
    chosen = np.flatnonzero(seconds > FIRST_LATER - step / 2)
    later = len(known) + chosen
    agree = (
        f"{path.agree.mean():.0%} of the tracks agree ({path.agree.min():.0%} at worst)"
    )
    off = misfit(poses[: len(known)], known)
    note = f"{path.motion}, {agree}; the part's cameras {off}"
    return Later(frames[later], seconds[chosen], still[later], poses[later], note)


def static_pixels(
    last_still: Bool[ndarray, "h w"], later: Later, truth: Grid
) -> Float[ndarray, "v 1 h w"]:
    """Return 1 where later frames and the last one show what stands still, else 0.

    Args:
      last_still: where the last frame shows no people, animals or vehicles.
      later: the frames to score.
      truth: the last frame with its depth, and the later ones.
    """
    cameras = truth.known_cameras
    still = jnp.asarray(last_still[None, ..., None], jnp.float32)
    depth = jnp.asarray(truth.known_depth[0])
    shown = projection_guidance.project_video(still, depth, cameras)
    disparity = shown._replace(frames=shown.disparity[..., None])
    shows_still = np.asarray(projection_guidance.fill_holes(shown))[:, 0, ..., 0] > 0.5
    far = 1 / np.maximum(np.asarray(projection_guidance.fill_holes(disparity)), 1e-3)
    lens = np.asarray(cameras.intrinsics[0], np.float64)
    last = np.asarray(cameras.world_to_camera[0, 0], np.float64)
    reaches = [
        reaches_picture(x[0, ..., 0], lens, pose, last)
        for x, pose in zip(far, later.world_to_camera, strict=True)
    ]
    return (later.still & shows_still & reaches)[:, None].astype(np.float32)


def reaches_picture(
    depth: Float[ndarray, "h w"], lens: Lens, camera: ndarray, other: ndarray
) -> Bool[ndarray, "h w"]:
    """Return which pixels of a camera, at this depth, lie inside another's picture."""
    height, width = depth.shape
    points = pinhole.unproject(depth, lens, camera)
    seen = (points @ other[:3, :3].T + other[:3, 3]) @ lens.T
    x, y = np.moveaxis(seen[..., :2] / np.maximum(seen[..., 2:], 1e-6), -1, 0)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return inside & (seen[..., 2] > 0)


def judge_later(folder: Path, out: Path) -> dict[str, float]:
    """Score a run by the frames after its part, print a line and draw them."""
    arrays = finished(folder)
    later = later_frames(folder, arrays)
    grid = arrays["grid"]
    last = grid["frames"][0, -1]
    count = len(later.frames)
    lenses = np.repeat(grid["intrinsics"][:1], 1 + count, 0)
    path = np.concatenate([grid["world_to_camera"][0, -1:], later.world_to_camera])
    poses = path.astype(np.float32)[:, None]
    frames = np.concatenate([last[None], later.frames])[:, None]
    truth = Grid(
        frames=frames,
        origin=all_real(frames),
        times=arrays["source"]["times"][-1:],
        cameras=Cameras(lenses, poses, *last.shape[:2]),
        depth=grid["depth"][:1, -1:],
    )
    rows = fidelity.compare(truth, {"run": truth.known_depth[0]})
    static = static_pixels(find_path.still_masks(last[None])[0], later, truth)
    pictures = {
        "scene": draw_scene(
            arrays["scene"], lenses[:1], poses[None, 1:, 0], last.shape
        ),
        "push-pull": rows.rows[table.PUSH_PULL, "run"][:, 0],
        "copy": rows.rows[table.COPY, "none"][:, 0],
    }
    lpips = fidelity.open_lpips()
    scores = {
        "frames": float(count),
        "share": float(static.mean()),
        "pixels_off": pixels_off(pictures["push-pull"], later.frames, static[:, 0] > 0),
    }
    for name, shown in pictures.items():
        of_row = fidelity.fidelity_scores(
            shown[:, None], rows.truth, {STATIC: static}, lpips
        )
        for measure in ("psnr", "lpips"):
            scores[f"{name}_{measure}"] = of_row[measure + STATIC] or np.nan
    save_picture(out / f"{folder.name}.png", sheet(later, pictures, static[:, 0] > 0))
    print(f"{folder.name}: {line(scores)}; {later.note}", flush=True)
    return scores


def pixels_off(
    shown: Float[ndarray, "t h w 3"], frames: Pictures, counts: Masks
) -> float:
    """Return by how many pixels pictures and frames are shifted in the median, by optical flow."""
    pairs = zip(to_uint8(shown), frames, strict=True)
    flows = [optical_flow(*pair) for pair in pairs]
    return float(np.median(np.linalg.norm(np.stack(flows), axis=-1)[counts]))


def draw_scene(
    scene: Arrays,
    lens: Float[ndarray, "1 3 3"],
    world_to_camera: Float[ndarray, "1 n 4 4"],
    shape: tuple[int, ...],
) -> Float[ndarray, "n h w 3"]:
    """Return a scene at its last instant, in [0, 1]."""
    cameras = Cameras(lens, world_to_camera, *shape[:2])
    renderer = scene_renderer(from_arrays(scene), cameras, background_in(scene))
    last = np.ones(world_to_camera.shape[1])
    return pictures_along(renderer, cameras, last) / fidelity.LEVELS


def sheet(
    later: Later, pictures: dict[str, Float[ndarray, "t h w 3"]], counts: Masks
) -> UInt8[ndarray, "H W 3"]:
    """Draw the frames, and each row where pixels count."""
    columns = {"truth": later.frames} | {
        name: np.where(counts[..., None], to_uint8(shown), np.uint8(GREY))
        for name, shown in pictures.items()
    }
    return contact_sheet(
        np.stack(list(columns.values()), 1),
        rows=[f"{x:.2f} s" for x in later.seconds],
        columns=list(columns),
        title=later.note,
    )


def line(scores: dict[str, float]) -> str:
    """Return the scores of a run in words."""
    of_rows = ", ".join(
        f"{name} {scores[f'{name}_psnr']:.2f} dB {scores[f'{name}_lpips']:.3f}"
        for name in ("scene", "push-pull", "copy")
    )
    counted = (
        f"{scores['frames']:.0f} frames, {scores['share']:.0%} of their pixels, the projection "
        f"{scores['pixels_off']:.2f} pixels off"
    )
    ahead = "ahead" if is_ahead(scores) else "not ahead"
    return f"{of_rows} ({counted}): {ahead}"


def is_ahead(scores: dict[str, float]) -> bool:
    """Return whether a scene is ahead of the projection by what is wanted."""
    decibels = scores["scene_psnr"] - scores["push-pull_psnr"]
    closer = scores["push-pull_lpips"] - scores["scene_lpips"]
    return bool(decibels >= WANTED_DECIBELS and closer >= WANTED_LPIPS)


def main() -> None:
    """Judge what the command line says; print a line for each run, and JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    judges = parser.add_subparsers(dest="judge", required=True)
    of_later = judges.add_parser("later", help="by frames after the part")
    of_later.add_argument("runs", nargs="+", type=Path, help="folders of full4d run")
    of_later.add_argument("--out", type=Path, default=Path("out/later"), help="folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    scores = [judge_later(run, options.out) for run in options.runs]
    medians = {k: round(float(np.median([x[k] for x in scores])), 4) for k in scores[0]}
    ahead = sum(map(is_ahead, scores))
    print(json.dumps({"runs": len(scores), "ahead": ahead} | medians))


if __name__ == "__main__":
    main()
