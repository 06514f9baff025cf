"""Judges scenes of moving cameras by pictures that no fit saw.

    python benchmarks/moving_videos.py later RUN ... [--out OUT]
    python benchmarks/moving_videos.py circled [--out OUT] [--seconds S] [--quality Q]

`later`: frames of the video .5 to 2 s after the part that a run took. One search finds their
cameras together with those of the part (`source.handheld.find_path`, the lens of the run), and a
similarity on the instants of the part brings them into the run's world. There the scene is drawn at
its last instant, and scored beside two rows that have no more than the last frame: its projection
by the run's depth, filled by push-pull, and its copy. A pixel counts where no person, animal or
vehicle is, neither in the frame nor in what the projection of the last frame shows there, and where
that frame's picture reaches. `OUT/RUN.png` shows the rows; what does not count is grey. Where the
search goes astray no row is right: `pixels_off` is the projection's median optical flow to the
truth.

`circled`: the photos of `fox_photos` in order, a thing that a camera circles, as a film of 8 a
second, every fourth kept away. `full4d run` makes a scene of it, without a word of its cameras. The
photos kept away are scored at their true cameras, brought into the run's world by a similarity on
the photos that it took; at the cameras there that fit them best (`fitting_`), since poses that are
a tenth of a degree off shift each pixel; and beside `full4d lift` of just these photos with their
true cameras. The
default of `--seconds` is the first sweep: later the photos leap, which a film shows as cuts.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from common import shared_folder
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from PIL import Image
from real_videos import Clip, finished, run_clip, run_full4d

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import fidelity, table
from full4d_jax.generation import projection_guidance
from full4d_jax.geometry.arrays import Lens, Masks, Pictures, Poses
from full4d_jax.geometry.image_motion import optical_flow
from full4d_jax.geometry.poses_between import pose_of
from full4d_jax.grid import Grid, all_real
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.media.video_io import crop_resize, read_video, write_video
from full4d_jax.scene.renders import pictures_along, scene_renderer
from full4d_jax.scene.scene_reader import background_in, from_arrays
from full4d_jax.session.files import Arrays
from full4d_jax.source.depth import any_network
from full4d_jax.source.film import find_cut
from full4d_jax.source.handheld import find_path
from input_pipeline import pinhole
from input_pipeline.conventions import to_opencv
from input_pipeline.video_files import frame_times

# Seconds after a part.
FIRST_LATER = 0.5
LAST_LATER = 2.0
# By which a scene is to be ahead of the projection.
WANTED_DECIBELS = 1.0
WANTED_LPIPS = 0.03
STATIC = "_static"
GREY = 128
# Of the photos in order, one is kept away in so many, and a second shows so many of the others.
KEPT_AWAY_PERIOD = 4
KEPT_AWAY = 2
FILM_FPS = 8.0


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


def later_frames(folder: Path, arrays: dict[str, Arrays]) -> Later:
    """Read the frames after a run's part, and find their cameras in its world.

    Raises:
      ValueError: The video, or the shot, ends too soon.
    """
    report = json.loads((folder / "report.json").read_text())
    file = Path(report["options"]["source"]["video"])
    part = arrays["source"]
    times = part["times"]
    step = float(np.ptp(times)) / (len(times) - 1)
    left = min(LAST_LATER, frame_times(file)[-1] - times[-1])
    count = int(left / step + 1e-3)
    if count * step < FIRST_LATER:
        raise ValueError(f"{folder}: its video ends {left:.2f} s after the part")
    height, width = part["frames"].shape[2:4]
    size = {"height": height, "width": width}
    shot = {"frames": 1 + count, "fps": 1 / step, "start": float(times[-1])}
    after = read_video(file, **size, **shot)
    cut = find_cut(after, file)
    if cut is not None:
        raise ValueError(f"{folder}: a cut {cut - times[-1]:.2f} s after the part")
    frames = np.concatenate([part["frames"][0], after.frames[1:]])
    times = np.append(times, after.timestamps[1:])
    lens = arrays["grid"]["intrinsics"][0].astype(np.float64)
    network = any_network.open_network(None)
    path = find_path.find_path(file, times, frames, lens, known=True, network=network)
    known = arrays["grid"]["world_to_camera"][0].astype(np.float64)
    similarity = fit_similarity(path.world_to_camera[: len(known)], known)
    poses = similarity.cameras(path.world_to_camera)
    off = degrees_off(poses[: len(known)], known)
    note = (
        f"{path.note or 'its camera rests'}; the cameras of the part are "
        f"{np.median(off):.2f} degrees off ({off.max():.2f} at worst)"
    )
    seconds = times - part["times"][-1]
    # Frames are those nearest to their seconds.
    later = seconds > FIRST_LATER - step / 2
    chosen = frames[later]
    still = find_path.still_masks(chosen)
    return Later(chosen, seconds[later], still, poses[later], note)


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
    pixels, ahead = pinhole.project(points, lens, other)
    x, y = np.moveaxis(pixels, -1, 0)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return inside & (ahead > 0)


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
    compared = fidelity.compare(truth, {"run": truth.known_depth[0]})
    static = static_pixels(find_path.still_masks(last[None])[0], later, truth)
    after = Cameras(lenses[:1], poses[None, 1:, 0], *last.shape[:2])
    pictures = {
        "scene": draw_scene(arrays["scene"], after, np.ones(count)),
        "push-pull": compared.rows[table.PUSH_PULL, "run"][:, 0],
        "copy": compared.rows[table.COPY, "none"][:, 0],
    }
    lpips = fidelity.open_lpips()
    scores = {
        "frames": float(count),
        "share": float(static.mean()),
        "pixels_off": pixels_off(pictures["push-pull"], later.frames, static[:, 0] > 0),
    }
    for name, shown in pictures.items():
        of_row = fidelity.fidelity_scores(
            shown[:, None], compared.truth, {STATIC: static}, lpips
        )
        for measure in ("psnr", "lpips"):
            scores[f"{name}_{measure}"] = of_row[measure + STATIC] or np.nan
    counts = static[:, 0, ..., None] > 0
    columns = {"truth": later.frames} | {
        name: np.where(counts, to_uint8(shown), np.uint8(GREY))
        for name, shown in pictures.items()
    }
    rows = [f"{x:.2f} s" for x in later.seconds]
    save_sheet(out / f"{folder.name}.png", columns, rows, later.note)
    rounded = {name: round(value, 3) for name, value in scores.items()}
    print(f"{folder.name}: {rounded}; {later.note}", flush=True)
    return scores


def pixels_off(
    shown: Float[ndarray, "t h w 3"], frames: Pictures, counts: Masks
) -> float:
    """Return by how many pixels pictures and frames are shifted in the median, by optical flow."""
    pairs = zip(to_uint8(shown), frames, strict=True)
    flows = [optical_flow(*pair) for pair in pairs]
    return float(np.median(np.linalg.norm(np.stack(flows), axis=-1)[counts]))


def draw_scene(
    scene: Arrays, cameras: Cameras, times: Float[ndarray, " n"]
) -> Float[ndarray, "n h w 3"]:
    """Return what one view's cameras see of a scene at normalised times, in [0, 1]."""
    renderer = scene_renderer(from_arrays(scene), cameras, background_in(scene))
    return pictures_along(renderer, cameras, times) / fidelity.LEVELS


def save_sheet(
    file: Path, columns: Mapping[str, Pictures], rows: Sequence[str], title: str
) -> None:
    """Save pictures side by side."""
    pictures = np.stack(list(columns.values()), 1)
    sheet = contact_sheet(pictures, rows=rows, columns=list(columns), title=title)
    save_picture(file, sheet)


def is_ahead(scores: dict[str, float]) -> bool:
    """Return whether a scene is ahead of the projection by what is wanted."""
    decibels = scores["scene_psnr"] - scores["push-pull_psnr"]
    closer = scores["push-pull_lpips"] - scores["scene_lpips"]
    return bool(decibels >= WANTED_DECIBELS and closer >= WANTED_LPIPS)


def judge_circled(out: Path, seconds: float, quality: str) -> dict[str, float]:
    """Make a film of photos and a scene of it, and score the photos that it lacks."""
    data = shared_folder() / "data" / "fox_photos"
    shots = json.loads((data / "transforms.json").read_text())["frames"]
    photos = np.stack([np.asarray(Image.open(data / x["file_path"])) for x in shots])
    true = to_opencv(np.array([x["transform_matrix"] for x in shots]), "opengl")
    is_away = np.arange(len(shots)) % KEPT_AWAY_PERIOD == KEPT_AWAY
    film = np.flatnonzero(~is_away)
    file = out / "film.mp4"
    write_video(file, photos[film], FILM_FPS)
    fit = ["--lift.quality", quality]
    part = ["--seconds", f"{seconds:g}"]
    report = run_clip(Clip("film", 0.0), file, out / "run", [*part, *fit])
    arrays = finished(out / "run")
    taken = film[np.rint(arrays["source"]["times"] * FILM_FPS).astype(int)]
    away = np.flatnonzero(is_away)
    away = away[(away > taken[0]) & (away < taken[-1])]
    lens = arrays["grid"]["intrinsics"][:1]
    known = arrays["grid"]["world_to_camera"][0].astype(np.float64)
    size = arrays["grid"]["frames"].shape[2:4]
    similarity = fit_similarity(true[taken], known)
    cameras = Cameras(
        lens, similarity.cameras(true[away]).astype(np.float32)[None], *size
    )
    times = np.interp(away, taken, np.linspace(0, 1, len(taken)))
    shown = draw_scene(arrays["scene"], cameras, times)
    truth = np.stack([crop_resize(photo, *size) for photo in photos[away]])
    cameras = fitting_cameras(arrays["scene"], cameras, times, truth)
    placed = draw_scene(arrays["scene"], cameras, times)
    scores = photo_scores(shown, truth)
    at_fitting = photo_scores(placed, truth)
    by_lift = means(lift_photos(data, out, taken, away, fit))
    off = np.median(degrees_off(similarity.cameras(true[taken]), known))
    print(f"{report['source']}; its cameras are {off:.2f} degrees off in the median")
    rows = [shots[i]["file_path"] for i in away]
    drawn = {"true camera": to_uint8(shown), "fitting camera": to_uint8(placed)}
    save_sheet(out / "circled.png", {"kept away": truth} | drawn, rows, f"{scores}")
    result = {"photos": len(taken), "away": len(away)} | scores
    result |= {f"fitting_{name}": value for name, value in at_fitting.items()}
    return result | {f"lift_{name}": value for name, value in by_lift.items()}


def fitting_cameras(
    scene: Arrays, cameras: Cameras, times: Float[ndarray, " n"], truth: Pictures
) -> Cameras:
    """Return cameras of one view that see a scene as pictures do, found from where they are.

    Optical flow tells where in the picture is what they see now, and least squares the pose.
    """
    rounds = 3
    # Between points, so that there are some thousands.
    step_pixels = 4
    grid = slice(step_pixels // 2, None, step_pixels)
    lens = cameras.intrinsics[0].astype(np.float64)
    pixels = pinhole.pixel_centers(cameras.height, cameras.width)[grid, grid]
    for _ in range(rounds):
        draw = scene_renderer(from_arrays(scene), cameras, background_in(scene))
        poses = cameras.world_to_camera[0].astype(np.float64)
        for i, time in enumerate(times):
            drawn = draw(cameras.camera(0, i), time)
            there = pixels + optical_flow(to_uint8(drawn.rgb), truth[i])[grid, grid]
            depth = np.asarray(drawn.depth, np.float64)
            places = pinhole.unproject(depth, lens, poses[i])[grid, grid]
            is_seen = depth[grid, grid] > 0
            poses[i] = pose_of(
                places[is_seen], there[is_seen], lens, poses[i], unknowns=6
            )
        cameras = replace(cameras, world_to_camera=poses.astype(np.float32)[None])
    return cameras


def photo_scores(shown: Float[ndarray, "n h w 3"], truth: Pictures) -> dict[str, float]:
    """Return the mean PSNR and LPIPS of pictures."""
    lpips = fidelity.open_lpips()
    true = truth[:, None, None] / fidelity.LEVELS
    pairs = zip(shown[:, None, None], true, strict=True)
    return means([fidelity.fidelity_scores(*pair, {}, lpips) for pair in pairs])


def means(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means of PSNR and LPIPS over pictures."""
    names = "psnr", "lpips"
    return {x: round(float(np.mean([each[x] for each in scores])), 3) for x in names}


def lift_photos(
    photos: Path,
    out: Path,
    taken: Int[ndarray, " n"],
    away: Int[ndarray, " m"],
    fit: Sequence[str],
) -> list[dict[str, Any]]:
    """Fit photos with their true cameras, and return the scores of those that are away."""
    dataset = out / "dataset"
    lifted = out / "lift"
    results = lifted / "truth_scene.json"
    if not results.exists():
        words = ["data", "import", str(photos), "--out", str(dataset)]
        run_full4d(words, out / "import.log")
        views = ["--views", *map(str, taken)]
        words = ["lift", str(dataset), "--out", str(lifted), *views, *fit]
        run_full4d(words, out / "lift.log")
        words = ["evaluate", str(lifted), "--scene", "--truth", str(dataset)]
        run_full4d(words, out / "evaluate.log")
    records = json.loads(results.read_text())["clips"]
    by_view = {x["scene"]: x["rows"] for x in records if x["group"] == "each view"}
    return [
        next(row for row in by_view[view] if row["row"] == table.SCENE)
        for view in away.tolist()
    ]


def main() -> None:
    """Judge what the command line says; print a line for each run, and JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    judges = parser.add_subparsers(dest="judge", required=True)
    of_later = judges.add_parser("later", help="by frames after the part")
    of_later.add_argument("runs", nargs="+", type=Path, help="folders of full4d run")
    of_later.add_argument("--out", type=Path, default=Path("out/later"), help="folder")
    circled = judges.add_parser("circled", help="by photos kept away")
    circled.add_argument("--out", type=Path, default=Path("out/circled"), help="folder")
    circled.add_argument("--seconds", type=float, default=2.12, help="of the film")
    circled.add_argument("--quality", default="normal", help="of both fits")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.judge == "circled":
        scores = judge_circled(options.out, options.seconds, options.quality)
        print(json.dumps(scores))
        return
    scores = []
    for run in options.runs:
        try:
            scores.append(judge_later(run, options.out))
        except ValueError as error:
            print(error)
    names = scores[0] if scores else ()
    medians = {k: round(float(np.median([x[k] for x in scores])), 4) for k in names}
    ahead = sum(map(is_ahead, scores))
    print(json.dumps({"runs": len(scores), "ahead": ahead} | medians))


if __name__ == "__main__":
    main()
