"""Says what steps from noise add to the mean that a flow goes around; the last line is JSON.

    python benchmarks/from_noise.py [--config flow --checkpoint FILE --scenes 64 --steps 1 4 16]

All rows fill the same held-out procedural scenes from `--first` on, with true depth: nothing was
chosen by scenes 64 and above. Columns:

    PSNR, LPIPS   of all target pixels, and of those that the source does not see
    paired        how much better than the mean, with standard errors
    FVD           from the true videos, by I3D (the extra `fvd`); sets are small, so that only rows
                  beside each other compare
    spread        how far two draws of noise lie apart on unseen pixels, in units of what two
                  samples of all that may be there would have: sqrt(2) times the mean's error

OUT/from_noise.png shows the last instant of the first scenes.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import cameras_of
from full4d_jax.config import Config, load_config
from full4d_jax.evaluation.fidelity import Distances, fidelity_scores, load_distances
from full4d_jax.evaluation.generated_grids import regions_of
from full4d_jax.evaluation.known_clips import KnownClip, held_out_clips
from full4d_jax.evaluation.table import text_table
from full4d_jax.evaluation.without_truth.frechet import frechet_distance, load_i3d, to_clip
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior, open_prior
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit
from full4d_jax.session.errors import InputError
from full4d_jax.session.progress import Progress

MEAN = "mean, 1 call"
TRUTH = "truth"
SHOWN = 8  # scenes in the picture
MEASURES = ("psnr", "lpips", "psnr_unseen", "lpips_unseen")
Frames = Float[ndarray, "v t h w 3"]
Scores = dict[str, dict[str, float]]  # by row and measure


def main() -> None:
    """Fill, compare, show."""
    options = parse()
    try:
        config = load_config(options.config)
        prior = open_prior(config, options.checkpoint)
    except InputError as error:
        raise SystemExit(str(error)) from None
    distances = load_distances(vgg=False)
    options.out.mkdir(parents=True, exist_ok=True)
    scenes = range(options.first, options.first + options.scenes)
    scores: list[Scores] = []
    videos: dict[str, list[Frames]] = {}
    with Progress("fill", len(scenes)) as report:
        for done, known in enumerate(held_out_clips(config.data, scenes), 1):
            rows = dict(filled(config, prior, known, options.steps))
            scores.append(scored(known, rows, distances))
            for name, frames in rows.items():
                videos.setdefault(name, []).append(frames)
            report(done)
    path = options.out / "from_noise.png"
    save_picture(path, sheet(videos, scenes))
    record = summary(scores)
    if options.fvd:
        for name, distance in frechet_distances(videos).items():
            record[name]["fvd"] = distance
    print(table(record))
    print(f"pictures: {path}")
    print(json.dumps(record))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", default="flow")
    parser.add_argument("--checkpoint", type=Path, help="in place of the one in the package")
    parser.add_argument("--first", type=int, default=64)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--fvd", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=Path("out/from_noise"))
    options = parser.parse_args()
    if options.scenes < 2:
        parser.error(f"--scenes: expected at least 2, for standard errors, found {options.scenes}")
    return options


def filled(
    config: Config, prior: Prior, known: KnownClip, steps: list[int]
) -> Iterator[tuple[str, Frames]]:
    """Yield the targets, [0, 1], by row; a second draw of noise has a star."""
    clip = known.clip
    source = 2 * clip.frames[:1] - 1
    key = jax.random.fold_in(jax.random.key(config.seed), known.scene)

    def targets(draw: int, **sampler: Any) -> Frames:
        sampling = replace(prior, sampler=replace(config.sampler, **sampler))
        at = jax.random.fold_in(key, draw)
        grid, _ = generate_grid(sampling, source, clip.depth[:1], cameras_of(clip), at)
        return np.asarray(to_unit(grid[1:]))

    yield TRUTH, np.asarray(clip.frames[1:])
    yield MEAN, targets(0, steps=1, noise=0.0)
    for count in steps:
        yield row_of(count), targets(0, steps=count, noise=1.0)
        yield row_of(count) + "*", targets(1, steps=count, noise=1.0)


def row_of(steps: int) -> str:
    """Return the name of a row."""
    return f"{steps} step{'s'[: steps > 1]} from noise"


def scored(known: KnownClip, rows: dict[str, Frames], distances: Distances) -> Scores:
    """Return the scores of one scene."""
    regions = regions_of(known.clip, known.clip.depth[0])
    unseen = regions.unseen
    assert unseen is not None, "there is depth"
    truth = rows[TRUTH]
    scores = {}
    for name, frames in rows.items():
        if name == TRUTH or name.endswith("*"):
            continue
        values = fidelity_scores(frames, truth, regions, distances)
        known_values = {measure: values[measure] for measure in MEASURES}
        scores[name] = {k: np.nan if x is None else x for k, x in known_values.items()}
        if f"{name}*" in rows:
            apart = squares(frames, rows[f"{name}*"], unseen)
            scores[name]["apart"] = apart
            scores[name]["error_of_mean"] = squares(rows[MEAN], truth, unseen)
    return scores


def squares(a: Frames, b: Frames, mask: Float[ndarray, "v t h w"]) -> float:
    """Return the sum of squared differences where the mask is 1."""
    return float((mask[..., None] * (a - b) ** 2).sum())


def summary(scores: list[Scores]) -> dict[str, dict[str, float]]:
    """Return means over scenes, and paired gains over the mean with their errors."""
    record = {}
    for name in scores[0]:
        record[name] = {
            measure: float(np.nanmean([x[name][measure] for x in scores])) for measure in MEASURES
        }
        if name == MEAN:
            continue
        for measure in MEASURES:
            sign = 1 if measure.startswith("psnr") else -1
            gains = [sign * (x[name][measure] - x[MEAN][measure]) for x in scores]
            error = np.nanstd(gains, ddof=1) / len(gains) ** 0.5
            record[name][f"{measure}_gain"] = float(np.nanmean(gains))
            record[name][f"{measure}_error"] = float(error)
        apart = sum(x[name]["apart"] for x in scores)
        missed = sum(x[name]["error_of_mean"] for x in scores)
        record[name]["spread"] = (apart / (2 * missed)) ** 0.5
    return record


def frechet_distances(videos: dict[str, list[Frames]]) -> dict[str, float]:
    """Return FVD of every row from the truth."""
    features_of = load_i3d()
    features = {}
    names = [name for name in videos if not name.endswith("*")]
    with Progress("I3D", len(names)) as report:
        for done, name in enumerate(names, 1):
            clips = [to_uint8(clip) for frames in videos[name] for clip in frames]
            features[name] = np.stack([features_of(to_clip(clip, len(clip))) for clip in clips])
            report(done)
    truth = features.pop(TRUTH)
    return {name: frechet_distance(x, truth) for name, x in features.items()}


def sheet(videos: dict[str, list[Frames]], scenes: range) -> Any:
    """Draw the last instant of a view of the first scenes, one row each."""
    names = [name for name in videos if not name.endswith("*")]
    names.append([name for name in videos if name.endswith("*")][-1])
    count = min(SHOWN, len(scenes))
    cells = [[to_uint8(videos[name][i][0, -1]) for name in names] for i in range(count)]
    rows = [f"scene {scene}" for scene in scenes[:count]]
    return contact_sheet(np.array(cells), rows=rows, columns=names, title="", cell_height=128)


def table(record: dict[str, dict[str, float]]) -> str:
    """Return the scores in words."""
    rows = []
    for name, x in record.items():
        cells = [name, f"{x['psnr']:.2f}", f"{x['lpips']:.3f}"]
        cells += [f"{x['psnr_unseen']:.2f}", f"{x['lpips_unseen']:.3f}"]
        if name == MEAN:
            cells += ["", "", ""]
        else:
            cells += [f"{x['psnr_gain']:+.2f} ± {x['psnr_error']:.2f}"]
            cells += [f"{x['lpips_gain']:+.4f} ± {x['lpips_error']:.4f}", f"{x['spread']:.2f}"]
        rows.append([*cells, f"{x['fvd']:.1f}" if "fvd" in x else ""])
    head = ["row", "PSNR", "LPIPS", "unseen", "LPIPS", "dB over the mean", "LPIPS better"]
    return text_table([*head, "spread", "FVD"], rows)


if __name__ == "__main__":
    main()
