"""A table of times puts the frames of any layout on one clock."""

import json

import numpy as np

from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers.detect import read_captures


def test_instants_are_paired_by_the_table(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    times = {"cam1": [7.0, 7.1, 7.2, 7.3, 7.4], "cam2": [7.12, 7.22, 7.31, 7.42, 7.5]}
    times["cam10"] = [7.2, 7.3, 7.4, 7.5, 7.6]
    (path / "sync.json").write_text(json.dumps(times))
    (capture,) = read_captures(path, "opencv", None)
    for view in capture.views:
        np.testing.assert_array_equal(view.timestamps, times[view.name])
    clip = CaptureClips([capture])[0]
    # cam1's last three frames, beside the nearest ones of the others.
    np.testing.assert_allclose(
        clip.timestamps - clip.timestamps[0, 0],
        [[0, 0.1, 0.2], [0.02, 0.11, 0.22], [0, 0.1, 0.2]],
        atol=1e-6,
    )
