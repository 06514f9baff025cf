"""Write a data set, and stream shuffled batches of it that depend only on (seed, step).

python examples/stream_dataset.py [FOLDER]
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from input_pipeline import Example, make_loader, open_dataset, write_dataset
from input_pipeline.procedural.clips import ProceduralClips
from input_pipeline.transforms import decode_into

VIEWS = 2
INSTANTS = 2
SIDE = 64


def pictures(example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Decode the pictures of one record; mirror the time of half of them."""
    frames = np.empty((VIEWS, INSTANTS, SIDE, SIDE, 3), np.uint8)
    intrinsics = decode_into(example, frames)
    if rng.random() < 0.5:
        frames = frames[:, ::-1]
    return {"frames": frames, "intrinsics": intrinsics}


def main(folder: Path = Path("out/stream_dataset")) -> list[np.ndarray]:
    """Write eight procedural clips; return the frames of two batches of three."""
    clips = ProceduralClips(
        first=0, count=8, views=VIEWS, frames=INSTANTS, height=SIDE, width=SIDE
    )
    write_dataset(folder, clips, name="example")

    # From `start_step` on a stream is the same as one that began at 0: so trainings resume.
    records = open_dataset(folder, "train")
    stream = make_loader(
        records, seed=0, batch_size=3, start_step=5, transform=pictures
    )
    batches = [batch["frames"] for batch in itertools.islice(stream, 2)]
    for i, frames in enumerate(batches, 5):
        print(
            f"batch {i}: frames {frames.shape} {frames.dtype}, mean {frames.mean():.1f}"
        )
    return batches


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
