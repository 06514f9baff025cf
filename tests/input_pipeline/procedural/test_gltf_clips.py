"""Cameras of animated assets: scattered around the source, or along one arc."""

import dataclasses

import numpy as np
from skinned_arm import write_arm

from input_pipeline.procedural.gltf_clips import GltfClips


def turns(clips: GltfClips, index: int) -> np.ndarray:
    """Degrees by which each view is turned from the source."""
    poses = clips[index].world_to_camera[:, 0]
    cosines = (np.trace(poses[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def test_an_orbit_goes_on_in_equal_steps(tmp_path):
    write_arm(tmp_path / "arm.glb")
    clips = GltfClips((tmp_path / "arm.glb",), 2, views=4, frames=1, height=8, width=8, orbit=True)
    for index in range(2):
        angles = turns(clips, index)
        assert 1 < angles[-1] < 60
        np.testing.assert_allclose(np.diff(angles), angles[1], rtol=0.05)
    scattered = np.diff(turns(dataclasses.replace(clips, orbit=False), 0))
    assert np.ptp(scattered) > 0.3 * np.abs(scattered).max()
