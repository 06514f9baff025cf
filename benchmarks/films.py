"""Cost and quality of films in records, against JPEG files; one JSON line comes last.

    python benchmarks/films.py [VIDEO ...] [--sizes 256x256 384x672 --frames 64]

The first frames of each video (left out, those of FULL4D_DATA), scaled and cut to a size, are
encoded as records do: as JPEG files and as a film. `bytes_per_pixel` and PSNR of both, and the
PSNR of JPEG files of the highest quality at which they are together no larger than the film.
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from shared_folder import shared_folder
from sizes import rows_and_columns

from input_pipeline.films import decode_film, encode_film
from input_pipeline.transforms import cover, decode_jpeg, encode_jpeg
from input_pipeline.video_files import decode_frames


def main() -> None:
    """Measure, print progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="Sizes and quality of films and JPEG files.")
    films = sorted((shared_folder() / "data" / "videos").glob("*.mp4"))
    parser.add_argument("videos", type=Path, nargs="*", default=films)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "384x672"], help="HxW")
    parser.add_argument("--frames", type=int, default=64, help="of each video")
    options = parser.parse_args()
    sizes = {}
    for size in options.sizes:
        height, width = rows_and_columns(size)
        for video in options.videos:
            pictures = [
                cover(frame.picture, np.eye(3), height, width)[0]
                for frame in islice(decode_frames(video), options.frames)
            ]
            measured = measure(np.stack(pictures))
            print(f"{size} {video.name}: {measured}", flush=True)
            sizes.setdefault(size, []).append(measured)
    means = {
        size: {name: round(float(np.mean([m[name] for m in of])), 3) for name in of[0]}
        for size, of in sizes.items()
    }
    print(json.dumps(means))


def measure(pictures: np.ndarray) -> dict[str, Any]:
    """Return cost and quality of one video, (t h w 3)."""
    film = encode_film(pictures)
    total = sum(map(len, film))
    jpeg = [encode_jpeg(picture) for picture in pictures]
    small = next(
        files
        for quality in range(95, 0, -1)
        if sum(map(len, files := [encode_jpeg(p, quality) for p in pictures])) <= total
        or quality == 1
    )
    values = pictures[..., 0].size
    return {
        "jpeg_bytes_per_pixel": round(sum(map(len, jpeg)) / values, 4),
        "film_bytes_per_pixel": round(total / values, 4),
        "jpeg_psnr": psnr(pictures, map(decode_jpeg, jpeg)),
        "film_psnr": psnr(pictures, decode_film(film)),
        "jpeg_of_that_size_psnr": psnr(pictures, map(decode_jpeg, small)),
    }


def psnr(pictures: np.ndarray, decoded: Any) -> float:
    """Return PSNR of all values together, dB."""
    pairs = zip(pictures, decoded, strict=True)
    errors = [np.mean((np.float32(a) - np.float32(b)) ** 2) for a, b in pairs]
    return round(float(10 * np.log10(255**2 / np.mean(errors))), 2)


if __name__ == "__main__":
    main()
