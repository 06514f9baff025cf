"""Facts that no estimate of depth may contradict, applied one after the other.

    planes are planes, lines straight and upright ones upright (`planes`) -> what stands is upright
    (`upright`) -> what moves lies before what it hides (`moving`)

What the camera does not see is found between the last two (`clean_plate`).
Silhouettes of people, animals, vehicles and whatever moves come first (`source.subjects`): they are
no part of a plane, and the other two facts are about them. Then an edge of depth runs where a
silhouette does, so that nothing lies between a person and the wall.
"""

from jaxtyping import UInt8
from numpy import ndarray

from full4d_jax.geometry.arrays import Lens, Maps, Pictures, Poses
from full4d_jax.grid import CleanPlate
from full4d_jax.source.depth.clean_plate import Estimate, clean_plate, depth_within
from full4d_jax.source.depth.lines import UP, UprightLines, camera_up
from full4d_jax.source.depth.moving import set_before
from full4d_jax.source.depth.planes import flatten_planes
from full4d_jax.source.depth.upright import forget_rim, stand_upright
from full4d_jax.source.subjects import SubjectNetworks, find_subjects
from gaussians.fitting.stillness import camera_moves


def hold_facts(
    depth: Maps,
    frames: Pictures,
    lens: Lens,
    world_to_camera: Poses,
    subject_networks: SubjectNetworks,
    around: UInt8[ndarray, "e h w 3"] | None,
    estimate: Estimate,
) -> tuple[Maps, CleanPlate]:
    """Return depth with which the facts agree, and the plate of what the camera does not see.

    Args:
      depth: estimated z, world units, 0 where unknown.
      frames: sRGB.
      lens: intrinsics, pixels.
      world_to_camera: of each frame.
      subject_networks: networks that find subjects.
      around: pictures that a camera at rest took before and after.
      estimate: returns the depth of a picture, for the clean plate.
    """
    still = not camera_moves(world_to_camera)
    subjects = find_subjects(subject_networks, frames, lens, world_to_camera, around)
    # A camera that moves may change its pitch.
    up = camera_up(frames, lens) if still else None
    upright_lines = None if up is None else UprightLines(lens, up)
    keep = subjects.labels > 0
    flat = flatten_planes(depth, frames, still=still, keep=keep, upright_lines=upright_lines)
    upright = stand_upright(flat, subjects, lens, up=up or UP)
    if still:
        upright = forget_rim(upright, subjects.labels)
    plate = clean_plate(upright, frames, subjects.labels, subjects.backdrop, estimate)
    behind = depth_within(plate, *depth.shape[1:]) if still else None
    return set_before(upright, frames, subjects.labels, lens, world_to_camera, behind), plate
