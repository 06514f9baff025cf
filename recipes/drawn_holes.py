"""Holes like those of a clean plate, drawn at random: people, and strokes of any thickness."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

# Share of the holes; the others are strokes.
PEOPLE = 0.7
# Pixels across, of what replaces a hole that is nowhere or everywhere.
SMALLEST = 8
Point = tuple[float, float]


def draw_hole(rng: np.random.Generator, side: int) -> Bool[ndarray, "{side} {side}"]:
    """Return where a picture of `side` rows and columns counts as unknown; never none or all."""
    hole = np.zeros((side, side), np.uint8)
    if rng.uniform() < PEOPLE:
        for _ in range(rng.integers(1, 3)):
            draw_person(rng, hole)
    else:
        for _ in range(rng.integers(1, 5)):
            _draw_stroke(rng, hole)
    if hole.all() or not hole.any():
        hole[:] = 0
        hole[:SMALLEST, :SMALLEST] = 1
    return hole > 0


def draw_person(rng: np.random.Generator, hole: UInt8[ndarray, "s s"]) -> None:
    """Draw somebody of limbs into the hole, of any size and pose, standing anywhere."""
    side = len(hole)
    height = side * rng.uniform(0.35, 1.4)
    limb = height * rng.uniform(0.16, 0.26)
    width = height * rng.uniform(0.05, 0.11)
    x = side * rng.uniform(-0.05, 1.05)
    y = side * rng.uniform(0.0, 0.6)
    lean = rng.normal(0, 0.1)
    hips = (x + lean * height, y + 0.38 * height)
    _line(hole, (x, y), hips, 2.2 * width)
    _line(hole, (x, y - 0.12 * height), (x, y - 0.1 * height), 1.7 * width)
    for start, straight in (((x, y), 0.9), (hips, 0.5)):
        for _ in range(2):
            angle = rng.normal(0, straight)
            joint = _moved(start, angle, limb)
            _line(hole, start, joint, width)
            _line(
                hole, joint, _moved(joint, angle + rng.normal(0, straight), limb), width
            )


def _draw_stroke(rng: np.random.Generator, hole: UInt8[ndarray, "s s"]) -> None:
    """Draw a bent line of any thickness."""
    side = len(hole)
    point = (side * rng.uniform(), side * rng.uniform())
    angle = rng.uniform(0, 2 * np.pi)
    width = side * rng.uniform(0.01, 0.2)
    for _ in range(rng.integers(1, 5)):
        angle += rng.normal(0, 0.7)
        end = _moved(point, angle, side * rng.uniform(0.05, 0.3))
        _line(hole, point, end, width)
        point = end


def _moved(point: Point, angle: float, length: float) -> Point:
    """Return a point so far off, in pixels; angle 0 is down."""
    return point[0] + length * np.sin(angle), point[1] + length * np.cos(angle)


def _line(hole: UInt8[ndarray, "s s"], start: Point, end: Point, width: float) -> None:
    """Draw a line with round ends."""
    first, last = ((round(x), round(y)) for x, y in (start, end))
    cv2.line(hole, first, last, 1, max(1, round(width)))
