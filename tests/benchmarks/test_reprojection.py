"""Restoring clips that were seen from elsewhere: which clips, which cameras, what is ahead."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from full4d_jax.training.clips.double_reprojection import pose_beside
from input_pipeline.footage import training_clips

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("reprojection")


def test_clips_are_those_that_no_training_reads(program, tmp_path):
    with pytest.raises(ValueError, match="found none"):
        program.held_out_clips(tmp_path)
    for number in range(11):
        if number == 4:
            with pytest.raises(ValueError, match="found 4 clips, expected 5 or more"):
                program.held_out_clips(tmp_path)
        (tmp_path / f"{number}.mp4").touch()
    found = program.held_out_clips(tmp_path)
    assert [clip.name for clip in found] == ["4.mp4", "9.mp4"]
    assert not set(found) & set(training_clips(tmp_path))


def test_the_camera_beside_keeps_looking_at_the_median_depth():
    pose = np.asarray(pose_beside(15.0))
    np.testing.assert_allclose(pose @ [0, 0, 1, 1], [0, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(np.degrees(np.arccos(pose[2, 2])), 15, atol=1e-3)
    np.testing.assert_allclose(pose @ np.asarray(pose_beside(-15.0)), np.eye(4), atol=1e-6)


def test_gains_are_positive_where_the_cascade_is_better(program):
    better = dict(zip(program.SHOWN, (22.0, 15.0, 0.1, 0.05), strict=True))
    worse = dict(zip(program.SHOWN, (20.0, 15.5, 0.2, 0.06), strict=True))
    clip = dict.fromkeys(program.ROWS, worse) | {program.CASCADE: better}
    whole = {row: x | {"psnr_unseen": None} for row, x in clip.items()}  # nothing was unseen
    found = program.gains([clip, whole])
    assert found["psnr_over_push_pull"] == 2
    assert found["psnr_unseen_over_inpainting"] == -0.5
    assert found["lpips_over_inpainting"] == pytest.approx(0.1)
    assert "+2.00 ± 0.00" in program.table([clip, whole])
