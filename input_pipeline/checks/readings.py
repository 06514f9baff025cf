"""Find the convention that cameras were written in, from matches between their pictures.

The cameras as they are stored are compared with what they would be if their file had meant
something else: the inverse matrices, other axes of the cameras, rotations by columns, positions in
the place of translations. A reading is believed where many more matches than by chance lie on its
epipolar lines, in front of both cameras. What moves the whole world, such as another axis for up,
changes no picture and cannot be seen, nor need it be.
"""

from collections.abc import Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from input_pipeline import cameras
from input_pipeline.matches import Matches, epipolar_distances

Cameras = Float[np.ndarray, "v t 4 4"]
STORED = "as stored"
KNOWN_AXES: dict[tuple[int, ...], str] = {
    (1, 0, 0, 0, 1, 0, 0, 0, 1): "",
    (1, 0, 0, 0, -1, 0, 0, 0, -1): "camera axes are OpenGL's (x right, y up, z backward)",
    (0, 1, 0, 1, 0, 0, 0, 0, -1): "camera axes are LLFF's (x down, y right, z backward)",
}


class Agreement(NamedTuple):
    """Numbers of matches that agree with each reading; the first is `STORED`."""

    names: list[str]
    near: Int[np.ndarray, " r"]
    """Matches near their epipolar lines and before the cameras."""
    chance: Int[np.ndarray, " r"]
    """Numbers after the matches are shuffled."""
    count: int
    """All matches."""
    verified: int
    """Number of matches that agree with one another, whatever the cameras say."""


def readings(world_to_camera: Cameras) -> dict[str, Cameras]:
    """Return the cameras by the names of readings of the stored matrices, the likeliest first."""
    poses = world_to_camera.astype(np.float64)
    rotation = poses[..., :3, :3]
    shift = poses[..., :3, 3]
    transposed = np.swapaxes(rotation, -1, -2)
    moved = -(rotation @ shift[..., None])[..., 0]
    forms = {
        "": poses,
        "matrices are camera_to_world: invert them": cameras.invert(poses),
        "rotations are transposed": cameras.rigid(transposed, shift),
        "translations are positions of cameras": cameras.rigid(rotation, moved),
    }
    mirrored = np.linalg.det(rotation[0, 0]) < 0
    candidates = {STORED: poses}
    for form, matrices in forms.items():
        for axes in _signed_permutations(-1 if mirrored else 1):
            if name := "; ".join(filter(None, (form, _axes_name(axes)))):
                candidates[name] = cameras.rigid(axes, np.zeros(3)) @ matrices
    names = sorted(candidates, key=lambda name: (name != STORED, len(name)))
    return {name: candidates[name] for name in names}


def agreement(
    matches: Sequence[Matches],
    intrinsics: Float[np.ndarray, "v 3 3"],
    candidates: dict[str, Cameras],
    pixels: float,
) -> Agreement:
    """Count the matches within `pixels` of the epipolar lines of every reading."""
    near, chance = np.zeros((2, len(candidates)), int)
    poses = np.stack([*candidates.values()])
    rng = np.random.default_rng(0)
    for match in matches:
        pair = [match.first, match.second]
        both = poses[:, pair, match.instant]
        shuffled = np.stack([match.points[:, 0], rng.permutation(match.points[:, 1])], 1)
        for number, points in ((near, match.points), (chance, shuffled)):
            number += (epipolar_distances(points, intrinsics[pair], both) < pixels).sum(-1)
    count = sum(len(match.points) for match in matches)
    verified = sum(len(match.verified) for match in matches)
    return Agreement([*candidates], near, chance, count, verified)


def supports_cameras(counts: Agreement) -> bool:
    """Return whether the pictures support the stored cameras."""
    return bool(_believable(counts)[0])


def better_reading(counts: Agreement) -> str:
    """Return the reading that agrees with far more matches than the stored cameras do, or ""."""
    # Times as many as agree with the stored cameras.
    least_ratio_to_stored = 2
    # Share of the verified matches; with less a single camera is wrong.
    least_explained = 0.8
    best = int(np.where(_believable(counts), counts.near, -1).argmax())
    least = max(least_ratio_to_stored * counts.near[0], least_explained * counts.verified)
    clear = _believable(counts)[best] and counts.near[best] >= least
    return counts.names[best] if best and clear else ""


def _believable(counts: Agreement) -> np.ndarray:
    # Matches that agree with a reading.
    least_matches = 12
    # Times as many as when the matches are shuffled.
    least_ratio_to_chance = 4
    return (counts.near >= least_matches) & (counts.near >= least_ratio_to_chance * counts.chance)


def _signed_permutations(determinant: int) -> list[Float[np.ndarray, "3 3"]]:
    """Return the 24 rotations, or mirrored rotations, that map axes to axes."""
    signed = [
        np.diag(signs) @ np.eye(3)[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return [axes for axes in signed if np.linalg.det(axes) * determinant > 0]


def _axes_name(axes: Float[np.ndarray, "3 3"]) -> str:
    key = tuple(int(entry) for entry in axes.ravel())
    if key in KNOWN_AXES:
        return KNOWN_AXES[key]
    words = ["+-"[int(row.sum() < 0)] + "xyz"[np.abs(row).argmax()] for row in axes]
    return f"camera axes are permuted: right, down, forward are its {', '.join(words)}"
