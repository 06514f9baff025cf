"""A table of timestamps puts the frames of any layout on one clock."""

import numpy as np
import pytest

from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers.detect import read_captures

TIMES = {"cam1": [7.0, 7.1, 7.2, 7.3, 7.4], "cam2": [7.12, 7.22, 7.31, 7.42, 7.5]}


def rows(times):
    return [f"{name},{i},{t}" for name, row in times.items() for i, t in enumerate(row)]


def write_table(path, lines, header="camera,frame,seconds"):
    (path / "timestamps.csv").write_text("\n".join([header, *lines]))


def test_instants_are_paired_by_the_table(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    times = TIMES | {"cam10": [7.2, 7.3, 7.4, 7.5, 7.6]}
    write_table(path, rows(times)[::-1])  # in any order
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


def test_a_table_of_further_columns_and_some_cameras(tmp_path, write):
    path = write("llff", tmp_path / "s")
    lines = [f"{i},cam2,{t},ok" for i, t in enumerate(TIMES["cam2"])]
    write_table(path, lines, "\ufeffframe, camera, seconds, note")
    (capture,) = read_captures(path, "llff", None)
    assert [view.timestamps[0] for view in capture.views] == [0, 7.12, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (rows(TIMES)[:-1], "cam2: found times of 4 frames, expected 5"),
        (rows(TIMES)[1:], "found 4 frames of cam1 without frame 0, expected a row for each"),
        ([*rows(TIMES), "cam1,2,7.2"], "line 12: found frame 2 of cam1 twice, expected once"),
        ([*rows(TIMES), "cam1,x,7.2"], "line 12: found camera 'cam1', frame 'x', expected a name"),
        ([*rows(TIMES), "cam1,5"], "line 12, seconds: found .*, expected"),
        ([*rows(TIMES), "cam1,5,nan"], r"line 12, seconds: found shape \(\), expected finite"),
        ([*rows(TIMES), "cam7,0,1"], r"found cameras \['cam7'\], expected some of"),
        (["cam1,0,3", "cam1,1,3", *(f"cam1,{i},{i}" for i in (2, 3, 4))], "twice or going back"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, write, lines, message):
    path = write("opencv", tmp_path / "s")
    write_table(path, lines)
    with pytest.raises(ValueError, match=message):
        read_captures(path, "opencv", None)


def test_a_header_and_one_clock_are_needed(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    write_table(path, rows(TIMES), "cam,n,t")
    with pytest.raises(ValueError, match="found cam, n, t, expected columns camera, frame"):
        read_captures(path, "opencv", None)
    (path / "sync.json").write_text("{}")
    with pytest.raises(ValueError, match=r"found sync\.json and timestamps\.csv, expected one"):
        read_captures(path, "opencv", None)
