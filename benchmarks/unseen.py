"""Scores what the clean plate invents, on real clips that no training read; the last line is JSON.

    python benchmarks/unseen.py --out OUT

    beyond   the picture ends at a seventh of its width from each side; the plate goes on there,
             and the rest of the picture is the truth
    photos   the same of photographs that no training read and that chose nothing
    people   somebody is drawn into these photographs; what the drawing hides, up to `REACH` pixels
             from its outline, is the truth
    behind   one instant is seen; what others show behind its subjects, up to `REACH` pixels from
             their outline, is the truth. Of these rooms training saw other clips

Rows fill the same holes of the middle instant: push-pull, OpenCV's inpainting (Telea), the plate.
LPIPS is of pictures in which the truth is everywhere else. OUT/unseen.png shows them.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import numpy as np
from common import shared_folder
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from reprojection import held_out_clips

from full4d_jax.evaluation.baselines import INPAINT_RADIUS
from full4d_jax.evaluation.table import PUSH_PULL, text_table
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.media.metrics import Distance, lpips, psnr, require_lpips
from full4d_jax.media.pictures import contact_sheet, save_picture
from full4d_jax.media.video import crop_resize, read_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.backdrop import as_bytes, disc
from full4d_jax.source.depth.clean_plate import OUTLINE, clean_plate
from full4d_jax.source.inpainted import inpainted, load_inpainting
from full4d_jax.source.subjects import find_subjects, load_subject_networks
from full4d_jax.training.clips.drawn_holes import draw_person
from gaussians.fitting.stillness import median_where
from input_pipeline.footage import HELD_OUT, PICTURES, listed, read_picture
from input_pipeline.video_files import frame_times

ROWS = 256
COLUMNS = 448
INSTANTS = 16
LENS = np.array([[400.0, 0, COLUMNS / 2], [0, 400.0, ROWS / 2], [0, 0, 1]])
BORDER = 1 / 7  # of the width, that the plate does not see on each side
CHOSE = (4, 9)  # of every nine photographs, the number of the one that chose settings
REACH = 24  # pixels inside of an outline that a camera at 15 degrees sees
TELEA = "cv2.inpaint (Telea)"
PLATE = "clean plate"
FILLS = (PUSH_PULL, TELEA, PLATE)


class Hole(NamedTuple):
    """A picture, where it counts as unknown, and what each row fills in there."""

    truth: UInt8[ndarray, "h w 3"]
    hole: Bool[ndarray, "h w"]
    filled: dict[str, UInt8[ndarray, "h w 3"]]


def main() -> None:
    """Fill the holes of clip after clip, print the table, save the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, help="how many clips; left out, all")
    parser.add_argument("--out", type=Path, default=Path("out/unseen"), help="folder")
    options = parser.parse_args()
    try:
        distance = require_lpips("benchmarks/unseen.py")
        clips = held_out_clips(shared_folder() / "data/real_videos")[: options.clips]
    except (InputError, ValueError) as error:
        raise SystemExit(str(error)) from None
    holes: dict[str, list[Hole]] = {"beyond": [], "photos": [], "people": [], "behind": []}
    for clip in clips:
        start = max(0.0, frame_times(clip)[-1] / 2 - 1)
        size = {"height": ROWS, "width": COLUMNS, "frames": INSTANTS}
        frames = read_video(clip, start=start, **size).frames
        holes["beyond"].append(beyond(frames))
        behind = behind_subjects(frames)
        if behind.hole.any():
            holes["behind"].append(behind)
    for number, path in enumerate(held_out_photos()[: options.clips]):
        photo = crop_resize(read_picture(path), ROWS, COLUMNS)
        holes["photos"].append(beyond(np.repeat(photo[None], 3, 0)))
        holes["people"].append(with_people(photo, np.random.default_rng(number)))
    scores = {kind: scored(distance, several) for kind, several in holes.items()}
    print(table(scores))
    path = options.out / "unseen.png"
    options.out.mkdir(parents=True, exist_ok=True)
    save_picture(path, sheet([hole for several in holes.values() for hole in several]))
    print(f"pictures: {path}")
    print(json.dumps({kind: {"clips": len(holes[kind])} | scores[kind] for kind in scores}))


def held_out_photos() -> list[Path]:
    """Return the photographs that no training reads, but those that chose settings."""
    photos = listed(shared_folder() / "data/real_photos", PICTURES)
    place, period = CHOSE
    return [
        photo
        for i, photo in enumerate(photos)
        if i % HELD_OUT == HELD_OUT - 1 and i % period != place
    ]


def with_people(photo: UInt8[ndarray, "h w 3"], rng: np.random.Generator) -> Hole:
    """Draw somebody into a photograph, and somebody else."""
    square = np.zeros((COLUMNS, COLUMNS), np.uint8)
    draw_person(rng, square)
    draw_person(rng, square)
    hidden = square[:ROWS] > 0
    depth = cv2.distanceTransform(as_bytes(hidden), cv2.DIST_L2, 3)
    filled = inpainted(load_inpainting(), photo, hidden)
    return Hole(photo, hidden & (depth <= REACH), fills(photo, hidden, filled))


def beyond(frames: UInt8[ndarray, "t h w 3"]) -> Hole:
    """Hide the sides of a clip from the plate."""
    side = round(BORDER * COLUMNS)
    hole = np.ones((ROWS, COLUMNS), bool)
    hole[:, side:-side] = False
    truth = frames[len(frames) // 2]
    seen = np.ascontiguousarray(frames[:, :, side:-side])
    inner = inner_part(plate_of(seen))
    return Hole(truth, hole, fills(truth, hole, inner))


def behind_subjects(frames: UInt8[ndarray, "t h w 3"]) -> Hole:
    """Show the plate one instant alone."""
    middle = INSTANTS // 2
    labels = find_subjects(load_subject_networks(), frames, LENS, at_rest(frames)).labels
    rests = np.stack([cv2.dilate(as_bytes(x > 0), disc(OUTLINE)) == 0 for x in labels])
    elsewhere = np.delete(np.arange(INSTANTS), middle)
    usual = median_where(frames[elsewhere].astype(np.float32), rests[elsewhere])
    hidden = ~rests[middle]
    depth = cv2.distanceTransform(as_bytes(hidden), cv2.DIST_L2, 3)
    counts = hidden & np.isfinite(usual[..., 0]) & (depth <= REACH)
    truth = np.where(counts[..., None], usual, frames[middle]).astype(np.uint8)
    return Hole(
        truth,
        counts,
        fills(frames[middle], hidden, inpainted(load_inpainting(), frames[middle], hidden)),
    )


def plate_of(frames: UInt8[ndarray, "t h w 3"]) -> UInt8[ndarray, "p q 3"]:
    """Return the picture of the clean plate of a clip; colours do not ask its depth."""
    lens = LENS.copy()
    lens[0, 2] = frames.shape[2] / 2
    subjects = find_subjects(load_subject_networks(), frames, lens, at_rest(frames))
    depth = np.ones(frames.shape[:3], np.float32)
    assert subjects.backdrop is not None, "the camera rests"
    flat = np.ones(frames.shape[1:3], np.float32)
    return clean_plate(depth, frames, subjects.labels, subjects.backdrop, lambda _: flat).frame


def at_rest(frames: UInt8[ndarray, "t h w 3"]) -> Float[ndarray, "t 4 4"]:
    """Return the poses of a camera that stays."""
    return np.tile(np.eye(4), (len(frames), 1, 1))


def inner_part(plate: UInt8[ndarray, "p q 3"]) -> UInt8[ndarray, "h w 3"]:
    """Return the part of a plate that the whole picture shows."""
    top = (plate.shape[0] - ROWS) // 2
    left = (plate.shape[1] - COLUMNS) // 2
    return plate[top : top + ROWS, left : left + COLUMNS]


def fills(
    picture: UInt8[ndarray, "h w 3"], hole: Bool[ndarray, "h w"], plate: UInt8[ndarray, "h w 3"]
) -> dict[str, UInt8[ndarray, "h w 3"]]:
    """Return the picture with its hole filled by every row."""
    known = np.float32(1) - hole[..., None]
    averages = jax.jit(push_pull)(picture / np.float32(255), known)
    return {
        PUSH_PULL: np.asarray(255 * averages).round().astype(np.uint8),
        TELEA: cv2.inpaint(picture, as_bytes(hole), INPAINT_RADIUS, cv2.INPAINT_TELEA),
        PLATE: plate,
    }


def scored(distance: Distance, holes: list[Hole]) -> dict[str, dict[str, float]]:
    """Return mean PSNR in the holes, dB, and mean LPIPS, of every row."""
    scores = {}
    for row in FILLS:
        pairs = [(x.filled[row] / 255, x.truth / 255, x.hole) for x in holes]
        scores[row] = {
            "psnr": round(float(np.mean([psnr(a, b, mask) for a, b, mask in pairs])), 2),
            "lpips": round(
                float(np.mean([lpips(distance, a, b, mask) for a, b, mask in pairs])), 4
            ),
        }
    return scores


def table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the scores as a table."""
    lines = [
        [row, *(f"{scores[kind][row][name]:g}" for kind in scores for name in ("psnr", "lpips"))]
        for row in FILLS
    ]
    return text_table(["row", *(f"{kind}, {x}" for kind in scores for x in ("dB", "LPIPS"))], lines)


def sheet(holes: list[Hole]) -> UInt8[ndarray, "H W 3"]:
    """Return the pictures of all holes; where nothing is filled, the truth."""
    pictures = [
        [x.truth, *(np.where(x.hole[..., None], x.filled[row], x.truth) for row in FILLS)]
        for x in holes
    ]
    names = [""] * len(holes)
    return contact_sheet(
        np.array(pictures), rows=names, columns=["truth", *FILLS], cell_height=ROWS
    )


if __name__ == "__main__":
    main()
