"""The folder of real data: FULL4D_DATA, or `shared` beside the repository."""

import os
from pathlib import Path


def shared_folder() -> Path:
    """Return the folder that has data/, whether it exists or not."""
    neighbour = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("FULL4D_DATA", neighbour))
