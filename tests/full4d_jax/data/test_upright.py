"""Up is found from cameras that are held upright or from a floor, or not at all."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from full4d_jax.data.floor_grid import floor_grid
from full4d_jax.data.upright import find_up
from input_pipeline import cameras

UP = np.array([0.2, -0.5, 0.84]) / np.linalg.norm([0.2, -0.5, 0.84])
NONE = np.zeros((0, 3))


def ring(count, *, pitch=30.0, arc=360.0, rolls=()):
    """Cameras around the origin of a world whose up is `UP`; some are rolled, by degrees."""
    angles = np.radians(np.linspace(0, arc, count, endpoint=arc < 360))
    side = np.stack([np.cos(angles), np.sin(angles), np.full(count, np.tan(np.radians(pitch)))], -1)
    poses = cameras.look_at(3 * side, np.zeros(3), up=(0.0, 0.0, 1.0))
    for index, degrees in enumerate(rolls):
        poses[index, :3] = (
            Rotation.from_euler("z", degrees, degrees=True).as_matrix() @ poses[index, :3]
        )
    turn = np.eye(4)
    turn[:3, :3] = rotation()
    return poses @ turn.T


def rotation():
    """From a world whose z is up."""
    return Rotation.align_vectors([UP], [[0.0, 0.0, 1.0]])[0].as_matrix()


def room(floor, above):
    """Points of a floor at height -1 and of things above it."""
    rng = np.random.default_rng(1)
    flat = np.concatenate([rng.uniform(-2, 2, (floor, 2)), np.full((floor, 1), -1.0)], 1)
    flat[:, 2] += rng.normal(0, 0.005, floor)
    things = rng.uniform([-1, -1, -1], [1, 1, 1], (above, 3))
    return np.concatenate([flat, things]) @ rotation().T


def degrees(up):
    return np.degrees(np.arccos(np.clip(up @ UP, -1, 1)))


@pytest.mark.parametrize(("count", "pitch", "arc"), [(8, 45.0, 360.0), (4, 10.0, 90.0)])
def test_cameras_that_look_down_tell_up(count, pitch, arc):
    poses = ring(count, pitch=pitch, arc=arc)
    assert degrees(find_up(poses, NONE).direction) < 0.1
    own = -poses[:, 1, :3].mean(0)
    if arc < 360:  # their mean would stand askew
        assert degrees(own / np.linalg.norm(own)) > 5


def test_two_cameras_of_eight_on_their_side_do_not_matter():
    poses = ring(8, rolls=[0, 90, 0, 0, -90])
    assert degrees(find_up(poses, NONE).direction) < 0.1


def test_a_floor_tells_where_half_of_the_cameras_are_on_their_side():
    poses = ring(4, arc=150.0, rolls=[90, 0, -90, 3])
    assert find_up(poses, NONE) is None
    assert floor_grid(poses, NONE) is None
    found = find_up(poses, room(150, 250))
    assert degrees(found.direction) < 2
    assert found.floor == pytest.approx(-1, abs=0.05)
    grid = floor_grid(poses, room(150, 250))
    np.testing.assert_allclose(grid.lines @ UP, -1, atol=0.15)


def test_nothing_tells_without_a_floor():
    poses = ring(4, arc=150.0, rolls=[90, 0, -90, 90])
    assert find_up(poses, room(0, 400)) is None
    assert find_up(ring(6, rolls=[40, 110, 170, 240, 290, 20]), room(150, 250)) is None


def test_up_that_is_given_is_taken():
    poses = ring(4, arc=150.0, rolls=[90, 0, -90, 90])
    grid = floor_grid(poses, NONE, 5 * UP)
    np.testing.assert_allclose(grid.lines @ UP, (grid.lines @ UP)[0, 0], atol=1e-9)
