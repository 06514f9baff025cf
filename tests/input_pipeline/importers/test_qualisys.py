"""The real capture: its cameras are those of an independent table."""

import json

import numpy as np

from input_pipeline.importers import qualisys


def test_qca_agrees_with_the_table_of_opencv_cameras(shared_data):
    real = shared_data / "data/pose2sim"
    table = json.loads((real / "cameras_opencv.json").read_text())
    read = qualisys.read_qca(real / "Calib_SinglePerson.qca.txt")
    assert list(read) == [camera["name"] for camera in table["cameras"]]
    for said in table["cameras"]:
        found = read[said["name"]]
        np.testing.assert_allclose(found.intrinsics, said["K"], atol=1e-9)
        np.testing.assert_allclose(found.world_to_camera, said["w2c"], atol=1e-9)
        assert found.size == (said["height"], said["width"])
        bent = np.array(said["dist_k1k2p1p2_over64"]) * 64
        np.testing.assert_allclose(found.distortion[:4], bent, atol=1e-12)
