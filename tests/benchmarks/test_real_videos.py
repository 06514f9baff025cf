"""Scores and pictures of real videos: which instants, which cameras, what was used before."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("real_videos")


def test_instants_are_the_middle_one_and_the_one_with_most_motion(program):
    frames = np.zeros((6, 20, 20, 3), np.uint8)
    frames[1, :4, :4] = 200
    frames[3] = 200  # the middle one moves more, but is shown already
    frames[5, :2, :2] = 200
    assert program.two_instants(frames).tolist() == [3, 1]


def test_clips_tell_what_they_were_used_for(program):
    trained = {"tfjs_pose_squats", "intel_car-detection_0"}
    assert program.use_of("tfjs_pose_squats", trained) == "used for training and choosing settings"
    assert program.use_of("intel_car-detection_0", trained) == "used for training"
    assert program.use_of("bikes", trained) == "used for choosing settings"
    assert program.use_of("intel_asl_gestures_sorry", trained) == "not used before"


def test_clips_that_are_taken_by_default_were_used_for_nothing(program, shared_data):
    files = program.clip_files(shared_data / "data")
    trained = {x.stem for x in program.training_clips(shared_data / "data" / "real_videos")}
    for clip in program.UNUSED:
        assert clip.name in files
        assert program.use_of(clip.name, trained) == "not used before"
    assert {clip.name for clip in program.PAGE} <= files.keys()


def test_medians_leave_out_clips_without_a_score(program):
    reports = [
        {"source_psnr": 30.0, "moving_psnr": 20.0, "seconds_in_all": 100},
        {"source_psnr": 34.0, "seconds_in_all": 300},
        {"source_psnr": 31.0, "moving_psnr": 24.0, "seconds_in_all": 200},
    ]
    found = program.medians(reports)
    assert (found["source_psnr"], found["moving_psnr"], found["seconds_in_all"]) == (31, 22, 200)
    assert found["straightness"] is None
    assert program.score_line(reports[1]).split() == ["34", *["-"] * 5, "300"]


def test_sheets_of_other_widths_stand_one_above_the_other(program):
    page = program.stack([np.full((2, 3, 3), 7, np.uint8), np.full((1, 5, 3), 9, np.uint8)])
    assert page.shape == (3, 5, 3)
    assert page[..., 0].tolist() == [[7, 7, 7, 255, 255]] * 2 + [[9] * 5]
