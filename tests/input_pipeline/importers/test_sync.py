"""A table of times puts the frames of any layout on one clock."""

import json

import numpy as np
import pytest

from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers.detect import read_captures

TIMES = {"cam1": [7.0, 7.1, 7.2, 7.3, 7.4], "cam2": [7.12, 7.22, 7.31, 7.42, 7.5]}


def write_table(path, table):
    (path / "sync.json").write_text(json.dumps(table))


def test_instants_are_paired_by_the_table(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    times = TIMES | {"cam10": [7.2, 7.3, 7.4, 7.5, 7.6]}
    write_table(path, times)
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


def test_times_of_too_few_frames_are_named(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    write_table(path, TIMES | {"cam2": TIMES["cam2"][:-1]})
    with pytest.raises(ValueError, match=r"cam2: found shape \(4,\)"):
        read_captures(path, "opencv", None)
