"""What generators write: with cameras it is read, without them the missing file is named."""

import json
import shutil

import numpy as np
import pytest

from input_pipeline.cameras import invert
from input_pipeline.importers import recammaster
from input_pipeline.importers.detect import detect, read_captures


def test_recammaster_starts_where_its_source_does(tmp_path, write, write_film):
    path = tmp_path / "f24_aperture5" / "results"
    other = write("multicam", tmp_path / "f24_aperture5" / "scene")
    table = json.loads((other / "cameras/camera_extrinsics.json").read_text())
    for t in range(5):  # cam02 goes 10 cm forward along Unreal's x each frame
        table[f"frame{t}"] = {
            "cam01": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [50 60 70 1]",
            "cam02": f"[1 0 0 0] [0 1 0 0] [0 0 1 0] [{50 + 10 * t} 60 70 1]",
        }
    for number in (1, 2):
        write_film(path / f"cam_type{number}/video0.mp4", range(0, 20, 4), size=(32, 32))
    with pytest.raises(ValueError, match="found films of ReCamMaster without cameras"):
        recammaster.read(path, None)
    (path / "cameras").mkdir()
    (path / "cameras/camera_extrinsics.json").write_text(json.dumps(table))
    assert detect(path)[0] == "recammaster"
    (capture,) = recammaster.read(path, None)
    assert capture.generated
    rest, forward = capture.views
    np.testing.assert_allclose(rest.world_to_camera, np.tile(np.eye(4), (5, 1, 1)), atol=1e-12)
    places = invert(forward.world_to_camera)[:, :3, 3]
    np.testing.assert_allclose(places, np.arange(5)[:, None] * [[0, 0, 10.0]], atol=1e-12)
    shutil.move(path / "cam_type2", path / "cam_type7")
    with pytest.raises(ValueError, match="expected a field cam07"):
        recammaster.read(path, None)


def test_films_without_cameras_are_refused_with_what_to_add(tmp_path, write_film):
    for name in ("gen", "render", "mask", "input", "viz"):
        write_film(tmp_path / f"{name}.mp4", range(0, 20, 4), size=(24, 32))
    layout, _, _ = detect(tmp_path)
    assert layout == "uncalibrated"
    with pytest.raises(ValueError, match=r"TrajectoryCrafter.*, expected .*cameras\.json"):
        read_captures(tmp_path, layout, None)
