"""Masks of what stands: edges by colour, motion beside classes, shadows left out, numbers last."""

import cv2
import numpy as np
import pytest
from one_view import one_view
from skimage import data

from full4d_jax.source.along_flow import (
    average_along_flow,
    link_labels,
    of_one_colour,
    sure_flows,
)
from full4d_jax.source.backdrop import find_backdrop, find_moving
from full4d_jax.source.own_motion import OwnMotion, find_own_motion
from full4d_jax.source.subjects import Outlines, Subjects, find_subjects, label_subjects
from input_pipeline.pinhole import intrinsics_from_fov, pixel_rays

HEIGHT, WIDTH, FRAMES = 96, 128, 6


def background() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(90, 160, (12, 16, 3)).astype(np.float32)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(
        0, 255
    )


def walker(t: int) -> np.ndarray:
    """Return where a person is: a body on two legs that moves to the right."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    left = 30 + 4 * t
    mask[20:60, left : left + 20] = True
    mask[60:85, left : left + 6] = True
    mask[60:85, left + 14 : left + 20] = True
    return mask


@pytest.fixture
def clip() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames with a red walker and a green ball, the walker's mask, and shares that are coarse."""
    frames, masks, shares = [], [], np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.float32)
    for t in range(FRAMES):
        frame, mask = background(), walker(t)
        frame[mask] = (200, 40, 40)
        cv2.circle(frame, (110, 12 + 8 * t), 4, (20, 230, 20), -1)
        frames.append(frame.astype(np.uint8))
        masks.append(mask)
        # 8-pixel cells, as the network's.
        cells = cv2.resize(
            mask.astype(np.float32), (16, 12), interpolation=cv2.INTER_AREA
        )
        shares[t, ..., 0] = cv2.resize(cells, (WIDTH, HEIGHT))
    return np.stack(frames), np.stack(masks), shares


def label_coarse(
    frames: np.ndarray, shares: np.ndarray, own: OwnMotion | None = None
) -> Subjects:
    """Label subjects of which only coarse shares are known."""
    flows = sure_flows(frames)
    averaged = average_along_flow(shares, flows)
    nowhere = np.zeros(frames.shape[:3], bool)
    outlines = Outlines(averaged, nowhere, averaged.sum(-1))
    return label_subjects(frames, outlines, flows, own, None)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_colours_sharpen_coarse_masks(clip):
    frames, masks, shares = clip
    nowhere = np.zeros(frames.shape[:3], bool)
    subjects = label_coarse(frames, shares, OwnMotion(nowhere, nowhere))
    assert subjects.kinds == ("person",)
    assert max(map(overlap, shares[..., 0] > 0.5, masks)) < 0.9
    assert min(map(overlap, subjects.labels == 1, masks)) > 0.95


def test_of_a_resting_camera_what_moves_is_found_too(clip):
    frames, masks, shares = clip
    subjects = label_coarse(frames, shares)
    assert sorted(subjects.kinds) == ["person", "thing"]
    ball = 1 + subjects.kinds.index("thing")
    for t, labels in enumerate(subjects.labels):
        found = np.argwhere(labels == ball)
        np.testing.assert_allclose(found.mean(0), (12 + 8 * t, 110), atol=1)
    # What the network does not see of the person, motion adds to it.
    shares[:, 60:] = 0
    subjects = label_coarse(frames, shares)
    person = 1 + subjects.kinds.index("person")
    whole = map(overlap, subjects.labels == person, masks)
    assert min(whole) > 0.8, "without motion it is .73"


def test_shadows_and_lights_are_not_things():
    frames = np.stack([background()] * FRAMES)
    for t, frame in enumerate(frames):
        frame[50:70, 10 + 10 * t : 30 + 10 * t] *= 0.6
        frame[10:30, 10 + 10 * t : 30 + 10 * t] *= 1.4
    moved = np.abs(frames - np.median(frames, 0)).max(-1) > 30
    assert moved.mean() > 0.03, "a difference alone finds them"
    nothing = np.zeros(frames.shape[:3], np.float32)
    pictures = frames.astype(np.uint8)
    assert find_moving(pictures, find_backdrop(pictures, nothing)).mean() < 0.002


def seen_by(frames: np.ndarray, depth: float, poses: np.ndarray, lens: np.ndarray):
    """Return what cameras see of pictures on a wall that a first one sees, ray by ray."""
    rays = pixel_rays(lens, HEIGHT, WIDTH)
    views = []
    for frame, pose in zip(frames, poses, strict=True):
        # From each pixel of the camera to the wall, and to the first camera's pixel.
        inverse = np.linalg.inv(pose)
        ahead = rays @ inverse[:3, :3].T
        along = (depth - inverse[2, 3]) / ahead[..., 2:]
        first = (inverse[:3, 3] + along * ahead) @ lens.T
        x, y = cv2.split((first[..., :2] / first[..., 2:] - 0.5).astype(np.float32))
        views.append(cv2.remap(frame, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT))
    return np.stack(views)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_what_moves_by_itself_is_found_before_a_camera_that_turns_or_travels(shift):
    """Depth that is wrong by a half moves along the line of a pixel, which does not count."""
    lens = intrinsics_from_fov(60, HEIGHT, WIDTH)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for pose, share in zip(poses, np.linspace(0, 1, FRAMES), strict=True):
        turn = np.radians(12) * share * np.array([0.3, 1.0, 0.0])
        pose[:3, :3] = cv2.Rodrigues(turn)[0]
        pose[0, 3] = shift * share
    steady = np.stack([background()] * FRAMES).astype(np.uint8)
    # Posts, which differ where they are misplaced.
    steady[:, :, 6::16] = steady[:, :, 7::16] = 240
    masks = np.stack([walker(t) for t in range(FRAMES)])
    noise = np.random.default_rng(1).normal(0, 1, (HEIGHT, WIDTH))
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    texture = (130 + 60 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    for t, mask in enumerate(masks):
        body = np.roll(texture, 4 * t, 1)
        steady[t][mask] = np.stack([body, body // 4, body // 4], -1)[mask]
        # A shadow goes with it.
        shadow = np.roll(mask, 45, 1)
        steady[t][shadow] = (0.6 * steady[t][shadow]).astype(np.uint8)
    frames = seen_by(steady, 5.0, poses, lens)
    expected = seen_by(masks.astype(np.uint8), 5.0, poses, lens) > 0
    shadows = seen_by(np.roll(masks, 45, 2).astype(np.uint8), 5.0, poses, lens) > 0
    flows = of_one_colour(sure_flows(frames), frames)
    depth = np.full(frames.shape[:3], 5.0 if shift == 0 else 7.0)
    own = find_own_motion(frames, flows, depth, lens, poses)
    assert own.things[expected].mean() > 0.6
    assert own.things[~expected & ~shadows].mean() < 0.03
    assert own.things[shadows].mean() < 0.1
    at_rest = np.tile(np.eye(4), (FRAMES, 1, 1))
    unregistered = find_own_motion(frames, flows, depth, lens, at_rest)
    elsewhere = ~expected & ~shadows
    found = own.things[elsewhere].mean()
    assert unregistered.things[elsewhere].mean() > 3 * found


def test_numbers_last_when_two_meet_and_part():
    masks = np.zeros((7, HEIGHT, WIDTH), bool)
    for t, gap in enumerate((12, 8, 4, 0, 0, 4, 8)):
        masks[t, 30:80, 60 - gap - 20 : 60 - gap] = True
        masks[t, 30:80, 60 + gap : 60 + gap + 20] = True
    rest = [np.zeros((HEIGHT, WIDTH, 2))] * 6
    labels, count = link_labels(masks, rest)
    assert count == 2
    left = labels[0, 50, 30]
    right = labels[0, 50, 90]
    assert left != right
    for t in range(7):
        across = labels[t, 50]
        places = np.flatnonzero(across)
        assert across[places[0]] == left
        assert across[places[-1]] == right


def test_the_network_finds_a_person_and_a_cat():
    astronaut = cv2.resize(data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    subjects = find_subjects(one_view(astronaut[None]))
    assert subjects.kinds == ("person",)
    assert 0.25 < (subjects.labels == 1).mean() < 0.6
    assert subjects.labels[0, 64, 60] == 1
    cat = cv2.resize(data.chelsea(), (192, 128), interpolation=cv2.INTER_AREA)
    assert find_subjects(one_view(cat[None])).kinds[:1] == ("animal",)
