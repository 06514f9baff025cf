"""Fills a grid from a real fixed-view video and the same instant from other cameras; draws it.

    python benchmarks/real_grid.py --out OUT

The first camera of `pose2sim` (in the folder that FULL4D_DATA names) gives the row, the first
pictures of all four the column: a person on a treadmill, from in front and from behind. The other
cameras' later pictures are the truth, with which the shipped model of configs/four_real.py and a
copy of the nearest real picture are compared. `OUT/real_grid.jpg` shows all; the last line is
JSON.
"""

import argparse
import json
from pathlib import Path

import captures
import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.config import load_config
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import FOUR_REAL, open_prior
from full4d_jax.generation.real_frames import copy_nearest, row_and_column
from full4d_jax.media.grid_pictures import REAL_BORDER
from full4d_jax.media.metrics import lpips, psnr, require_lpips
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8, to_unit

CONFIG = load_config("four_real")
EVERY = 4  # of `captures.walker`, whose pictures are 20 ms apart
TOP = 0.16  # share of a tall picture that is cut off above the square
CELL = 128


def main() -> None:
    """Fill the grid, compare, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/real_grid"), help="folder")
    options = parser.parse_args()
    size = CONFIG.data
    try:
        frames = pictures(shared_folder() / "data", size.frames, size.height)
    except OSError as error:
        raise SystemExit(f"FULL4D_DATA: {error}") from None
    real = row_and_column(*frames.shape[:2])
    prior, filmed = open_prior(CONFIG, FOUR_REAL), 2 * frames - 1
    rows = {
        "true": frames,
        "filled": to_unit(fill_grid(prior, filmed, real, jax.random.key(CONFIG.seed))),
        "copy": to_unit(copy_nearest(jnp.asarray(filmed), jnp.asarray(real))),
    }
    distance, scores = require_lpips("the comparison"), {}
    for name in ("filled", "copy"):
        made, truth = rows[name][~real], frames[~real]
        scores[name] = {"psnr": float(psnr(made, truth)), "lpips": lpips(distance, made, truth)}
    options.out.mkdir(parents=True, exist_ok=True)
    save_picture(options.out / "real_grid.jpg", drawn(rows["true"], rows["filled"], real))
    print(json.dumps(scores))


def pictures(data: Path, frames: int, side: int) -> Float[ndarray, "v t h w 3"]:
    """Return square pictures in [0, 1] of all cameras, with the person in the middle."""
    tall = captures.walker(data, round(side * 16 / 9), EVERY * (frames - 1) + 1).frames[:, ::EVERY]
    top = round(TOP * tall.shape[2])
    return tall[:, :, top : top + side, :side]


def drawn(
    truth: Float[ndarray, "v t h w 3"], filled: Float[ndarray, "v t h w 3"], real: ndarray
) -> UInt8[ndarray, "H W 3"]:
    """Return a row for each view: the true pictures, then the grid with a border where given."""
    cells = to_uint8(np.concatenate([truth, filled], 1))
    large = np.stack([[cv2.resize(x, (CELL, CELL)) for x in row] for row in cells])
    for view, time in np.argwhere(real):
        cv2.rectangle(large[view, time + len(truth[0])], (0, 0), (CELL - 1,) * 2, REAL_BORDER, 5)
    times = [f"{20 * EVERY * i} ms" for i in range(len(truth[0]))]
    columns = [f"true, {x}" for x in times] + [f"grid, {x}" for x in times]
    names = [f"view {view}" for view in range(len(truth))]
    return contact_sheet(large, rows=names, columns=columns, cell_height=CELL)


if __name__ == "__main__":
    main()
